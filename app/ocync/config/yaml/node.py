"""
A config file as a tree that remembers where everything stands.

The same tables and lists hold scalars as they are written (`Scalar`) and, later, what they mean (`Value`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from ocync.config.yaml.substitute import Substituted

Path: TypeAlias = tuple[str | int, ...]
"""The way from the top of a file: keys and positions."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Position(NamedTuple):
    """Where something begins in a file; both count from 1, 0 means nowhere."""

    line: int = 0
    column: int = 0


NOWHERE = Position()


# Named tuples for what there may be hundreds of thousands of: they take a third of the time to make.
class Scalar(NamedTuple):
    """A scalar as it is written, its quotes and escapes resolved."""

    place: Position
    text: str
    plain: bool
    """Whether it stands without quotes, and so may be something other than text."""


class Value(NamedTuple):
    """What a scalar means: with its variables filled in, and of the type that is wanted at its place."""

    place: Position
    content: str | int | bool | None
    source: Substituted | None = None
    """How the content came to be, where variables had a part in it."""

    def __repr__(self) -> str:
        # The content may be a secret.
        return f"Value({type(self.content).__name__} at {self.place.line}:{self.place.column})"


Leaf = TypeVar("Leaf", Scalar, Value)


@dataclass(slots=True)
class Table(Generic[Leaf]):
    """A map. Its keys are text, each there once."""

    place: Position
    entries: dict[str, Node[Leaf]] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)
    """Where each key stands."""


@dataclass(slots=True)
class Items(Generic[Leaf]):
    """A list."""

    place: Position
    items: list[Node[Leaf]] = field(default_factory=list)


Node: TypeAlias = Leaf | Table[Leaf] | Items[Leaf]


def render(path: Path) -> str:
    """Write a path as `mappings[3].tags.latest`; keys with signs of their own as `registries["a.b"]`."""
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
    """Return what stands at the path; None where it leads nowhere."""
    node: Node[Leaf] | None = tree
    for step in path:
        if isinstance(node, Table) and isinstance(step, str):
            node = node.entries.get(step)
        elif isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


def key_place(tree: Node[Leaf], path: Path) -> Position:
    """Return where the key at the end of the path stands, or the list's item: what an editor would jump to."""
    parent = at(tree, path[:-1])
    if path and isinstance(parent, Table) and isinstance(path[-1], str) and path[-1] in parent.keys:
        return parent.keys[path[-1]]
    node = at(tree, path)
    return node.place if node is not None else NOWHERE
