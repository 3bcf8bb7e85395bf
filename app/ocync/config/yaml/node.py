"""
A config file as a tree in which every node knows its position.

Its tables and lists contain scalars as written (`Scalar`) and, once variables are filled in, values (`Value`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from ocync.config.yaml.substitute import Substituted

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes, from the top of a file."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Position(NamedTuple):
    """Where something begins in a file; both numbers count from 1, 0 means unknown."""

    line: int = 0
    column: int = 0


NOWHERE = Position()


# Named tuples take a third of the time to make, and there may be hundreds of thousands of these.
class Scalar(NamedTuple):
    """A scalar as written, with quotes and escapes resolved."""

    position: Position
    text: str
    plain: bool
    """Whether it has no quotes, and so may be something other than text."""


class Value(NamedTuple):
    """A scalar with its variables filled in, and of the type that the schema asks for."""

    position: Position
    content: str | int | bool | None
    source: Substituted | None = None
    """How variables made the content; None without variables."""

    @property
    def shown(self) -> str:
        """The content for a message; only the names of its variables if it has any."""
        if self.source is None:
            return str(self.content)
        return f"what {self.source.named} {'holds' if self.source.whole else 'made of it'}"

    def __repr__(self) -> str:
        # The content may be a secret.
        return f"Value({type(self.content).__name__} at {self.position.line}:{self.position.column})"


Leaf = TypeVar("Leaf", Scalar, Value)


@dataclass(slots=True)
class Table(Generic[Leaf]):
    """A map; its keys are unique texts."""

    position: Position
    entries: dict[str, Node[Leaf]] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)
    """The position of each key."""


@dataclass(slots=True)
class Items(Generic[Leaf]):
    """A list."""

    position: Position
    items: list[Node[Leaf]] = field(default_factory=list)


Node: TypeAlias = Leaf | Table[Leaf] | Items[Leaf]


def render(path: Path) -> str:
    """Return a path as `mappings[3].tags.latest`, or `registries["a.b"]` for keys with other characters."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def at(tree: Node[Leaf], path: Path) -> Node[Leaf] | None:
    """Return the node at a path; None if there is none."""
    node: Node[Leaf] | None = tree
    for step in path:
        if isinstance(node, Table) and isinstance(step, str):
            node = node.entries.get(step)
        elif isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


def key_position(tree: Node[Leaf], path: Path) -> Position:
    """Return the position of the last key of a path, or of the list item; NOWHERE if there is none."""
    parent = at(tree, path[:-1])
    if path and isinstance(parent, Table) and isinstance(path[-1], str) and path[-1] in parent.keys:
        return parent.keys[path[-1]]
    node = at(tree, path)
    return node.position if node is not None else NOWHERE


def plain(node: Node[Value]) -> object:
    """Return a tree as dicts, lists and scalars."""
    match node:
        case Table():
            return {key: plain(value) for key, value in node.entries.items()}
        case Items():
            return [plain(item) for item in node.items]
        case _:
            return node.content
