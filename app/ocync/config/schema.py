"""The config file against its schema: every error at its place, in words for people, without a secret."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from ocync.config.shape import Shape, shape, strict
from ocync.config.typed import plain
from ocync.config.yaml.node import NOWHERE, Items, Path, Table, Value, at, key_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jsonschema.exceptions import ValidationError

    from ocync.config.yaml.findings import Findings

REMOVED = {
    "semver_prerelease": "was removed: leave it out, as versions before a release are dropped anyway, "
    'or keep them with include: ["*-rc*", "*-alpha*", "*-beta*", "*-pre*", "*-snapshot*", "*-nightly*"]',
}
"""Keys that were once allowed, and what to write instead."""

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map of keys",
}


def validate(table: Table[Value], findings: Findings) -> None:
    """Record every way in which the file is not what the schema asks for."""
    for error in _validator().iter_errors(plain(table)):
        path: Path = tuple(error.absolute_path)
        if not findings.is_wrong(path):
            _note(error, path, table, findings)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean x?` where something known is spelt much like the word, else nothing."""
    close = _closest(word, known)
    return f", did you mean {close}?" if close else ""


def _closest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 -- for files with errors only

    folded = {_folded(name): name for name in known}
    short = _folded(word)
    close = get_close_matches(short, folded, n=5, cutoff=0.6)
    # Of several that are alike, the one with the same letters: most slips exchange two of them.
    close.sort(key=lambda name: sorted(name) != sorted(short))
    close += [name for name in folded if len(short) > 1 and name.startswith(short)]
    return folded[close[0]] if close else ""


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(strict())


def _folded(word: str) -> str:
    return word.casefold().replace("_", "").replace("-", "")


def _note(error: ValidationError, path: Path, table: Table[Value], findings: Findings) -> None:
    here = shape().at(path)
    node = at(table, path)
    # The validator does not look below keys that it refuses.
    assert here is not None
    assert node is not None
    if error.validator == "additionalProperties" and isinstance(node, Table):
        for key in node.entries:
            if key not in here.fields:
                findings.error(_unknown(key, here), (*path, key), node.keys[key])
        return
    if "propertyNames" in error.absolute_schema_path:
        key = str(error.instance)
        message = f"{key[:60]!r} can't be the name of a label: letters, digits and _, and no digit at its beginning"
        place = node.keys[key] if isinstance(node, Table) else NOWHERE
        findings.error(message, (*path, key), place)
        return
    if error.validator == "required":
        # One error for each missing key, and only its message says which.
        wanted: Any = error.validator_value
        present: Any = error.instance
        misspelt = {_closest(key, here.fields) for key in present if key not in here.fields}
        for key in wanted:
            if error.message.startswith(repr(key)) and key not in misspelt:
                findings.error("is missing", (*path, key), key_place(table, path))
        return
    source = node.source if isinstance(node, Value) else None
    place = node.place if isinstance(node, Value) and node.content is not None else key_place(table, path)
    findings.error(_message(error, node, here), path, place, source)


def _unknown(key: str, here: Shape) -> str:
    if key in REMOVED:
        return REMOVED[key]
    inside = [name for name, field in here.fields.items() if key in field.fields]
    if inside:
        return f"unknown key: it belongs into {inside[0]}"
    close = suggest(key, here.fields)
    return f"unknown key{close or '; known here: ' + ', '.join(here.fields)}"


def _message(error: ValidationError, node: Value | Table[Value] | Items[Value], here: Shape) -> str:
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


def _wrong_type(wanted: str | list[str], node: Value | Table[Value] | Items[Value], here: Shape) -> str:
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


def _hidden(node: Value | Table[Value] | Items[Value], here: Shape) -> bool:
    return _is_secret(here) or (isinstance(node, Value) and node.source is not None)


def _is_secret(here: Shape) -> bool:
    """Return whether a path, or one just below it, holds a secret, which may stand too high up by mistake."""
    return here.secret or any(field.secret for field in here.fields.values())


def _shown(node: Value | Table[Value] | Items[Value], here: Shape) -> str:
    """Return the value for a message; of one with variables only their names, of a secret nothing."""
    if not isinstance(node, Value) or _is_secret(here):
        return "it"
    if node.source is not None:
        return f"what {node.source.named} holds" if node.source.whole else f"what {node.source.named} made of it"
    text = str(node.content) if not isinstance(node.content, str) else repr(node.content)
    return text if len(text) <= 60 else f"{text[:57]}..."
