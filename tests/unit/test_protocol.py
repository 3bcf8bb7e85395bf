"""docs/protocol.md and SECURITY.md name tests that are there, and a test or a reason for each of their lines."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = {name: (TESTS.parent / name).read_text(encoding="utf-8") for name in ("docs/protocol.md", "SECURITY.md")}
ROWS = [
    row
    for page in PAGES.values()
    for row in re.findall(r"^\| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    if row[1] != "test"
]


@cache
def functions_of(file: str) -> frozenset[str]:
    body = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = (node for node in body.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize(("says", "tests"), ROWS, ids=[says[:60] for says, _ in ROWS])
def test_every_line_of_a_table_has_a_test_or_a_reason_for_none(says: str, tests: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)

    assert named or tests.startswith("not used: "), says
    assert not [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    # Nothing stands there that is not read here.
    assert tests.startswith("not used: ") or ", ".join(f"`{file}::{name}`" for file, name in named) == tests


@pytest.mark.parametrize(("name", "least"), [("docs/protocol.md", 50), ("SECURITY.md", 25)])
def test_the_pages_are_read_whole(name: str, least: int) -> None:
    page = PAGES[name]
    tables = page.count("| test |\n")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.endswith("| test |")]

    assert len(rows) >= least
    assert tables >= 5
    assert all(any(line == f"| {says} | {tests} |" for says, tests in ROWS) for line in rows)
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert not [f"{file}::{test}" for file, test in named if test not in functions_of(file)]
