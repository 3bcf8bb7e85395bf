"""
Globs over tags: `*`, `?`, `[a-z]`, `[!a]`, `{a,b}`, and a backslash that takes the meaning away from the next.

The dialect is that of the Rust crate globset 0.4 in its default settings, because ocync 0.5.2 reads its tag
rules with it and the same rules have to select the same tags. What sets it apart from a shell's: braces always
mean alternatives (`{a}` is `a`, `{1..3}` is the text `1..3`), an empty alternative counts for nothing (`1.2{,-dev}`
is `1.2-dev` alone), a bracket or brace without its other half is an error, a leading dot is nothing special.

Matching takes time in proportion to the tag and the pattern, whatever the pattern: each run between two stars
is searched once, inside an atomic group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ALTERNATIVES = 1000
"""How many patterns without braces the braces of one pattern may stand for."""
_MAX_PIECES = 200_000
"""How many characters these may have together: a bound on time and memory."""


@dataclass(frozen=True, slots=True)
class _One:
    """A piece that takes exactly one character."""

    regex: str
    char: str = ""
    """The character, where only one will do."""


_Piece: TypeAlias = _One | None
"""None is a star: any number of characters."""
_Plain: TypeAlias = list[_Piece]
"""A pattern without braces."""

_ANY = _One(".")


class Pattern:
    """One glob; raises ValueError that says what is wrong and where."""

    __slots__ = ("_matcher", "literals", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        plain = _parse(text)
        self.text = text
        self.literals: tuple[str, ...] | None = _all_literal(plain)
        """The tags that it names, in its order; None where a wildcard leaves that open."""
        self._matcher = _Matcher(plain, ignore_case=ignore_case)

    def matches(self, tag: str) -> bool:
        """Return whether the whole tag fits."""
        return self._matcher.matches(tag)


class Patterns:
    """Several globs, any of which may match; none at all match nothing. Raises ValueError for a bad one."""

    __slots__ = ("_matcher", "texts")

    def __init__(self, texts: Iterable[str], *, ignore_case: bool = False) -> None:
        self.texts = tuple(texts)
        plain = [each for text in self.texts for each in _parse(text)]
        self._matcher = _Matcher(plain, ignore_case=ignore_case)

    def matches(self, tag: str) -> bool:
        """Return whether the whole tag fits one of them."""
        return self._matcher.matches(tag)

    def __bool__(self) -> bool:
        return bool(self.texts)


class Wildcards:
    """Media types in which a star stands for anything, and nothing else has a meaning; case has no say."""

    __slots__ = ("_matcher", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        plain = [[None if char == "*" else _one(char) for char in text] for text in self.texts]
        self._matcher = _Matcher(plain, ignore_case=True)

    def matches(self, text: str) -> bool:
        """Return whether the whole text fits one of them."""
        return self._matcher.matches(text)

    def __bool__(self) -> bool:
        return bool(self.texts)


def check(text: str) -> None:
    """Raise the ValueError that `Pattern` would raise, without the cost of compiling."""
    _parse(text)


def is_literal(text: str) -> bool:
    """
    Return whether a pattern names its tags, and so may be asked for without a list of all tags.

    Braces are no wildcards: `{1.2,1.3}` names two tags.
    """
    return not any(wildcard in text for wildcard in "*?[")


class _Matcher:
    """Patterns without braces, compiled: literal ones to a set, the others to one regular expression."""

    __slots__ = ("_literals", "_regex")

    def __init__(self, plain: Sequence[_Plain], *, ignore_case: bool) -> None:
        literals = frozenset(() if ignore_case else filter(None, map(_literal, plain)))
        wild = dict.fromkeys(_regex(each) for each in plain if ignore_case or not _literal(each))
        flags = re.DOTALL | re.ASCII | (re.IGNORECASE if ignore_case else 0)
        self._literals = literals
        self._regex = re.compile("|".join(wild), flags) if wild else None

    def matches(self, tag: str) -> bool:
        return tag in self._literals or (self._regex is not None and self._regex.fullmatch(tag) is not None)


def _literal(plain: _Plain) -> str:
    """Return the only text that a pattern matches; empty where it matches several, or only the empty text."""
    chars = [piece.char if piece else "" for piece in plain]
    return "".join(chars) if all(chars) else ""


def _all_literal(plain: Sequence[_Plain]) -> tuple[str, ...] | None:
    texts = [_literal(each) for each in plain]
    return tuple(dict.fromkeys(texts)) if all(texts) else None


def _regex(plain: _Plain) -> str:
    r"""
    Return the regular expression of a pattern without braces.

    `1.*-r?*` becomes `1\.(?>.*?\-r.).*`. What stands between two stars has a fixed length, so that its first
    place is as good as any later one: the atomic group forgets the others, and nothing is tried twice.
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
    """Return the patterns without braces that the text stands for: one, where it has none."""
    return _Parser(text).parse()


class _Parser:
    """
    Reads a pattern from left to right and multiplies its braces out as they close.

    A level holds the finished alternatives of an open brace and the one being read, each as a list of
    patterns; the bottom level is the pattern as a whole.
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
        """Read a bracket expression from behind its `[` to behind its `]`."""
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
