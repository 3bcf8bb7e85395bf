"""
The schema of the config file as the program uses it.

`schema.json` is what editors and Helm read. There a value may still be `${VARIABLE}`; here variables are filled in,
so these alternatives are gone, and so are the `$ref`s, which cost time with every value they are followed for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.yaml.node import Path

_UNSUBSTITUTED = {"$ref": "#/$defs/unsubstituted"}
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "writeOnly", "$schema", "$id", "$defs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What may stand at one place of a config file."""

    title: str = ""
    examples: tuple[object, ...] = ()
    types: frozenset[str] = frozenset()
    """Of string, integer, boolean, null, array, object."""
    secret: bool = False
    """Whether it is a credential, never to be shown."""
    fields: Mapping[str, Shape] = field(default_factory=dict)
    other: Shape | None = None
    """What stands behind keys that users choose; None where there are none such."""
    items: Shape | None = None

    def child(self, step: str | int) -> Shape | None:
        """Return the shape of what stands behind a key or in a list."""
        if isinstance(step, int):
            return self.items
        return self.fields.get(step, self.other)

    def at(self, path: Path) -> Shape | None:
        """Return the shape at a path below this one; None where nothing may stand."""
        shape: Shape | None = self
        for step in path:
            shape = shape.child(step) if shape else None
        return shape


@cache
def published() -> dict[str, Any]:
    """Return the schema as it is published: JSON Schema 2020-12, for files with variables not filled in."""
    content = File(__file__).with_name("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(content)
    return schema


@cache
def strict() -> dict[str, Any]:
    """Return the schema for files with all variables filled in; without references and annotations."""
    schema: dict[str, Any] = _strict(published(), keep=frozenset())
    return schema


@cache
def shape() -> Shape:
    """Return the shape of a whole file."""
    return _shape(_strict(published(), keep=frozenset({"title", "examples", "writeOnly"})))


def _strict(schema: Any, keep: frozenset[str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return _strict({**published()["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}, keep)
    if "anyOf" in schema:
        [alternative] = [each for each in schema["anyOf"] if each != _UNSUBSTITUTED]
        return _strict({**{k: v for k, v in schema.items() if k != "anyOf"}, **alternative}, keep)
    plain = {key: value for key, value in schema.items() if key not in _ANNOTATIONS - keep}
    for key in ("items", "additionalProperties", "propertyNames"):
        if key in plain:
            plain[key] = _strict(plain[key], keep)
    if "properties" in plain:
        plain["properties"] = {name: _strict(value, keep) for name, value in plain["properties"].items()}
    return plain


def _shape(schema: dict[str, Any]) -> Shape:
    types = schema["type"]
    other, items = schema.get("additionalProperties"), schema.get("items")
    return Shape(
        title=schema.get("title", ""),
        examples=tuple(schema.get("examples", ())),
        types=frozenset((types,) if isinstance(types, str) else types),
        secret=schema.get("writeOnly", False),
        fields={name: _shape(value) for name, value in schema.get("properties", {}).items()},
        other=_shape(other) if isinstance(other, dict) else None,
        items=_shape(items) if items else None,
    )
