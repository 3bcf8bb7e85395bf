"""
Whether a document is what a schema asks for, told without the library that says what is wrong with it.

That library takes a sixth of the start of a pass to load, and most files are right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def conforms(value: Any, schema: Mapping[str, Any]) -> bool:
    """
    Tell whether the value is sure to be valid (JSON Schema 2020-12); False where it is not, or may not be.

    A keyword that is not known here makes everything doubtful.
    """
    for keyword, wanted in schema.items():
        check = _CHECKS.get(keyword)
        if check is None or not check(value, wanted, schema):
            return False
    return True


def _type(value: Any, wanted: str | list[str], _schema: Mapping[str, Any]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    # By the class itself: in Python True is an integer too.
    return any(type(value) is _TYPES.get(name) for name in names)


def _enum(value: Any, wanted: list[Any], _schema: Mapping[str, Any]) -> bool:
    return any(type(value) is type(each) and value == each for each in wanted)


def _minimum(value: Any, wanted: float, _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, int | float) or isinstance(value, bool) or value >= wanted


def _pattern(value: Any, wanted: str, _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, str) or re.search(wanted, value) is not None


def _min_length(value: Any, wanted: int, _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, str) or len(value) >= wanted


def _min_items(value: Any, wanted: int, _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, list) or len(value) >= wanted


def _items(value: Any, wanted: Mapping[str, Any], _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, list) or all(conforms(each, wanted) for each in value)


def _required(value: Any, wanted: list[str], _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, dict) or all(name in value for name in wanted)


def _properties(value: Any, wanted: Mapping[str, Any], _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, dict) or all(
        conforms(each, wanted[name]) for name, each in value.items() if name in wanted
    )


def _property_names(value: Any, wanted: Mapping[str, Any], _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, dict) or all(conforms(name, wanted) for name in value)


def _additional(value: Any, wanted: Any, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    others = [each for name, each in value.items() if name not in schema.get("properties", {})]
    if isinstance(wanted, bool):
        return wanted or not others
    return all(conforms(each, wanted) for each in others)


_CHECKS: dict[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
    "type": _type,
    "enum": _enum,
    "minimum": _minimum,
    "pattern": _pattern,
    "minLength": _min_length,
    "minItems": _min_items,
    "items": _items,
    "required": _required,
    "properties": _properties,
    "propertyNames": _property_names,
    "additionalProperties": _additional,
}
