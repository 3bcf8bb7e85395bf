"""
Globs over tags: `*`, `?`, `[a-z]`, `[!a]`, `{a,b}`, and a backslash that makes the next character literal.

The dialect is that of the Rust crate globset 0.4 with its default settings: ocync 0.5.2 reads its tag rules with
it, and the same rules have to select the same tags. It differs from a shell's: braces always mean alternatives
(`{a}` is `a`, `{1..3}` is the text `1..3`), an empty alternative is ignored (`1.2{,-dev}` is `1.2-dev` alone), an
unbalanced bracket or brace is an error, and a leading dot is an ordinary character.

Matching takes time in proportion to the lengths of tag and pattern: each run between two stars is searched once,
inside an atomic group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ALTERNATIVES = 1000
"""Braceless patterns that the braces of one pattern may stand for."""
_MAX_PIECES = 200_000
"""Characters that these may have together: a bound on time and memory."""


@dataclass(frozen=True, slots=True)
class _One:
    """A piece that matches exactly one character."""

    regex: str
    char: str = ""
    """The only character that matches; empty where several do."""


_Piece: TypeAlias = _One | None
"""None is a star: any number of characters."""
_Plain: TypeAlias = list[_Piece]
"""A braceless pattern."""

_ANY = _One(".")


class _Matcher:
    """Braceless patterns, compiled: literal ones to a set, the others to one regular expression."""

    __slots__ = ("_literals", "_regex")

    def __init__(self, plain: Sequence[_Plain], *, ignore_case: bool = False) -> None:
        wild = dict.fromkeys(_regex(each) for each in plain if ignore_case or not _literal(each))
        flags = re.DOTALL | re.ASCII | (re.IGNORECASE if ignore_case else 0)
        self._literals = frozenset(() if ignore_case else filter(None, map(_literal, plain)))
        self._regex = re.compile("|".join(wild), flags) if wild else None

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches a pattern; without patterns, nothing does."""
        return text in self._literals or (self._regex is not None and self._regex.fullmatch(text) is not None)

    def __bool__(self) -> bool:
        return bool(self._literals) or self._regex is not None


class Pattern(_Matcher):
    """One glob; raises ValueError that says what is wrong and where."""

    __slots__ = ("literals",)

    def __init__(self, text: str) -> None:
        plain = _parse(text)
        super().__init__(plain)
        literals = [_literal(each) for each in plain]
        self.literals: tuple[str, ...] | None = tuple(dict.fromkeys(literals)) if all(literals) else None
        """The tags that it names, in its order; None where a wildcard leaves that open."""


class Patterns(_Matcher):
    """Several globs, any of which may match. Raises ValueError for a bad one."""

    __slots__ = ()

    def __init__(self, texts: Iterable[str], *, ignore_case: bool = False) -> None:
        super().__init__([plain for text in texts for plain in _parse(text)], ignore_case=ignore_case)


class Wildcards(_Matcher):
    """Media types, whatever their case, in which only a star is special: it stands for any characters."""

    __slots__ = ()

    def __init__(self, texts: Iterable[str]) -> None:
        plain = [[None if char == "*" else _one(char) for char in text] for text in texts]
        super().__init__(plain, ignore_case=True)


def check(text: str) -> None:
    """Raise the ValueError that `Pattern` would raise, without the cost of compiling."""
    _parse(text)


def is_literal(text: str) -> bool:
    """Return whether a pattern names its tags, so that no tag list is needed; `{1.2,1.3}` names two."""
    return not any(wildcard in text for wildcard in "*?[")


def _literal(plain: _Plain) -> str:
    """Return the only text that a pattern matches; empty if it matches several, or only the empty text."""
    chars = [piece.char if piece else "" for piece in plain]
    return "".join(chars) if all(chars) else ""


