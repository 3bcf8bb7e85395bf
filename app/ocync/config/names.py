"""Resolving the names of registries and groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.config.schema import suggest
from ocync.config.yaml.node import Items, Path, Value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ocync.config.model import RegistryConfig
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings
    from ocync.oci.reference import RepositoryName

_LISTED = 10
"""Known names that a message lists if none is similar."""


@dataclass(slots=True)
class Names:
    """
    The registries and groups of one file by name; None for one with problems.

    A name of both a group and a registry means the group if it stands alone, as in ocync 0.5.2, and the registry
    in a list.
    """

    registries: Mapping[str, RegistryConfig | None]
    groups: Mapping[str, tuple[str, ...] | None]
    findings: Findings
    _seen: dict[Path, tuple[RegistryConfig, ...] | None] = field(default_factory=dict)

    def source(self, section: Section) -> RegistryConfig | None:
        """Return the registry that `source` names; None after a problem."""
        value = section.value("source")
        if value is None or not section.is_sound("source"):
            return None
        name = str(value.content)
        if name in self.registries:
            return self.registries[name]
        if name in self.groups:
            message = f"{value.shown} is a group of targets, and a source is one registry"
        else:
            message = _unknown(value, "registry", self.registries, self.findings)
        self.findings.refuse(section.at("source"), value, message)
        return None

    def targets(self, section: Section) -> tuple[RegistryConfig, ...] | None:
        """Return the registries that `targets` names; None after a problem."""
        path = section.at("targets")
        if path not in self._seen:
            # Thousands of mappings may use the targets of the defaults.
            self._seen[path] = self._targets(section, path)
        return self._seen[path]

    def _targets(self, section: Section, path: Path) -> tuple[RegistryConfig, ...] | None:
        if self.findings.affect(path):
            return None
        is_alone = not isinstance(section.table.entries.get("targets"), Items)
        names: dict[str, None] = {}
        for value_path, value in section.values("targets"):
            for name in self._members(value, value_path, is_alone=is_alone):
                if name in names:
                    self.findings.error(f"names {name} twice", value_path, value.position)
                names[name] = None
        registries = [self.registries[name] for name in names]
        sound = tuple(registry for registry in registries if registry is not None)
        seen: dict[RepositoryName, str] = {}
        for registry in sound:
            # Two names for one registry: it would be written twice.
            first = seen.setdefault(registry.repository("any/repository"), registry.name)
            if first != registry.name:
                section.error("targets", f"{first} and {registry.name} are the same registry")
        return sound if sound and len(sound) == len(names) and not self.findings.affect(path) else None

    def _members(self, value: Value, path: Path, *, is_alone: bool) -> tuple[str, ...]:
        """Return the registries that a name means; none after a problem."""
        name = str(value.content)
        if name in self.groups and (is_alone or name not in self.registries):
            return self.groups[name] or ()
        if name in self.registries:
            return (name,)
        known = (*self.registries, *self.groups)
        message = _unknown(value, "registry or group", known, self.findings)
        self.findings.refuse(path, value, message)
        return ()


def groups(root: Section, known: Collection[str]) -> Mapping[str, tuple[str, ...] | None]:
    """Return the target groups; an empty group, an unknown member and a repeated one are problems."""
    inner = root.section("target_groups")
    found: dict[str, tuple[str, ...] | None] = {}
    for name in inner.table.entries:
        members = _group(inner, name, known)
        found[name] = members if inner.is_sound(name) else None
        if name in known and members != (name,):
            message = "is the name of a registry too: as one name alone it means this group, in a list the registry"
            inner.warn(name, message)
    return found


def _group(inner: Section, name: str, known: Collection[str]) -> tuple[str, ...]:
    members: dict[str, None] = {}
    findings = inner.findings
    for path, value in inner.values(name):
        member = str(value.content)
        if member in members:
            findings.refuse(path, value, f"names {value.shown} twice")
        elif member not in known and not findings.is_wrong(path):
            findings.refuse(path, value, _unknown(value, "registry", known, findings))
        members[member] = None
    if not members and inner.is_sound(name):
        inner.error(name, "is empty: a group names at least one registry")
    return tuple(members)


def _unknown(value: Value, kind: str, known: Collection[str], findings: Findings) -> str:
    close = suggest(str(value.content), known) if findings.are_few else ""
    if not close:
        names = sorted(known)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        close = f"; known are {', '.join(names[:_LISTED])}{more}" if names else "; none is defined"
    return f"{value.shown} is no {kind}{close}"
