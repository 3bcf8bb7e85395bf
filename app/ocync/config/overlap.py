"""
Mappings that write the same tags of the same repository: the last one to come would win, in each pass anew.

Whether two mappings select a common tag is decided from their rules where that is possible: by the tags they name,
by version ranges and patterns that exclude each other. Where only the registries' tags could tell, it is a warning.
Two mappings that copy the same images to a tag do no harm, so between those only a mapping that is there twice is
refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ocync.config.node import render
from ocync.config.repository import Repository
from ocync.errors import TagRuleError
from ocync.filters.pattern import is_literal
from ocync.filters.pipeline import select
from ocync.filters.version import Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.config.findings import Findings
    from ocync.config.model import MappingConfig, TagRules
    from ocync.config.node import Path, Place
    from ocync.filters.version import Comparison, Numbers

MAX_COMPARISONS = 20_000
"""Pairs of mappings with open rules that are compared for one repository; thousands of such are not meant."""


class Overlap(Enum):
    """Whether two mappings select a common tag."""

    NONE = 0
    POSSIBLE = 1
    CERTAIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A mapping that writes somewhere, and where the file says so."""

    path: Path
    place: Place
    mapping: MappingConfig

    @property
    def rules(self) -> TagRules:
        """The tag rules, as far as they decide about a tag alone: without counts."""
        return replace(self.mapping.tags, latest=None, min_tags=None)

    @property
    def source(self) -> Repository:
        """Where the images come from."""
        return Repository.whole(self.mapping.source, self.mapping.source_repository)

    def may_select(self, tags: Iterable[str]) -> frozenset[str]:
        """Return those of the tags that are selected, unless `latest` leaves them out."""
        return frozenset(select(tags, self.rules).kept)

    def selects(self, tag: str) -> bool:
        """Tell whether a tag that `may_select` gave is selected whatever other tags there are."""
        return self.mapping.tags.latest is None or tag in select((tag,), self.rules).pinned


def check_overlaps(claims: Sequence[Claim], findings: Findings) -> None:
    """Note mappings that write the same tags of a repository; each mapping's first such is enough."""
    writers: dict[Repository, list[Claim]] = defaultdict(list)
    for claim in claims:
        for target, name in claim.mapping.targets:
            writers[Repository.whole(target, name)].append(claim)
    for repository, several in writers.items():
        if len(several) > 1:
            _check_repository(repository, several, findings)


def overlap(one: Claim, other: Claim) -> tuple[Overlap, str]:
    """Decide whether two mappings select a common tag, and name one where it is known."""
    names = [_names(claim.mapping.tags) for claim in (one, other)]
    written = frozenset().union(*names)
    common = sorted(one.may_select(written) & other.may_select(written)) if written else []
    for tag in common:
        if one.selects(tag) and other.selects(tag):
            return Overlap.CERTAIN, tag
    if common:
        return Overlap.POSSIBLE, common[0]
    rules = one.mapping.tags, other.mapping.tags
    if any(map(_is_closed, rules)) or are_disjoint(*rules):
        return Overlap.NONE, ""
    is_certain = _selection(rules[0]) == _selection(rules[1]) or any(map(_is_open, rules))
    return Overlap.CERTAIN if is_certain else Overlap.POSSIBLE, ""


def are_disjoint(one: TagRules, other: TagRules) -> bool:
    """Tell whether rules with wildcards can be seen to have no tag in common; False where it can't be seen."""
    if one.semver and other.semver and not ranges_meet(Range.parse(one.semver), Range.parse(other.semver)):
        return True
    here, there = _patterns(one), _patterns(other)
    if _drops(one, there) or _drops(other, here):
        return True
    return bool(here and there) and not any(_may_meet(a, b) for a in here for b in there)


def ranges_meet(one: Range, other: Range) -> bool:
    """Tell whether some version is in both ranges."""
    return any(_is_satisfiable((*a, *b)) for a in one.alternatives for b in other.alternatives)


def _check_repository(repository: Repository, claims: Sequence[Claim], findings: Findings) -> None:
    by_name: dict[str, Claim] = {}
    open_claims: list[Claim] = []
    closed: list[Claim] = []
    compared = 0
    for claim in claims:
        try:
            tags = claim.may_select(_names(claim.mapping.tags)) if _is_closed(claim.mapping.tags) else None
        except TagRuleError:
            # Noted where the rules stand.
            continue
        if tags is None:
            earlier = [*closed, *open_claims]
        else:
            earlier = [*dict.fromkeys(by_name[tag] for tag in sorted(tags) if tag in by_name), *open_claims]
        compared += len(earlier)
        if compared > MAX_COMPARISONS:
            message = f"so many mappings write {repository} that they were not all compared"
            findings.warn(message, claim.path, claim.place)
            return
        _compare(repository, claim, earlier, findings)
        if tags is None:
            open_claims.append(claim)
        else:
            closed.append(claim)
            for tag in tags:
                by_name.setdefault(tag, claim)


