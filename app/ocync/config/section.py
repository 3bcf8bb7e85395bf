"""Reading settings from the maps of the file, once the schema has checked their types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ocync.config.yaml.node import Items, Path, Position, Table, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocync.config.yaml.findings import Findings

T = TypeVar("T")


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None: for the others the model's defaults apply."""
    return {name: value for name, value in values.items() if value is not None}


class Section(NamedTuple):
    """
    A map with its path and the findings of its file; a missing map is an empty one.

    A null value is read as a missing key. So is a value of the wrong type: the schema has already reported it.
    """

    table: Table[Value]
    path: Path
    findings: Findings

    def has(self, key: str) -> bool:
        """Return whether the key has a value."""
        node = self.table.entries.get(key)
        return node is not None and not (isinstance(node, Value) and node.content is None)

    def at(self, key: str) -> Path:
        """Return the path of a key, whether it exists or not."""
        return (*self.path, key)

    def position(self, key: str) -> Position:
        """Return the position of a key; the map's own if the key is missing."""
        return self.table.keys.get(key, self.table.position)

    def is_sound(self, key: str) -> bool:
        """Return whether nothing wrong was found at the key, above it or below it."""
        return not self.findings.affect(self.at(key))

    def error(self, key: str, message: str) -> None:
        """Record a problem at the position of the key."""
        self.findings.error(message, self.at(key), self.position(key))

    def warn(self, key: str, message: str) -> None:
        """Record a warning at the position of the key."""
        self.findings.warn(message, self.at(key), self.position(key))

    def value(self, key: str) -> Value | None:
        """Return the scalar at a key; None if there is none."""
        node = self.table.entries.get(key)
        return node if isinstance(node, Value) and node.content is not None else None

    def _content(self, key: str) -> str | int | bool | None:
        node = self.table.entries.get(key)
        return node.content if isinstance(node, Value) else None

    def text(self, key: str) -> str | None:
        """Return the text at a key."""
        content = self._content(key)
        return content if isinstance(content, str) else None

    def number(self, key: str) -> int | None:
        """Return the whole number at a key."""
        content = self._content(key)
        return content if isinstance(content, int) and not isinstance(content, bool) else None

    def flag(self, key: str) -> bool | None:
        """Return the boolean at a key."""
        content = self._content(key)
        return content if isinstance(content, bool) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts at a key: the items of a list, or a single one."""
        return tuple(value.content for _, value in self.values(key) if isinstance(value.content, str))

    def values(self, key: str) -> Iterator[tuple[Path, Value]]:
        """Yield the scalars at a key with their paths: the items of a list, or a single one."""
        node = self.table.entries.get(key)
        if isinstance(node, Value) and node.content is not None:
            yield self.at(key), node
        elif isinstance(node, Items):
            for index, item in enumerate(node.items):
                if isinstance(item, Value):
                    yield (*self.path, key, index), item

    def section(self, key: str) -> Section:
        """Return the map at a key; an empty one if there is none."""
        node = self.table.entries.get(key)
        return Section(node if isinstance(node, Table) else Table(self.position(key)), self.at(key), self.findings)

    def sections(self, key: str) -> Iterator[Section]:
        """Yield the maps in the list at a key."""
        node = self.table.entries.get(key)
        for index, item in enumerate(node.items if isinstance(node, Items) else ()):
            if isinstance(item, Table):
                yield Section(item, (*self.path, key, index), self.findings)

    def parse(self, key: str, parse: Callable[[Any], T]) -> T | None:
        """Return what `parse` makes of the value at a key; None if there is none, or after a problem."""
        value = self.value(key)
        return None if value is None else self.findings.attempt(self.at(key), value, parse)


class Layers(NamedTuple):
    """
    A map of a mapping, over the same map of the defaults: the mapping's own value wins, key by key.

    `tags`, `artifacts` and `verify` are merged key by key too. Two things are not simply replaced: the two lists
    `exclude` are kept apart, because an `include` overrides only that of the defaults, and `require_artifacts` of
    the defaults does not apply to a mapping that copies no artifacts.
    """

    own: Section
    default: Section

    def of(self, key: str) -> Section:
        """Return the section that decides a key: the mapping's, unless only the defaults have it."""
        return self.default if self.default.has(key) and not self.own.has(key) else self.own

    def section(self, key: str) -> Layers:
        """Return the maps at a key."""
        return Layers(self.own.section(key), self.default.section(key))

    @property
    def waives_artifacts(self) -> bool:
        """Whether the mapping's own `artifacts` switch off those of the defaults, `require_artifacts` included."""
        return self.own.flag("enabled") is False and not self.own.has("require_artifacts")
