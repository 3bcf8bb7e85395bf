"""docs/protocol.md and SECURITY.md name tests that are there, and a test or a reason for each of their lines."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = {name: (TESTS.parent / name).read_text(encoding="utf-8") for name in ("docs/protocol.md", "SECURITY.md")}
NAMED = r"`([\w/]+\.py)::(\w+)`"


def rows_of(page: str) -> list[tuple[str, str]]:
    """Return what each line of the tables claims, with the reference to its tests or the reason for having none."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    return [(claim, reference) for claim, reference in rows if reference != "test"]


def notes_of(page: str) -> dict[str, str]:
    """Return the text of each footnote, by its mark."""
    return dict(re.findall(r"^(\[\^\d+\]): (.+(?:\n    .+)*)", page, re.MULTILINE))


ROWS = [(page, claim, reference) for page, text in PAGES.items() for claim, reference in rows_of(text)]


@cache
def functions_of(file: str) -> frozenset[str]:
    body = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = (node for node in body.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize(("page", "claim", "reference"), ROWS, ids=[claim[:60] for _, claim, _ in ROWS])
def test_every_line_of_a_table_has_a_test_or_a_reason_for_none(page: str, claim: str, reference: str) -> None:
    if reference.startswith("not used: "):
        return
    note = notes_of(PAGES[page])[reference]
    named = re.findall(NAMED, note)

    assert named, claim
    assert not [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    # Nothing stands there that is not read here.
    assert ",\n    ".join(f"`{file}::{name}`" for file, name in named) == note


@pytest.mark.parametrize(("name", "least"), [("docs/protocol.md", 50), ("SECURITY.md", 25)])
def test_the_pages_are_read_whole(name: str, least: int) -> None:
    page = PAGES[name]
    tables = page.count("| test |\n")
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    rows = rows_of(page)
    references = [reference for _, reference in rows if not reference.startswith("not used: ")]

    assert len(rows) >= least
    assert tables >= 5
    assert lines == [f"| {claim} | {reference} |" for claim, reference in rows]
    # Each footnote is of one line, and none is left over.
    assert references == list(notes_of(page))
    assert page.count("::test_") == sum(len(re.findall(NAMED, note)) for note in notes_of(page).values()) + len(
        re.findall(NAMED, page[: page.index("\n| ")])
    )
    assert not [f"{file}::{test}" for file, test in re.findall(NAMED, page) if test not in functions_of(file)]
