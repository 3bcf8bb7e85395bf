"""Names of registries and groups, replaced by what they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.config.schema import suggest
from ocync.config.yaml.node import Items, Path, Position, Value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ocync.config.model import RegistryConfig
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings
    from ocync.oci.reference import RepositoryName

_LISTED = 10
"""Known names that a message shows where none is alike."""


@dataclass(slots=True)
class Names:
    """
    What the names of one file stand for; None stands for what has a name and is not sound.

    As one name alone, a group goes before a registry of the same name, as in ocync 0.5.2; in a list it is the
    registry.
    """

    registries: Mapping[str, RegistryConfig | None]
    groups: Mapping[str, tuple[str, ...] | None]
    findings: Findings
    _seen: dict[Path, tuple[RegistryConfig, ...] | None] = field(default_factory=dict)

    def source(self, section: Section) -> RegistryConfig | None:
        """Return the registry that `source` names; None where it names none that is sound."""
        value, path = section.value("source"), section.at("source")
        if value is None or self.findings.touch(path):
            return None
        name = str(value.content)
        if name in self.registries:
            return self.registries[name]
        if name in self.groups:
            message = f"{_shown(value)} is a group of targets, and a source is one registry"
        else:
            message = _unknown(value, "registry", self.registries, self.findings)
        self.findings.error(message, path, value.place, value.source)
        return None

    def targets(self, section: Section) -> tuple[RegistryConfig, ...] | None:
        """Return the registries that `targets` names; None where they are not sound."""
        path = section.at("targets")
        if path not in self._seen:
            # Thousands of mappings may have the targets of the defaults.
            self._seen[path] = self._targets(section, path)
        return self._seen[path]

    def _targets(self, section: Section, path: Path) -> tuple[RegistryConfig, ...] | None:
        if self.findings.touch(path):
            return None
        alone = not isinstance(section.table.entries.get("targets"), Items)
        names: dict[str, None] = {}
        for where, value in section.values("targets"):
            for name in self._members(value, where, alone=alone):
                if name in names:
                    self.findings.error(f"names {name} twice", where, value.place)
                names[name] = None
        registries = [self.registries[name] for name in names]
        sound = tuple(registry for registry in registries if registry is not None)
        self._refuse_twins(sound, path, section.place("targets"))
        return sound if sound and len(sound) == len(names) and not self.findings.touch(path) else None

    def _members(self, value: Value, path: Path, *, alone: bool) -> tuple[str, ...]:
        """Return the registries behind a name; none, where something is wrong with it."""
        name = str(value.content)
        if name in self.groups and (alone or name not in self.registries):
            return self.groups[name] or ()
        if name in self.registries:
            return (name,)
        known = (*self.registries, *self.groups)
        message = _unknown(value, "registry or group", known, self.findings)
        self.findings.error(message, path, value.place, value.source)
        return ()

    def _refuse_twins(self, registries: tuple[RegistryConfig, ...], path: Path, place: Position) -> None:
        """Refuse two names for one registry: it would be written to twice."""
        seen: dict[RepositoryName, str] = {}
        for registry in registries:
            first = seen.setdefault(registry.repository("any/repository"), registry.name)
            if first != registry.name:
                self.findings.error(f"{first} and {registry.name} are the same registry", path, place)


def groups(root: Section, known: Collection[str], findings: Findings) -> Mapping[str, tuple[str, ...] | None]:
    """Return the target groups; a problem is an empty one, and one that names no registry or one twice."""
    inner = root.section("target_groups")
    found: dict[str, tuple[str, ...] | None] = {}
    for name in inner.table.entries:
        path = inner.at(name)
        members = _group(inner, name, known, findings)
        found[name] = None if findings.touch(path) else members
        if name in known and members != (name,):
            message = "is the name of a registry too: as one name alone it means this group, in a list the registry"
            findings.warn(message, path, inner.place(name))
    return found


def _group(inner: Section, name: str, known: Collection[str], findings: Findings) -> tuple[str, ...]:
    members: dict[str, None] = {}
    for path, value in inner.values(name):
        member = str(value.content)
        if member in members:
            findings.error(f"names {_shown(value)} twice", path, value.place, value.source)
        elif member not in known and not findings.is_wrong(path):
            findings.error(_unknown(value, "registry", known, findings), path, value.place, value.source)
        members[member] = None
    if not members and not findings.touch(inner.at(name)):
        findings.error("is empty: a group names at least one registry", inner.at(name), inner.place(name))
    return tuple(members)


def _unknown(value: Value, kind: str, known: Collection[str], findings: Findings) -> str:
    close = suggest(str(value.content), known) if findings.are_few else ""
    if not close:
        names = sorted(known)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        close = f"; known are {', '.join(names[:_LISTED])}{more}" if names else "; none is defined"
    return f"{_shown(value)} is no {kind}{close}"


def _shown(value: Value) -> str:
    return f"what {value.source.named} holds" if value.source else str(value.content)
