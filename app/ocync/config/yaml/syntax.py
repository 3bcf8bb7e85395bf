"""Explains libyaml's errors to the person who wrote the file."""

from __future__ import annotations

import yaml

from ocync.config.yaml.node import NOWHERE, Position
from ocync.lib.errors import Problem

TABS = "a tab can't indent YAML: write spaces"
NOT_UTF8 = "is not UTF-8"
MAX_DEPTH = 64
"""Nested maps and lists; no configuration needs a tenth of that."""
QUOTE_STAR = 'a * at the beginning of a value has a meaning of its own in YAML, so quote it, as "*-slim"'

# By the words of libyaml 0.2; if no row matches, they are shown as they are.
_MEANINGS = (
    ("scanning an alias", QUOTE_STAR),
    ("scanning an anchor", "an & at the beginning of a value has a meaning of its own in YAML: quote the value"),
    (
        "scanning a block scalar",
        'a > or | at the beginning of a value has a meaning of its own in YAML: quote it, as ">=1.0"',
    ),
    (
        "mapping values are not allowed",
        "a colon doesn't fit here: check the indentation, or quote a value that holds a colon and a blank",
    ),
    ("could not find expected ':'", "a key without a colon, or a line that is indented wrongly"),
    (
        "did not find expected key",
        "a key was expected here: check the indentation, and quote values that go on behind a quoted text",
    ),
    ("did not find expected '-' indicator", "an item of the list was expected here: check the indentation"),
    ("block sequence entries are not allowed", "a list's item doesn't fit here: put it on a line of its own"),
    ("did not find expected ',' or ']'", "the list in brackets isn't closed, or a comma is missing"),
    ("did not find expected ',' or '}'", "the map in braces isn't closed, or a comma is missing"),
    ("found unexpected end of stream", "the quoted text that begins here isn't closed"),
    (
        "unknown escape character",
        "this backslash begins no escape: write \\\\ for a backslash, or use single quotes",
    ),
    ("cannot start any token", "a value can't begin with this character: quote it"),
    # From libyaml 0.2.6 on the scanner gives up at 1000 levels, before it emits the events that we count.
    ("maximum nesting depth", f"is nested more than {MAX_DEPTH} levels deep"),
    ("undefined tag handle", "tags such as !name are not allowed: quote a value that begins with !"),
)


def explain(error: yaml.YAMLError, text: str) -> Problem:
    """Return the problem that an error of libyaml means, in one line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(message=f"is not YAML: {' '.join(str(error).split())}")
    words = ", ".join(filter(None, (error.context, error.problem)))
    mark = error.problem_mark
    if mark is None or ("quoted scalar" in words and "end of stream" in words):
        mark = error.context_mark or mark
    position = Position(mark.line + 1, mark.column + 1) if mark else NOWHERE
    tab = _tab(text, position)
    if tab:
        return Problem(message=TABS, line=tab.line, column=tab.column)
    meaning = next((meaning for key, meaning in _MEANINGS if key in words), f"is not YAML: {words}")
    return Problem(message=meaning, line=position.line, column=position.column)


def position_of(text: str, offset: int) -> Position:
    """Return the line and column of an offset in the text."""
    start = text.rfind("\n", 0, offset) + 1
    return Position(text.count("\n", 0, offset) + 1, offset - start + 1)


def _tab(text: str, position: Position) -> Position | None:
    """Return the position of a tab in the indentation of an error's line, or at the error itself."""
    lines = text.splitlines()
    if not 0 < position.line <= len(lines):
        return None
    line = lines[position.line - 1]
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        return Position(position.line, indentation.index("\t") + 1)
    return position if line[position.column - 1 : position.column] == "\t" else None