def _compare(repository: Repository, claim: Claim, earlier: Sequence[Claim], findings: Findings) -> None:
    """Note what is worst about a mapping and those before it that write the same repository."""
    warning = ""
    for other in earlier:
        decision, tag = overlap(claim, other)
        if decision is Overlap.NONE or findings.is_wrong(claim.path):
            continue
        there = f"{render(other.path)} (line {other.mapping.line})"
        shared = f"the tag {tag}" if tag else "the same tags"
        difference = _difference(claim, other)
        if decision is Overlap.CERTAIN and difference:
            message = (
                f"writes {shared} of {repository} as {there} does, {difference}: "
                f"choose another to, or tags that the other does not select"
            )
            findings.error(message, claim.path, claim.place)
            return
        if _selection(claim.mapping.tags) == _selection(other.mapping.tags) and not difference:
            findings.error(f"is there twice: {there} copies the same to {repository}", claim.path, claim.place)
            return
        if difference:
            warning = warning or (
                f"writes {repository} as {there} does, {difference}: make sure that no tag is selected by both"
            )
        elif decision is Overlap.CERTAIN:
            warning = warning or f"copies {shared} to {repository} as {there} does already"
    if warning:
        findings.warn(warning, claim.path, claim.place)


def _difference(claim: Claim, other: Claim) -> str:
    """Return in what the images differ that two mappings put at the same tag; empty, if in nothing."""
    if claim.source != other.source:
        return "from another source"
    if set(claim.mapping.platforms) != set(other.mapping.platforms):
        return "with other platforms"
    return ""


def _selection(rules: TagRules) -> TagRules:
    """Return rules without what does not decide which tags are selected."""
    return replace(rules, min_tags=None, immutable_tags=None)


def _names(rules: TagRules) -> frozenset[str]:
    """Return the tags that the rules name."""
    return frozenset(select((), rules).absent)


def _is_closed(rules: TagRules) -> bool:
    """Tell whether the rules can select nothing but tags that they name."""
    return bool(rules.glob) and all(map(is_literal, (*rules.glob, *rules.include)))


def _is_open(rules: TagRules) -> bool:
    """Tell whether the rules select all tags but those of the soft excludes."""
    return not rules.glob and rules.semver is None and not rules.exclude and rules.latest is None


def _patterns(rules: TagRules) -> tuple[str, ...]:
    """Return patterns of which each selected tag that is not named matches one; none, where all may be."""
    return (*rules.glob, *(text for text in rules.include if not is_literal(text))) if rules.glob else ()


def _drops(rules: TagRules, patterns: tuple[str, ...]) -> bool:
    """Tell whether the rules exclude all that the patterns match."""
    soft = () if any(not is_literal(text) for text in rules.include) else rules.default_exclude
    return bool(patterns) and set(patterns) <= {*rules.exclude, *soft}


def _may_meet(one: str, other: str) -> bool:
    """Tell whether some text may match both patterns, by how these begin and end."""
    heads, tails = [_HEAD.match(text) for text in (one, other)], [_TAIL.search(text) for text in (one, other)]
    return _agree([head[0] for head in heads if head], at_end=False) and _agree(
        [t[0] for t in tails if t], at_end=True
    )


def _agree(texts: list[str], *, at_end: bool) -> bool:
    one, other = sorted(texts, key=len)
    return other.endswith(one) if at_end else other.startswith(one)


_HEAD = re.compile(r"[^*?\[{\\]*")
_TAIL = re.compile(r"[^*?\]}\\]*$")


def _is_satisfiable(comparisons: Sequence[Comparison]) -> bool:
    """
    Tell whether some version fulfils all comparisons.

    Between two different versions there is always a third (1.0.1 and its like), and none is below 0.
    """
    low: tuple[Numbers, bool] = ((), True)
    high: tuple[Numbers, bool] | None = None
    for comparison in comparisons:
        bound, included = comparison.bound, "=" in comparison.operator
        if comparison.operator in (">", ">=", "="):
            low = max(low, (bound, included), key=lambda limit: (limit[0], not limit[1]))
        if comparison.operator in ("<", "<=", "="):
            high = min(high or (bound, included), (bound, included), key=lambda limit: (limit[0], limit[1]))
    if high is None:
        return True
    return low[0] < high[0] or (low[0] == high[0] and low[1] and high[1])
