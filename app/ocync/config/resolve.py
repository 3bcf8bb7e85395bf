"""
Fills in variables, and gives each scalar the type that the schema asks for.

The schema decides, not the spelling: where it asks for text, `no`, `1.10` and `012` are text as written; where it
asks for a number, `10` is one, whether written or put in by `${N}`. What fits no wanted type stays text, and
validation refuses it. Numbers, booleans and null are those of the YAML 1.2 core schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocync.config.yaml.node import Items, Node, Path, Scalar, Table, Value
from ocync.config.yaml.substitute import SubstitutionError, has_dollars, substitute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.schema import Shape
    from ocync.config.yaml.findings import Findings

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
    """Return the tree with values in place of scalars; problems are findings. `stand_ins` is as in `substitute`."""
    return _Resolver(environ, findings, stand_ins=stand_ins).table(table, shape, ())


class _Resolver:
    def __init__(self, environ: Mapping[str, str], findings: Findings, *, stand_ins: bool) -> None:
        self._environ = environ
        self._stand_ins = stand_ins
        self._findings = findings

    def node(self, node: Node[Scalar], shape: Shape | None, path: Path) -> Node[Value]:
        match node:
            case Table():
                return self.table(node, shape, path)
            case Items():
                inner = shape.items if shape else None
                items = [self.node(item, inner, (*path, index)) for index, item in enumerate(node.items)]
                return Items(node.position, items)
            case _:
                return self._scalar(node, shape, path)

    def table(self, table: Table[Scalar], shape: Shape | None, path: Path) -> Table[Value]:
        entries = {
            key: self.node(value, shape.child(key) if shape else None, (*path, key))
            for key, value in table.entries.items()
        }
        return Table(table.position, entries, table.keys)

    def _scalar(self, scalar: Scalar, shape: Shape | None, path: Path) -> Value:
        position, text, is_plain = scalar
        if not has_dollars(text):
            return Value(position, _content(text, shape) if is_plain else text)
        try:
            source = substitute(text, self._environ, stand_ins=self._stand_ins)
        except SubstitutionError as error:
            self._findings.error(str(error), path, position)
            return Value(position, None)
        if source.missing:
            self._findings.warn(source.reason + ("" if self._stand_ins else " and read as empty"), path, position)
        # A variable alone may be a number or a boolean. It is never null: a password may be "null".
        fits = source.whole and shape is not None and "string" not in shape.types
        content = _content(source.value, shape) if fits and source.value else source.value
        return Value(position, content, source if source.variables else None)


def _content(text: str, shape: Shape | None) -> str | int | bool | None:
    """Return what unquoted text means for a shape; the text itself if it fits no type of it."""
    types = shape.types if shape else frozenset()
    if "null" in types and text in _NULL:
        return None
    if "boolean" in types and text in _BOOLEAN:
        return _BOOLEAN[text]
    if "integer" in types and _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if not text and "string" not in types:
        return None
    return text
