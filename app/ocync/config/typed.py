"""
From scalars as they are written to values of the type that is wanted where they stand.

The shape decides, not the look: where text is wanted, `no`, `1.10` and `012` are text as written; where a number is
wanted, `10` is one, be it written so or put in by `${N}`. What fits no wanted type stays text and is refused later,
with its place. Numbers, booleans and null are those of the YAML 1.2 core schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from ocync.config.yaml.node import Items, Node, Path, Scalar, Table, Value
from ocync.config.yaml.substitute import SubstitutionError, has_signs, substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.shape import Shape
    from ocync.config.yaml.findings import Findings

Typed: TypeAlias = Node[Value]

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}", re.ASCII)


def resolve(
    table: Table[Scalar],
    shape: Shape,
    environ: Mapping[str, str],
    findings: Findings,
    *,
    stand_ins: bool = False,
) -> Table[Value]:
    """
    Fill in the variables of a whole file and give its scalars their types; what can't be is a finding.

    `stand_ins` is as in `substitute`.
    """
    return _Resolver(environ, findings, stand_ins=stand_ins).table(table, shape, ())


class _Resolver:
    def __init__(self, environ: Mapping[str, str], findings: Findings, *, stand_ins: bool) -> None:
        self._environ = environ
        self._stand_ins = stand_ins
        self._findings = findings

    def node(self, node: Node[Scalar], shape: Shape | None, path: Path) -> Typed:
        match node:
            case Table():
                return self.table(node, shape, path)
            case Items():
                items = shape.items if shape else None
                return Items(
                    node.place, [self.node(item, items, (*path, index)) for index, item in enumerate(node.items)]
                )
            case _:
                return self._scalar(node, shape, path)

    def table(self, table: Table[Scalar], shape: Shape | None, path: Path) -> Table[Value]:
        entries = {
            key: self.node(value, shape.child(key) if shape else None, (*path, key))
            for key, value in table.entries.items()
        }
        return Table(table.place, entries, table.keys)

    def _scalar(self, scalar: Scalar, shape: Shape | None, path: Path) -> Value:
        place, text, plain = scalar
        if not has_signs(text):
            return Value(place, _content(text, shape) if plain else text)
        try:
            source = substitute(text, self._environ, stand_ins=self._stand_ins)
        except SubstitutionError as error:
            self._findings.error(str(error), path, place)
            return Value(place, None)
        if source.missing:
            self._findings.warn(source.reason + ("" if self._stand_ins else " and read as empty"), path, place)
        # One variable alone may be a number or a boolean. It is never null: a password may be "null".
        fits = source.whole and shape is not None and "string" not in shape.types
        content = _content(source.value, shape) if fits and source.value else source.value
        return Value(place, content, source if source.variables else None)


def _content(text: str, shape: Shape | None) -> str | int | bool | None:
    """Return what plain text means where a shape is wanted; text, where it means nothing of that."""
    types = shape.types if shape else frozenset()
    if "null" in types and text in _NULL:
        return None
    if "boolean" in types and text in _BOOLEAN:
        return _BOOLEAN[text]
    if "integer" in types and _INTEGER.fullmatch(text):
        return _number(text)
    if not text and "string" not in types:
        return None
    return text


def _number(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def plain(node: Typed) -> object:
    """Return the tree as dicts, lists and scalars, as the schema's validator wants it."""
    match node:
        case Table():
            return {key: plain(value) for key, value in node.entries.items()}
        case Items():
            return [plain(item) for item in node.items]
        case _:
            return node.content
