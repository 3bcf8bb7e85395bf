"""
The schema of the config file, and checking a file against it.

`schema.json` is for editors and Helm: there, a value may still be `${VARIABLE}`. Here, variables are filled in, so
those alternatives are removed, and so are the `$ref`s, which cost time for every value they are followed for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, TypeAlias

from jsonschema import Draft202012Validator

from ocync.config.yaml.node import NOWHERE, Items, Node, Path, Table, Value, at, key_position, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonschema.exceptions import ValidationError

    from ocync.config.yaml.findings import Findings

REMOVED = {
    "semver_prerelease": "was removed: leave it out, as versions before a release are dropped anyway, "
    'or keep them with include: ["*-rc*", "*-alpha*", "*-beta*", "*-pre*", "*-snapshot*", "*-nightly*"]',
}
"""Keys of earlier versions, and what to write instead."""

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map of keys",
}

_UNSUBSTITUTED = {"$ref": "#/$defs/unsubstituted"}
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "writeOnly", "$schema", "$id", "$defs"})
_Tree: TypeAlias = Node[Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the schema allows at one path."""

    title: str = ""
    examples: tuple[object, ...] = ()
    types: frozenset[str] = frozenset()
    """Of string, integer, boolean, null, array, object."""
    secret: bool = False
    """Whether it is a credential, which is never shown."""
    fields: Mapping[str, Shape] = field(default_factory=dict)
    other: Shape | None = None
    """The shape of values whose keys users choose; None if keys are fixed."""
    items: Shape | None = None

    def child(self, step: str | int) -> Shape | None:
        """Return the shape at a key or list index; None if the schema allows nothing there."""
        if isinstance(step, int):
            return self.items
        return self.fields.get(step, self.other)

    def at(self, path: Path) -> Shape | None:
        """Return the shape at a path below this one; None if the schema allows nothing there."""
        shape: Shape | None = self
        for step in path:
            shape = shape.child(step) if shape else None
        return shape


@cache
def published() -> dict[str, Any]:
    """Return the published schema: JSON Schema 2020-12, for files whose variables are not filled in."""
    content = File(__file__).with_name("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(content)
    return schema


@cache
def strict() -> dict[str, Any]:
    """Return the schema for files with variables filled in, without references and annotations."""
    schema: dict[str, Any] = _strict(published(), keep=frozenset())
    return schema


@cache
def shape() -> Shape:
    """Return the shape of a whole file."""
    return _shape(_strict(published(), keep=frozenset({"title", "examples", "writeOnly"})))


def validate(table: Table[Value], findings: Findings) -> None:
    """Record everything in which a file differs from the schema."""
    for error in _validator().iter_errors(plain(table)):
        path: Path = tuple(error.absolute_path)
        if not findings.is_wrong(path):
            _record(error, path, table, findings)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean x?` if a known word is spelt much like this one, else an empty text."""
    close = _closest(word, known)
    return f", did you mean {close}?" if close else ""


def _closest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 -- for files with errors only

    folded = {_folded(name): name for name in known}
    short = _folded(word)
    close = get_close_matches(short, folded, n=5, cutoff=0.6)
    # Of several similar ones, prefer that with the same letters: most typos exchange two of them.
    close.sort(key=lambda name: sorted(name) != sorted(short))
    close += [name for name in folded if len(short) > 1 and name.startswith(short)]
    return folded[close[0]] if close else ""


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(strict())


def _folded(word: str) -> str:
    return word.casefold().replace("_", "").replace("-", "")


def _record(error: ValidationError, path: Path, table: Table[Value], findings: Findings) -> None:
    here = shape().at(path)
    node = at(table, path)
    # The validator does not look below keys that it refuses, so both exist.
    assert here is not None
    assert node is not None
    if error.validator == "additionalProperties" and isinstance(node, Table):
        for key in node.entries:
            if key not in here.fields:
                findings.error(_unknown(key, here), (*path, key), node.keys[key])
        return
    if "propertyNames" in error.absolute_schema_path:
        key = str(error.instance)
        message = f"{key[:60]!r} can't be the name of a label: letters, digits and _, not beginning with a digit"
        findings.error(message, (*path, key), node.keys[key] if isinstance(node, Table) else NOWHERE)
        return
    if error.validator == "required":
        # One error for each missing key, and only its message says which.
        wanted: Any = error.validator_value
        present: Any = error.instance
        misspelt = {_closest(key, here.fields) for key in present if key not in here.fields}
        for key in wanted:
            if error.message.startswith(repr(key)) and key not in misspelt:
                findings.error("is missing", (*path, key), key_position(table, path))
        return
    source = node.source if isinstance(node, Value) else None
    has_content = isinstance(node, Value) and node.content is not None
    position = node.position if has_content else key_position(table, path)
    findings.error(_message(error, node, here), path, position, source)


def _unknown(key: str, here: Shape) -> str:
    if key in REMOVED:
        return REMOVED[key]
    inside = [name for name, field in here.fields.items() if key in field.fields]
    if inside:
        return f"unknown key: it belongs into {inside[0]}"
    close = suggest(key, here.fields)
    return f"unknown key{close or '; known here: ' + ', '.join(here.fields)}"


def _message(error: ValidationError, node: _Tree, here: Shape) -> str:
    wanted: Any = error.validator_value
    if isinstance(node, Value) and node.content == "":
        return "is empty"
    match error.validator:
        case "type":
            return _wrong_type(wanted, node, here)
        case "enum":
            allowed = [str(value) for value in wanted if value is not None]
            close = "" if _hidden(node, here) else suggest(str(error.instance), allowed)
            return f"{_shown(node, here)} is not one of {', '.join(allowed)}{close}"
        case "minimum":
            return f"has to be at least {wanted}, not {_shown(node, here)}"
        case "minItems":
            return "is empty: leave it out, or put something into it"
        case "pattern":
            like = " or ".join(str(example) for example in here.examples)
            return f"{_shown(node, here)} can't be read: write it as {like}"
        case other:
            return f"does not fulfil the schema's {other}"


def _wrong_type(wanted: str | list[str], node: _Tree, here: Shape) -> str:
    types = [wanted] if isinstance(wanted, str) else wanted
    kinds = " or ".join(_KINDS[each] for each in types if each != "null")
    match node:
        case Table():
            return f"has to be {kinds}, not a map" + (", so quote what begins with {" if "string" in types else "")
        case Items():
            return f"has to be {kinds}, not a list" + (", so quote what begins with [" if "string" in types else "")
        case Value(content=None):
            return f"has to be {kinds}, and nothing is there"
    if _is_secret(here):
        return f"has to be {kinds}"
    hint = ""
    if "boolean" in types and not _hidden(node, here) and str(node.content).lower() in ("yes", "no", "on", "off"):
        hint = " (yes, no, on and off are text in YAML 1.2)"
    return f"has to be {kinds}, not {_shown(node, here)}{hint}"


def _hidden(node: _Tree, here: Shape) -> bool:
    return _is_secret(here) or (isinstance(node, Value) and node.source is not None)


def _is_secret(here: Shape) -> bool:
    """Return whether a path, or one just below it, holds a secret, which may stand too high up by mistake."""
    return here.secret or any(field.secret for field in here.fields.values())


def _shown(node: _Tree, here: Shape) -> str:
    """Return a value for a message: only the names of its variables, and nothing of a secret."""
    if not isinstance(node, Value) or _is_secret(here):
        return "it"
    if node.source is not None:
        return node.shown
    text = repr(node.content) if isinstance(node.content, str) else node.shown
    return text if len(text) <= 60 else f"{text[:57]}..."


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
