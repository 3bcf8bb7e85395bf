"""Whether tag rules with wildcards can be seen to have no tag in common, without any registry's tags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocync.tags.glob import is_literal
from ocync.tags.version_range import Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.tags.rules import TagRules
    from ocync.tags.version_range import Comparison, Numbers

_HEAD = re.compile(r"[^*?\[{\\]*")
_TAIL = re.compile(r"[^*?\]}\\]*$")


def are_disjoint(one: TagRules, other: TagRules) -> bool:
    """
    Return whether no tag can be selected by both, but for tags that the rules name.

    True is certain; False may only mean that it can't be seen from the rules.
    """
    if one.semver and other.semver and not ranges_meet(Range.parse(one.semver), Range.parse(other.semver)):
        return True
    here, there = _patterns(one), _patterns(other)
    if _drops(one, there) or _drops(other, here):
        return True
    return bool(here and there) and not any(patterns_may_meet(a, b) for a in here for b in there)


def ranges_meet(one: Range, other: Range) -> bool:
    """Return whether some version is in both ranges."""
    return any(_is_satisfiable((*a, *b)) for a in one.alternatives for b in other.alternatives)


def patterns_may_meet(one: str, other: str) -> bool:
    """Return whether some text may match both, by what stands before their first wildcard and behind the last."""
    heads = sorted((_found(_HEAD, one), _found(_HEAD, other)), key=len)
    tails = sorted((_found(_TAIL, one), _found(_TAIL, other)), key=len)
    return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])


def _found(part: re.Pattern[str], text: str) -> str:
    found = part.search(text)
    return found[0] if found else ""


def _patterns(rules: TagRules) -> tuple[str, ...]:
    """Return patterns of which each selected tag that is not named matches one; none, where it may be any tag."""
    return (*rules.glob, *(text for text in rules.include if not is_literal(text))) if rules.glob else ()


def _drops(rules: TagRules, patterns: tuple[str, ...]) -> bool:
    """Return whether the rules exclude all that the patterns match."""
    soft = () if any(not is_literal(text) for text in rules.include) else rules.default_exclude
    return bool(patterns) and set(patterns) <= {*rules.exclude, *soft}


def _is_satisfiable(comparisons: Sequence[Comparison]) -> bool:
    """
    Return whether some version fulfils all comparisons.

    Between two different versions there is always a third (1.0.1 and its like), and none is below 0.
    """
    low: tuple[Numbers, bool] = ((), True)
    high: tuple[Numbers, bool] | None = None
    for comparison in comparisons:
        limit = comparison.bound, "=" in comparison.operator
        if comparison.operator in (">", ">=", "="):
            low = max(low, limit, key=lambda each: (each[0], not each[1]))
        if comparison.operator in ("<", "<=", "="):
            high = min(high or limit, limit)
    if high is None:
        return True
    return low[0] < high[0] or (low[0] == high[0] and low[1] and high[1])
