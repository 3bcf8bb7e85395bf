"""The section `mappings`: each with its source, its targets and its rules, defaults merged in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.config.merge import Layered
from ocync.config.model import MappingConfig
from ocync.config.overlap import check_overlaps
from ocync.config.rules import artifact_rules, check_rules, platforms, tag_rules
from ocync.config.verify import Signers, check_verify, verify_rules
from ocync.oci.reference import is_repository

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.config.model import RegistryConfig
    from ocync.config.names import Names
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings


def mappings(root: Section, names: Names, findings: Findings) -> tuple[MappingConfig, ...]:
    """Return the mappings that are sound; what is wrong with the others, or among them, is noted."""
    defaults = root.section("defaults")
    check_rules(defaults, findings)
    signers = Signers()
    check_verify(defaults.section("verify"), signers, findings)
    _resolve(defaults, names)
    sound = []
    for section in root.sections("mappings"):
        mapping = _mapping(Layered(section, defaults), names, signers, findings)
        if mapping is not None:
            sound.append((mapping, section.path, section.place("to" if section.has("to") else "from")))
    if not sound and not findings.touch(root.at("mappings")):
        findings.warn("names none, so nothing is copied", root.at("mappings"), root.place("mappings"))
    check_overlaps(sound, findings)
    return tuple(mapping for mapping, _, _ in sound)


def _resolve(section: Section, names: Names) -> None:
    """Look up the names of the defaults, so that unknown ones are noted even where no mapping needs them."""
    for key, look_up in (("source", names.source), ("targets", names.targets)):
        if section.has(key):
            look_up(section)


def _mapping(layered: Layered, names: Names, signers: Signers, findings: Findings) -> MappingConfig | None:
    section = layered.own
    check_rules(section, findings)
    tags = tag_rules(layered.section("tags"), findings)
    artifacts = artifact_rules(layered.section("artifacts"), findings)
    check_verify(section.section("verify"), signers, findings)
    verify = verify_rules(layered.section("verify"), signers, findings)
    for key in ("source", "targets"):
        _require(layered, key, findings)
    source, targets = names.source(layered.of("source")), names.targets(layered.of("targets"))
    name, to = section.text("from"), section.text("to")
    key = "from" if to is None else "to"
    _check_repository(section, "from", (source,), findings)
    _check_repository(section, key, targets or (), findings)
    if name is None or source is None or targets is None:
        return None
    if any(findings.touch(path) for path in (section.path, section.at("from"), section.at("to"))):
        return None
    here = source.repository(name)
    pairs = tuple((target, target.repository(to or name)) for target in targets)
    if here in (there for _, there in pairs):
        findings.error(
            f"copies {here} onto itself: choose another to, or other targets", section.path, section.place(key)
        )
        return None
    return MappingConfig(
        name=name,
        source=source,
        source_repository=here,
        targets=pairs,
        platforms=platforms(layered),
        tags=tags,
        artifacts=artifacts,
        verify=verify,
        line=section.table.place.line,
    )


def _require(layered: Layered, key: str, findings: Findings) -> None:
    """Record that neither the mapping nor the defaults have the key, unless something else is wrong with it."""
    own, default = layered.own, layered.default
    if not any(section.has(key) or findings.touch(section.at(key)) for section in (own, default)):
        findings.error("is missing, and defaults have none", own.at(key), own.table.place)


def _check_repository(
    section: Section, key: str, registries: Iterable[RegistryConfig | None], findings: Findings
) -> None:
    """Record what is wrong with a repository's name, once for all registries that it is wrong for."""
    value = section.value(key)
    if value is None or findings.touch(section.at(key)):
        return
    text = str(value.content)
    for registry in filter(None, registries):
        message = _wrong_name(text, registry)
        if message:
            shown = f"what {value.source.named} made of it" if value.source else repr(text)
            if "://" in text:
                # A URL may hold a password.
                shown, message = "this", "is a URL: write the repository alone, without the registry"
            findings.error(f"{shown} {message}", section.at(key), value.place, value.source)
            return


def _wrong_name(text: str, registry: RegistryConfig) -> str:
    """Return what is wrong with a name of a repository in a registry; empty, if nothing is."""
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