def _regex(plain: _Plain) -> str:
    r"""
    Return the regular expression of a braceless pattern.

    `1.*-r?*` becomes `1\.(?>.*?\-r.).*`. A run between two stars has a fixed length, so its first match is as good
    as any later one: the atomic group discards the others, and nothing is tried twice.
    """
    runs = [""]
    for piece in plain:
        if piece is not None:
            runs[-1] += piece.regex
        elif runs[-1] or len(runs) == 1:
            runs.append("")
    first, *rest = runs
    if not rest:
        return first
    last = "" if plain[-1] is None else rest.pop()
    return first + "".join(f"(?>.*?{run})" for run in rest if run) + ".*" + last


def _parse(text: str) -> list[_Plain]:
    """Return the braceless patterns that the text stands for; raises ValueError."""
    return _Parser(text).parse()


class _Parser:
    """
    Reads a pattern from left to right and expands its braces as they close.

    A level has the finished alternatives of an open brace and the one being read, each as a list of braceless
    patterns; the bottom level is the whole pattern.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._pieces = 0
        self._done: list[list[list[_Piece]]] = [[]]
        self._current: list[list[list[_Piece]]] = [[[]]]
        self._opened: list[int] = []

    def parse(self) -> list[_Plain]:
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            self._read(char)
        if self._opened:
            raise self._error("the { is never closed", self._opened[-1])
        return self._current[0]

    def _read(self, char: str) -> None:
        match char:
            case "*":
                self._append(None)
            case "?":
                self._append(_ANY)
            case "[":
                self._append(self._class())
            case "{":
                self._opened.append(self._at)
                self._done.append([])
                self._current.append([[]])
            case "," if self._opened:
                self._end_alternative()
            case "}":
                self._close()
            case "\\":
                if self._at == len(self._text):
                    raise self._error("nothing follows the backslash", self._at)
                self._append(_one(self._text[self._at]))
                self._at += 1
            case _:
                self._append(_one(char))

    def _append(self, piece: _Piece) -> None:
        heads = self._current[-1]
        self._spend(len(heads))
        for head in heads:
            head.append(piece)

    def _multiply(self, tails: list[list[_Piece]]) -> None:
        heads = self._current[-1]
        self._spend(len(heads) * sum(map(len, tails)) + len(tails) * sum(map(len, heads)))
        if len(heads) * len(tails) > MAX_ALTERNATIVES:
            raise self._too_large()
        self._current[-1] = [head + tail for head in heads for tail in tails]

    def _spend(self, pieces: int) -> None:
        self._pieces += pieces
        if self._pieces > _MAX_PIECES:
            raise self._too_large()

    def _end_alternative(self) -> None:
        self._done[-1] += [plain for plain in self._current[-1] if plain]
        self._current[-1] = [[]]

    def _close(self) -> None:
        if not self._opened:
            raise self._error("the } closes no {", self._at)
        self._end_alternative()
        self._opened.pop()
        self._current.pop()
        alternatives = self._done.pop()
        if alternatives:
            self._multiply(alternatives)

    def _class(self) -> _One:
        """Read a bracket expression, from after its `[` to after its `]`."""
        opened = self._at
        negated = self._text[self._at : self._at + 1] in ("!", "^")
        self._at += negated
        ranges: list[tuple[str, str]] = []
        in_range = False
        while True:
            if self._at >= len(self._text):
                raise self._error("the [ is never closed", opened)
            char = self._text[self._at]
            self._at += 1
            if char == "]" and ranges:
                break
            if in_range:
                low, _ = ranges.pop()
                if char < low:
                    raise self._error(f"the range {low}-{char} runs backwards", self._at - 2)
                ranges.append((low, char))
                in_range = False
            elif char == "-" and ranges:
                in_range = True
            else:
                ranges.append((char, char))
        if in_range:
            ranges.append(("-", "-"))
        inner = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges)
        return _One(f"[{'^' if negated else ''}{inner}]")

    def _too_large(self) -> ValueError:
        return ValueError(
            f"the pattern {_shown(self._text)} is too large: its braces may stand for {MAX_ALTERNATIVES} patterns"
        )

    def _error(self, why: str, position: int) -> ValueError:
        return ValueError(f"the pattern {_shown(self._text)} can't be read: {why} (character {position})")


def _one(char: str) -> _One:
    return _One(re.escape(char), char)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
