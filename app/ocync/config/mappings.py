"""The section `mappings`: each mapping with its source, targets and rules, merged with the defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.config.model import MappingConfig
from ocync.config.overlap import check_overlaps
from ocync.config.rules import artifact_rules, check_rules, platforms, tag_rules
from ocync.config.section import Layers
from ocync.config.verify import Signers, check_verify, verify_rules
from ocync.oci.reference import is_repository

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.config.model import RegistryConfig
    from ocync.config.names import Names
    from ocync.config.section import Section


def mappings(root: Section, names: Names) -> tuple[MappingConfig, ...]:
    """Return the mappings without problems; the problems of the others, and among them, are recorded."""
    defaults = root.section("defaults")
    check_rules(defaults)
    signers = Signers()
    check_verify(defaults.section("verify"), signers)
    # Unknown names in the defaults are recorded even if no mapping uses them.
    for key, look_up in (("source", names.source), ("targets", names.targets)):
        if defaults.has(key):
            look_up(defaults)
    sound = []
    for section in root.sections("mappings"):
        mapping = _mapping(Layers(section, defaults), names, signers)
        if mapping is not None:
            sound.append((mapping, section.path, section.position("to" if section.has("to") else "from")))
    if not sound and root.is_sound("mappings"):
        root.warn("mappings", "names none, so nothing is copied")
    check_overlaps(sound, root.findings)
    return tuple(mapping for mapping, _, _ in sound)


def _mapping(layers: Layers, names: Names, signers: Signers) -> MappingConfig | None:
    section = layers.own
    check_rules(section)
    tags = tag_rules(layers.section("tags"))
    artifacts = artifact_rules(layers.section("artifacts"))
    check_verify(section.section("verify"), signers)
    verify = verify_rules(layers.section("verify"), signers)
    for key in ("source", "targets"):
        if not any(layer.has(key) or not layer.is_sound(key) for layer in layers):
            message = "is missing, and defaults have none"
            section.findings.error(message, section.at(key), section.table.position)
    source, targets = names.source(layers.of("source")), names.targets(layers.of("targets"))
    name, to = section.text("from"), section.text("to")
    key = "from" if to is None else "to"
    _check_repository(section, "from", (source,))
    _check_repository(section, key, targets or ())
    if name is None or source is None or targets is None:
        return None
    if not (section.is_sound("from") and section.is_sound("to")) or section.findings.affect(section.path):
        return None
    repository = source.repository(name)
    pairs = tuple((target, target.repository(to or name)) for target in targets)
    if repository in (written for _, written in pairs):
        message = f"copies {repository} onto itself: choose another to, or other targets"
        section.findings.error(message, section.path, section.position(key))
        return None
    return MappingConfig(
        name=name,
        source=source,
        source_repository=repository,
        targets=pairs,
        platforms=platforms(layers),
        tags=tags,
        artifacts=artifacts,
        verify=verify,
        line=section.table.position.line,
    )


def _check_repository(section: Section, key: str, registries: Iterable[RegistryConfig | None]) -> None:
    """Record what is wrong with a repository's name, once for all registries that refuse it."""
    value = section.value(key)
    if value is None or not section.is_sound(key):
        return
    text = str(value.content)
    for registry in filter(None, registries):
        message = _wrong_name(text, registry)
        if message:
            shown = value.shown if value.source else repr(text)
            if "://" in text:
                # A URL may hold a password.
                shown, message = "this", "is a URL: write the repository alone, without the registry"
            section.findings.refuse(section.at(key), value, f"{shown} {message}")
            return


def _wrong_name(text: str, registry: RegistryConfig) -> str:
    """Return what is wrong with a repository's name in a registry; empty if nothing is."""
    host = registry.registry.host if registry.registry else ""
    if host and text.startswith(f"{host}/"):
        return f"begins with the registry: write it without {host}/"
    if is_repository(registry.repository(text).path):
        return ""
    if ":" in text.rpartition("/")[2] or "@" in text:
        return "has a tag or digest: write the repository alone, and choose tags with tags.glob"
    if text != text.lower() and is_repository(text.lower()):
        return "has upper-case letters, which repositories can't have"
    return "is not the name of a repository: lower case, digits and . _ - between /"
