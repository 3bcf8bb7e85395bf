"""What chart/values.yaml says about its values: their paths, defaults and the `# --` comments above them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "chart"

_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_COMMENT = re.compile(r"^ *# ?(.*)$")
_START = "-- "
_COMPUTED = "@default -- "


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One documented value; `computed` says where its default comes from if it is not the one in the file."""

    path: tuple[str, ...]
    default: object
    description: str
    computed: str | None

    @property
    def name(self) -> str:
        """The path as users write it after `--set`."""
        return ".".join(self.path)


def read(text: str) -> list[Value]:
    """Every value with a `# --` comment, in the file's order."""
    tree = yaml.safe_load(text)
    return [
        Value(path=path, default=_at(tree, path), description=description, computed=computed)
        for path, description, computed in _comments(text)
    ]


def undocumented(text: str) -> list[str]:
    """Names of values that have a default and no comment on themselves, on what holds them or on what they hold."""
    documented = {value.path for value in read(text)}
    return [
        ".".join(path)
        for path in _leaves(yaml.safe_load(text), ())
        if not any(path[:length] in documented for length in range(1, len(path) + 1))
    ]


def _comments(text: str) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    open_keys: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if key := _KEY.match(line):
            indent = len(key[1])
            open_keys = [(depth, name) for depth, name in open_keys if depth < indent] + [(indent, key[2])]
            if comment and comment[0].startswith(_START):
                described = [part for part in comment if not part.startswith(_COMPUTED)]
                computed = next(
                    (part.removeprefix(_COMPUTED) for part in comment if part.startswith(_COMPUTED)), None
                )
                yield tuple(name for _, name in open_keys), " ".join(described).removeprefix(_START), computed
        remark = _COMMENT.match(line)
        comment = [*comment, remark[1]] if remark else []


def _at(tree: object, path: tuple[str, ...]) -> object:
    for name in path:
        tree = tree[name]  # type: ignore[index]
    return tree


def _leaves(tree: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict) and tree:
        for name, inner in tree.items():
            yield from _leaves(inner, (*path, name))
    else:
        yield path
