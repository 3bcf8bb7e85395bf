"""Scalars and the types that are wanted where they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.config.resolve import resolve
from ocync.config.schema import Shape
from ocync.config.yaml.document import parse
from ocync.config.yaml.findings import Findings
from ocync.config.yaml.node import plain


def content(written: str, *types: str, environ: dict[str, str] | None = None) -> object:
    """What is read where values of some types are wanted."""
    shape = Shape(types=frozenset({"object"}), fields={"key": Shape(types=frozenset(types))})
    table = parse(f"key: {written}\n".encode(), "c.yaml")
    result = plain(resolve(table, shape, environ or {}, Findings("c.yaml")))
    assert isinstance(result, dict)
    return result["key"]


@pytest.mark.parametrize(
    "written", ["no", "on", "1.10", "012", "true", "5", "0x1f", "12:30", "2024-01-01", "~", "null", "1e3", ".nan"]
)
def test_a_scalar_stays_as_written_where_the_schema_asks_for_text(written: str) -> None:
    assert content(written, "string") == written


@pytest.mark.parametrize(
    ("written", "types", "read"),
    [
        ("5", ["integer"], 5),
        ("-5", ["integer"], -5),
        ("+5", ["integer"], 5),
        ("012", ["integer"], 12),
        ("0o17", ["integer"], 15),
        ("0x1F", ["integer"], 31),
        ("017_0", ["integer"], "017_0"),
        ("1:30", ["integer"], "1:30"),
        ("5.0", ["integer"], "5.0"),
        ("'5'", ["integer"], "5"),
        ("!!str 5", ["integer"], "5"),
        ("!!int '5'", ["integer"], 5),
        ("5", ["integer", "string"], 5),
        ("5m", ["integer", "string"], "5m"),
        ("'5'", ["integer", "string"], "5"),
        ("9" * 30, ["integer"], "9" * 30),
        ("true", ["boolean"], True),
        ("False", ["boolean"], False),
        ("TRUE", ["boolean"], True),
        ("tRUE", ["boolean"], "tRUE"),
        ("yes", ["boolean"], "yes"),
        ("on", ["boolean"], "on"),
        ("1", ["boolean"], "1"),
        ("'true'", ["boolean"], "true"),
        ("", ["string", "null"], None),
        ("~", ["string", "null"], None),
        ("null", ["string", "null"], None),
        ("NULL", ["string", "null"], None),
        ("none", ["string", "null"], "none"),
        ("''", ["string", "null"], ""),
        ("'null'", ["string", "null"], "null"),
        ("", ["string"], ""),
        ("", ["object"], None),
    ],
)
def test_a_scalar_has_the_type_that_the_schema_asks_for(written: str, types: list[str], read: object) -> None:
    found = content(written, *types)

    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("written", "types", "read"),
    [
        ("${N}", ["integer", "null"], 7),
        ("'${N}'", ["integer", "null"], 7),
        ("${UNSET:-8}", ["integer"], 8),
        ("1${N}", ["integer"], "17"),
        ("${T}", ["boolean"], True),
        ("${N}", ["string"], "7"),
        ("${N}", ["integer", "string"], "7"),
        ("${NULL}", ["string", "null"], "null"),
        ("${NULL}", ["integer", "null"], None),
        ("${UNSET}", ["string", "null"], ""),
        ("${UNSET}", ["integer", "null"], ""),
        ("$${N}", ["string"], "${N}"),
    ],
)
def test_a_variable_alone_is_read_as_if_its_content_were_written_there(
    written: str, types: list[str], read: object
) -> None:
    found = content(written, *types, environ={"N": "7", "T": "true", "NULL": "null"})

    assert found == read
    assert type(found) is type(read)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_variable_in_a_text_is_always_text(text: str) -> None:
    assert content("${V}", "string", "null", environ={"V": text}) == text


def test_keys_have_no_variables() -> None:
    table = parse(b"${A}: ${A}\n", "c.yaml")

    assert plain(resolve(table, Shape(), {"A": "x"}, Findings("c.yaml"))) == {"${A}": "x"}
