"""
Defaults and mappings: a mapping's own value wins, key by key, and inside of tags, artifacts and verify too.

Two things are not replaced but kept apart. The two lists `exclude`: the mapping's is final, the default one gives
way to an `include`. And `require_artifacts` of the defaults means nothing to a mapping that copies none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ocync.config.yaml.node import Node, Table, Value

if TYPE_CHECKING:
    from ocync.config.section import Section

NESTED = ("tags", "artifacts", "verify")
"""What is merged key by key; all else is taken whole."""


class Layered(NamedTuple):
    """A map of a mapping over the same map of the defaults."""

    own: Section
    default: Section

    def of(self, key: str) -> Section:
        """Return the section that decides about a key: the mapping's, unless only the defaults have it."""
        return self.default if self.default.has(key) and not self.own.has(key) else self.own

    def section(self, key: str) -> Layered:
        """Return the maps behind a key."""
        return Layered(self.own.section(key), self.default.section(key))


def require_artifacts(artifacts: Layered) -> bool:
    """Return whether images without artifacts fail."""
    if _is_waived(artifacts):
        return False
    return artifacts.of("require_artifacts").flag("require_artifacts") or False


def _is_waived(artifacts: Layered) -> bool:
    return artifacts.own.flag("enabled") is False and not artifacts.own.has("require_artifacts")


def effective(mapping: Section, defaults: Section) -> Table[Value]:
    """Return the mapping with what the defaults add; `defaults.tags.exclude` stays theirs."""
    layered = Layered(mapping, defaults)
    entries: dict[str, Node[Value]] = {
        key: node for key, node in mapping.table.entries.items() if mapping.has(key) and key not in NESTED
    }
    if "to" not in entries and "from" in entries:
        entries["to"] = entries["from"]
    for key in defaults.table.entries:
        if defaults.has(key) and key not in NESTED:
            entries.setdefault(key, defaults.table.entries[key])
    for key in NESTED:
        merged = _merged(layered.section(key))
        if merged.entries:
            entries[key] = merged
    return Table(mapping.table.place, entries, mapping.table.keys)


def _merged(layered: Layered) -> Table[Value]:
    keys = dict.fromkeys((*layered.default.table.entries, *layered.own.table.entries))
    entries = {key: layered.of(key).table.entries[key] for key in keys if layered.of(key).has(key)}
    if not layered.own.has("exclude") and layered.own.path[-1] == "tags":
        entries.pop("exclude", None)
    if _is_waived(layered):
        entries.pop("require_artifacts", None)
    return Table(layered.own.table.place, entries)
