"""docs/protocol.md names tests that are there, and a test or a reason for each of its lines."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
ROWS = [row for row in re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE) if row[1] != "test"]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


@cache
def functions_of(file: str) -> frozenset[str]:
    body = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = (node for node in body.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize(("says", "tests"), ROWS, ids=[says[:60] for says, _ in ROWS])
def test_every_line_of_the_protocol_has_a_test_or_a_reason_for_none(says: str, tests: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)

    assert named or tests.startswith("not used: "), says
    assert not [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    # Nothing stands there that is not read here.
    assert tests.startswith("not used: ") or ", ".join(f"`{file}::{name}`" for file, name in named) == tests


def test_the_page_is_read_whole() -> None:
    headings = re.findall(r"^## .+$", PAGE, re.MULTILINE)

    assert len(ROWS) == PAGE.count("\n| ") - len(headings)
    assert len(ROWS) > 50
    assert len(headings) >= 6
    assert all(name in functions_of(file) for file, name in NAMED)
