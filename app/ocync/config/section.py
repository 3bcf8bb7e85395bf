"""A map of the file with its path: how settings are read from it once their types are known to be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ocync.config.yaml.node import Items, Path, Position, Table, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocync.config.yaml.findings import Findings

T = TypeVar("T")


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None: for the others the model's own defaults hold."""
    return {name: value for name, value in values.items() if value is not None}


class Section(NamedTuple):
    """
    A map, or one that is not there, which has no keys.

    A key whose value is null is read as one that is not there. So is a value of a type that is not asked for: the
    schema has already said what is wrong with it.
    """

    table: Table[Value]
    path: Path

    def has(self, key: str) -> bool:
        """Return whether something stands behind the key."""
        node = self.table.entries.get(key)
        return node is not None and not (isinstance(node, Value) and node.content is None)

    def at(self, key: str) -> Path:
        """Return the path of a key, be it there or not."""
        return (*self.path, key)

    def place(self, key: str) -> Position:
        """Return where a key stands; where the map does, if it is not there."""
        return self.table.keys.get(key, self.table.place)

    def value(self, key: str) -> Value | None:
        """Return the scalar behind a key; None where there is none."""
        node = self.table.entries.get(key)
        return node if isinstance(node, Value) and node.content is not None else None

    def text(self, key: str) -> str | None:
        """Return the text behind a key."""
        value = self.value(key)
        return value.content if value is not None and isinstance(value.content, str) else None

    def number(self, key: str) -> int | None:
        """Return the whole number behind a key."""
        value = self.value(key)
        content = value.content if value is not None else None
        return content if isinstance(content, int) and not isinstance(content, bool) else None

    def flag(self, key: str) -> bool | None:
        """Return the boolean behind a key."""
        value = self.value(key)
        return value.content if value is not None and isinstance(value.content, bool) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts behind a key: of a list, or one alone."""
        return tuple(value.content for _, value in self.values(key) if isinstance(value.content, str))

    def values(self, key: str) -> Iterator[tuple[Path, Value]]:
        """Yield the scalars behind a key with their paths: those of a list, or one alone."""
        node = self.table.entries.get(key)
        if isinstance(node, Value) and node.content is not None:
            yield self.at(key), node
        elif isinstance(node, Items):
            for index, item in enumerate(node.items):
                if isinstance(item, Value):
                    yield (*self.path, key, index), item

    def section(self, key: str) -> Section:
        """Return the map behind a key; an empty one where there is none."""
        node = self.table.entries.get(key)
        return Section(node if isinstance(node, Table) else Table(self.place(key)), self.at(key))

    def sections(self, key: str) -> Iterator[Section]:
        """Yield the maps in the list behind a key."""
        node = self.table.entries.get(key)
        for index, item in enumerate(node.items if isinstance(node, Items) else ()):
            if isinstance(item, Table):
                yield Section(item, (*self.path, key, index))

    def named(self, key: str) -> Iterator[tuple[str, Section]]:
        """Yield the maps behind the names that users chose, in the map behind a key."""
        inner = self.section(key)
        for name in inner.table.entries:
            yield name, inner.section(name)

    def read(self, key: str, read: Callable[[Any], T], findings: Findings) -> T | None:
        """Return what `read` makes of the value behind a key; its ValueError is a finding, and gives None."""
        value = self.value(key)
        if value is None or findings.touch(self.at(key)):
            return None
        try:
            return read(value.content)
        except ValueError as error:
            message = f"what {value.source.named} made of it can't be read" if value.source else str(error)
            findings.error(message, self.at(key), value.place, value.source)
            return None
