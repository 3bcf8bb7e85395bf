"""
Tags as versions, and ranges of versions.

Tags are not semantic versions: `15.10-alpine`, `21.0.5_11-jre`, `v1.27.6-eks-1-27-14`, `2024.01.15`. So only the
leading numbers decide whether a tag is in a range, and what follows the first dash only orders tags with the same
numbers. Parsing, order and the operators `>= <= > < =` are those of ocync 0.5.2; `^`, `~`, `1.x`, `||` and spaces
in place of commas are additions.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TypeAlias

Numbers: TypeAlias = tuple[int, ...]
"""Numbers of a version without trailing zeros, so that 1, 1.0 and 1.0.0 are equal."""
Token: TypeAlias = tuple[int, int, str]
"""A part of a suffix: (0, number, "") or (1, 0, text), so that numbers sort below texts."""

_TAG = re.compile(r"v?([0-9]+(?:[._][0-9]+)*)(?:-(.*))?", re.DOTALL)
_TOKEN = re.compile(r"[0-9]+|[^0-9._-]+")
_SEPARATOR = re.compile(r"[._]")
# ocync 0.5.2 reads numbers into 64 bits: a tag with a longer one is no version, and in a suffix it is a text.
_LIMIT = 1 << 64

_OR = re.compile(r"\|\|")
_AND = re.compile(r"\s*,\s*|\s+(?=[<>=^~])")
_CONSTRAINT = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*v?([0-9xX*][0-9xX*._]*)")
_WILDCARDS = ("x", "X", "*")
_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq}


@dataclass(frozen=True, slots=True, order=True)
class TagVersion:
    """
    A tag's version; the order is total, and two spellings of one version are equal.

    A version without a suffix is above all with one: 1.0 is above 1.0-rc1, and above 1.0-alpine too.
    """

    numbers: Numbers
    final: bool = True
    """Whether there is no suffix."""
    suffix: tuple[Token, ...] = ()

    @classmethod
    def parse(cls, tag: str) -> TagVersion | None:
        """Return a tag's version; None for `latest`, `17rc1` and other tags without one."""
        found = _TAG.fullmatch(tag)
        if found is None:
            return None
        numbers = [_number(part) for part in _SEPARATOR.split(found[1])]
        if any(number >= _LIMIT for number in numbers):
            return None
        suffix = tuple(_token(text) for text in _TOKEN.findall(found[2] or ""))
        return cls(_trimmed(numbers), not suffix, suffix)

    @property
    def key(self) -> tuple[Numbers, bool, tuple[Token, ...]]:
        """A sort key with the same order, faster for many versions."""
        return self.numbers, self.final, self.suffix


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison with a bound: `>=` `<=` `>` `<` `=`."""

    operator: str
    bound: Numbers

    def holds(self, numbers: Numbers) -> bool:
        """Return whether the numbers fulfil the comparison."""
        return bool(_OPERATORS[self.operator](numbers, self.bound))


@dataclass(frozen=True, slots=True)
class Range:
    """A range such as `>=1.25, <2`: alternatives, each of comparisons that all have to hold."""

    text: str
    alternatives: tuple[tuple[Comparison, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """
        Return the range that a text describes; raises ValueError that says what is wrong.

        Constraints that all have to hold are joined by commas or spaces: `>=1.0 <=1.0 >1.0 <1.0 =1.0`, a bare
        version for `=`, `^1.2` (the first number that is not zero stays), `~1.2` (the first two numbers stay),
        `1.2.x`, `1.*`, `*`. Alternatives are joined by `||`.
        """
        shown = repr(text if len(text) <= 80 else text[:77] + "...")
        return cls(text, tuple(_alternative(part, shown) for part in _OR.split(text)))

    def matches(self, version: TagVersion) -> bool:
        """Return whether the version's numbers are in the range; its suffix is ignored."""
        return any(
            all(comparison.holds(version.numbers) for comparison in alternative)
            for alternative in self.alternatives
        )

    def __str__(self) -> str:
        return self.text


def _alternative(part: str, shown: str) -> tuple[Comparison, ...]:
    constraints = _AND.split(part.strip())
    return tuple(comparison for each in constraints for comparison in _comparisons(each, shown))


def _comparisons(constraint: str, shown: str) -> tuple[Comparison, ...]:
    """Return a constraint as plain comparisons; none if it holds for every version."""
    if not constraint:
        raise ValueError(f"the version range {shown} has an empty part")
    if "-" in constraint:
        raise ValueError(
            f"the version range {shown} has a suffix in {constraint[:40]!r}: ranges look at the numbers alone, "
            f"choose among suffixes with glob and exclude"
        )
    found = _CONSTRAINT.fullmatch(constraint)
    bound = _bound(found[2]) if found else None
    if found is None or bound is None:
        raise ValueError(
            f"the version range {shown} can't be read at {constraint[:40]!r}: write >=1.2, <2.0 or ^1.2, ~1.2, 1.x"
        )
    sign, (numbers, has_wildcard) = found[1] or "=", bound
    if sign in ("^", "~"):
        return _between(numbers, _next(numbers, _fixed(sign, numbers)))
    if not has_wildcard:
        return (Comparison(sign, _trimmed(numbers)),)
    return _wildcard(sign, numbers)


def _bound(text: str) -> tuple[list[int], bool] | None:
    """Return the numbers of `1.2` or `1.2.x`, and whether wildcards follow; None for anything else."""
    parts = _SEPARATOR.split(text)
    numbers = []
    while parts and parts[0].isdecimal():
        numbers.append(_number(parts.pop(0)))
    if any(part not in _WILDCARDS for part in parts):
        return None
    return numbers, bool(parts)


def _fixed(sign: str, numbers: list[int]) -> int:
    """Return how many leading numbers `^` or `~` leave as they are."""
    if sign == "~":
        return min(2, len(numbers))
    for position, number in enumerate(numbers[:3]):
        if number:
            return position + 1
    # All are zero: ^0 is 0.x, ^0.0 is 0.0.x, ^0.0.0 is that version.
    return min(3, len(numbers))


def _wildcard(sign: str, numbers: list[int]) -> tuple[Comparison, ...]:
    """Return the comparisons for `1.2.x` after an operator; `>` and `<` exclude all of `1.2.x`."""
    if not numbers:
        # `*` is every version, and none is outside.
        return (Comparison("<", ()),) if sign in ("<", ">") else ()
    after = _next(numbers, len(numbers))
    if sign == "=":
        return _between(numbers, after)
    bound = _trimmed(numbers) if sign in (">=", "<") else after
    return (Comparison(">=" if sign[0] == ">" else "<", bound),)


def _between(numbers: list[int], after: Numbers) -> tuple[Comparison, ...]:
    if not after:
        return ()
    return Comparison(">=", _trimmed(numbers)), Comparison("<", after)


def _next(numbers: list[int], fixed: int) -> Numbers:
    """Return the lowest version in which one of the `fixed` leading numbers is larger; () if none is fixed."""
    return (*numbers[: fixed - 1], numbers[fixed - 1] + 1) if fixed else ()


def _token(text: str) -> Token:
    if text[0] in "0123456789" and (number := _number(text)) < _LIMIT:
        return 0, number, ""
    return 1, 0, text


def _number(digits: str) -> int:
    """Return the number, at most the limit; Python refuses to convert very long ones."""
    digits = digits.lstrip("0")
    return min(int(digits or "0"), _LIMIT) if len(digits) <= 20 else _LIMIT


def _trimmed(numbers: list[int]) -> Numbers:
    end = len(numbers)
    while end and not numbers[end - 1]:
        end -= 1
    return tuple(numbers[:end])
