"""The section `global.state`: a repository for what passes learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.config.model import RegistryConfig, StateConfig
from ocync.config.overlap import Claim
from ocync.oci.reference import Reference, is_repository, is_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocync.config.model import MappingConfig
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings
    from ocync.oci.reference import Registry

TAG = "ocync-state"
"""The tag where the artifact names none."""


def state(section: Section, known: Mapping[str, RegistryConfig | None], findings: Findings) -> StateConfig | None:
    """
    Return where the state is kept; None where nothing is said of it.

    In front of the first slash stands the name of one of `registries`, or a host; then the settings are those of
    the registry with that host, if there is one.
    """
    written = section.text("artifact")
    if not written or findings.touch(section.at("artifact")):
        return None
    name, slash, rest = written.partition("/")
    try:
        if slash and name in known:
            registry = known[name]
            # What is wrong with it was said where it stands.
            return _in(registry, rest) if registry is not None else None
        return _at_host(written, known)
    except ValueError as error:
        findings.error(str(error), section.at("artifact"), section.place("artifact"))
        return None


def check_state(
    section: Section, kept: StateConfig | None, mappings: Iterable[MappingConfig], findings: Findings
) -> None:
    """
    Record a mapping that writes where the state is kept: each would take the other's place, whatever the tags are.

    One that reads there does no harm, and is warned of where it would copy the state like an image.
    """
    value = section.value("artifact")
    if kept is None or value is None:
        return
    where = kept.repository
    path, place = section.at("artifact"), section.place("artifact")
    for mapping in mappings:
        what = f"the mapping of {mapping.name} (line {mapping.line})"
        if where in (repository for _, repository in mapping.targets):
            message = f"is in {where}, which {what} writes: name a repository that no mapping has as a target"
            findings.error(message, path, place, value.source)
            return
        if where == mapping.source_repository:
            claim = Claim.of(mapping, path, place)
            if claim is not None and claim.may_select([kept.tag]):
                message = (
                    f"is in {where}, which {what} reads: exclude the tag {kept.tag} there, or it is copied too"
                )
                findings.warn(message, path, place)


def _in(registry: RegistryConfig, rest: str) -> StateConfig:
    repository, colon, tag = rest.partition(":")
    full = registry.repository(repository)
    if not is_repository(full.path) or (colon and not is_tag(tag)):
        raise ValueError(f"{rest!r} is not REPOSITORY or REPOSITORY:TAG")
    return StateConfig(registry=registry, repository=full, tag=tag or TAG)


def _at_host(written: str, known: Mapping[str, RegistryConfig | None]) -> StateConfig:
    reference = Reference.parse(written)
    if reference.registry is None or reference.digest is not None:
        raise ValueError("is not HOST/REPOSITORY[:TAG], nor the name of a registry, a slash and a repository")
    return StateConfig(
        registry=_with_host(reference.registry, known)
        or RegistryConfig(name=reference.registry.host, registry=reference.registry),
        repository=reference.repository,
        tag=reference.tag or TAG,
    )


def _with_host(wanted: Registry, known: Mapping[str, RegistryConfig | None]) -> RegistryConfig | None:
    for each in known.values():
        address = each.registry if each is not None else None
        if address is not None and (address.canonical, address.scheme) == (wanted.canonical, wanted.scheme):
            return each
    return None
