"""The quick look at a document agrees with the library that has the last word."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ocync.config.conforming import conforms
from ocync.config.shape import strict

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 200)
    | st.sampled_from(
        ["", "a", "10s", "2GB", "semver", "ecr", "cgr.dev", "oci:mirror", "*", "linux/amd64", ">=1.0", "x y"]
    )
)
NAMES = st.sampled_from(["a", "b-c", "", "namespace", "team_1"])


def documents(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Give values that are often right for a schema, and now and then wrong anywhere."""
    types = schema.get("type", ["string"])
    chosen: list[st.SearchStrategy[Any]] = []
    for kind in [types] if isinstance(types, str) else types:
        if kind == "object":
            fields = {name: documents(each, depth + 1) for name, each in schema.get("properties", {}).items()}
            required = {name: fields.pop(name) for name in schema.get("required", ()) if name in fields}
            chosen.append(st.fixed_dictionaries(required, optional=fields))
            other = schema.get("additionalProperties")
            if isinstance(other, dict):
                chosen.append(st.dictionaries(NAMES, documents(other, depth + 1), max_size=2))
            chosen.append(st.fixed_dictionaries({"surplus": SCALARS}, optional=fields))
        elif kind == "array":
            chosen.append(st.lists(documents(schema["items"], depth + 1), max_size=2))
        elif "enum" in schema:
            chosen.append(st.sampled_from(schema["enum"]))
    return st.one_of(*chosen, SCALARS) if chosen else SCALARS


@given(documents(strict()))
def test_what_conforms_is_valid_and_what_does_not_is_not(document: Any) -> None:
    assert conforms(document, strict()) is Draft202012Validator(strict()).is_valid(document)


SMALL = [
    {"type": "integer"},
    {"type": ["string", "null"], "minLength": 1},
    {"type": "string", "pattern": "^[a-z]+$"},
    {"enum": [1, "a", None, True]},
    {"minimum": 1},
    {"minItems": 1, "items": {"type": "string"}},
    {"required": ["a"], "properties": {"a": {"type": "integer"}}},
    {"properties": {"a": {}}, "additionalProperties": False},
    {"propertyNames": {"pattern": "^a"}, "additionalProperties": {"type": "boolean"}},
    {"additionalProperties": True},
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "a", "b1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("schema", SMALL, ids=str)
@given(value=ANYTHING)
def test_each_keyword_means_what_the_library_says(schema: dict[str, Any], value: Any) -> None:
    assert conforms(value, schema) is Draft202012Validator(schema).is_valid(value)


@given(ANYTHING)
def test_a_keyword_that_is_not_known_leaves_it_to_the_library(value: Any) -> None:
    assert not conforms(value, {"maxLength": 100_000})
    assert not conforms({"a": value}, {"properties": {"a": {"not": False}}})


def test_a_file_that_is_right_is_read_without_the_library(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    code = (
        "import sys; from ocync.cli.main import run; code = run(['validate', sys.argv[1]]);"
        "sys.exit(f'{code}, {\"jsonschema\" in sys.modules}')"
    )

    def validated() -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
        ).stderr

    file.write_text("registries: {a: {url: a.io}, b: {url: b.io}}\nmappings: [{from: x, source: a, targets: b}]\n")
    assert validated().endswith("0, False\n")
    file.write_text("registries: {a: {url: a.io}}\nmapings: []\n")
    assert validated().endswith("3, True\n")
