"""
Mappings that write the same tags of the same repository: in each pass the last writer would win.

Whether two mappings select a common tag is decided from their rules where possible: from the tags that they name,
and from version ranges and patterns that exclude each other. If only the registries' tags could tell, that is a
warning. Two mappings that copy the same images to a tag are harmless: only an exact duplicate is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ocync.config.yaml.node import render
from ocync.lib.errors import TagRuleError
from ocync.tags.glob import is_literal
from ocync.tags.select import select
from ocync.tags.version_range import Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.config.model import MappingConfig
    from ocync.config.yaml.findings import Findings
    from ocync.config.yaml.node import Path, Position
    from ocync.oci.reference import RepositoryName
    from ocync.tags.rules import TagRules
    from ocync.tags.version_range import Comparison, Numbers

MAX_COMPARISONS = 20_000
"""Comparisons made for one repository; beyond them there is a warning."""


class Overlap(Enum):
    """Whether two mappings select a common tag."""

    NONE = 0
    POSSIBLE = 1
    CERTAIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A mapping that writes a repository, and its position in the file."""

    path: Path
    position: Position
    mapping: MappingConfig
    rules: TagRules
    """The tag rules without counts: they judge each tag alone."""
    names: frozenset[str]
    """The tags that the rules name."""

    @classmethod
    def of(cls, mapping: MappingConfig, path: Path, position: Position) -> Claim | None:
        """Return the claim of a mapping; None if its rules can't be applied, which is reported elsewhere."""
        rules = replace(mapping.tags, latest=None, min_tags=None)
        try:
            # What an empty source lacks is what the rules name.
            names = frozenset(select((), rules).absent)
        except TagRuleError:
            return None
        return cls(path=path, position=position, mapping=mapping, rules=rules, names=names)

    @property
    def is_closed(self) -> bool:
        """Whether only tags that the rules name can be selected."""
        return bool(self.rules.glob) and all(map(is_literal, (*self.rules.glob, *self.rules.include)))

    @property
    def is_open(self) -> bool:
        """Whether all tags are selected, except by the soft excludes."""
        rules = self.mapping.tags
        return not rules.glob and rules.semver is None and not rules.exclude and rules.latest is None

    @property
    def selection(self) -> TagRules:
        """The rules that decide which tags are selected."""
        return replace(self.mapping.tags, min_tags=None, immutable_tags=None)

    def may_select(self, tags: Iterable[str]) -> frozenset[str]:
        """Return the tags that are selected unless `latest` drops them."""
        return frozenset(select(tags, self.rules).kept)

    def selects(self, tag: str) -> bool:
        """Return whether a tag of `may_select` is selected whatever other tags exist."""
        return self.mapping.tags.latest is None or tag in select((tag,), self.rules).pinned


def check_overlaps(mappings: Iterable[tuple[MappingConfig, Path, Position]], findings: Findings) -> None:
    """Record mappings that write the same tags of a repository: for each mapping the worst case only."""
    writers: dict[RepositoryName, list[tuple[MappingConfig, Path, Position]]] = defaultdict(list)
    for mapping, path, position in mappings:
        for _, repository in mapping.targets:
            writers[repository].append((mapping, path, position))
    for repository, several in writers.items():
        if len(several) > 1:
            _check_repository(repository, [claim for each in several if (claim := Claim.of(*each))], findings)


def overlap(one: Claim, other: Claim) -> tuple[Overlap, str]:
    """Return whether two mappings select a common tag, and one such tag if known."""
    names = one.names | other.names
    common = sorted(one.may_select(names) & other.may_select(names)) if names else []
    for tag in common:
        if one.selects(tag) and other.selects(tag):
            return Overlap.CERTAIN, tag
    if common:
        return Overlap.POSSIBLE, common[0]
    if one.is_closed or other.is_closed or are_disjoint(one.rules, other.rules):
        return Overlap.NONE, ""
    if one.is_open or other.is_open or one.selection == other.selection:
        return Overlap.CERTAIN, ""
    return Overlap.POSSIBLE, ""


def _check_repository(repository: RepositoryName, claims: Sequence[Claim], findings: Findings) -> None:
    """Compare each mapping with the earlier ones; two that name all their tags, only if they share a name."""
    named: dict[str, Claim] = {}
    closed: list[Claim] = []
    others: list[Claim] = []
    compared = 0
    for claim in claims:
        if claim.is_closed:
            tags = sorted(claim.may_select(claim.names))
            earlier = [*{id(named[tag]): named[tag] for tag in tags if tag in named}.values(), *others]
            closed.append(claim)
            named.update((tag, claim) for tag in tags if tag not in named)
        else:
            earlier = [*closed, *others]
            others.append(claim)
        compared += len(earlier)
        if compared > MAX_COMPARISONS:
            message = f"so many mappings write {repository} that they were not all compared"
            findings.warn(message, claim.path, claim.position)
            return
        _compare(repository, claim, earlier, findings)


def _compare(repository: RepositoryName, claim: Claim, earlier: Sequence[Claim], findings: Findings) -> None:
    """Record the worst overlap of a mapping with earlier ones that write the same repository."""
    warning = ""
    for other in earlier:
        decision, tag = overlap(claim, other)
        if decision is Overlap.NONE or findings.is_wrong(claim.path):
            continue
        there = f"{render(other.path)} (line {other.mapping.line})"
        shared = f"the tag {tag}" if tag else "the same tags"
        difference = _difference(claim, other)
        if decision is Overlap.CERTAIN and difference:
            message = f"writes {shared} of {repository} as {there} does, {difference}"
            hint = "choose another to, or tags that the other does not select"
            findings.error(f"{message}: {hint}", claim.path, claim.position)
            return
        if claim.selection == other.selection and not difference:
            findings.error(f"is there twice: {there} copies the same to {repository}", claim.path, claim.position)
            return
        if difference:
            warning = warning or (
                f"writes {repository} as {there} does, {difference}: make sure that no tag is selected by both"
            )
        elif decision is Overlap.CERTAIN:
            warning = warning or f"copies {shared} to {repository} as {there} does already"
    if warning:
        findings.warn(warning, claim.path, claim.position)


def _difference(claim: Claim, other: Claim) -> str:
    """Return how the images differ that two mappings copy to the same tag; empty if they do not."""
    if claim.mapping.source_repository != other.mapping.source_repository:
        return "from another source"
    if set(claim.mapping.platforms) != set(other.mapping.platforms):
        return "with other platforms"
    return ""


def are_disjoint(one: TagRules, other: TagRules) -> bool:
    """
    Return whether no tag can be selected by both, other than tags that the rules name.

    True is certain; False may only mean that the rules alone do not show it.
    """
    if one.semver and other.semver and not ranges_meet(Range.parse(one.semver), Range.parse(other.semver)):
        return True
    ours, theirs = _patterns(one), _patterns(other)
    if _exclude_all(one, theirs) or _exclude_all(other, ours):
        return True
    return bool(ours and theirs) and not any(patterns_may_meet(a, b) for a in ours for b in theirs)


def ranges_meet(one: Range, other: Range) -> bool:
    """Return whether some version is in both ranges."""
    return any(_is_satisfiable((*a, *b)) for a in one.alternatives for b in other.alternatives)


def patterns_may_meet(one: str, other: str) -> bool:
    """Return whether some text may match both, judged by what their wildcards leave at both ends."""
    heads = sorted((re.split(r"[*?\[{\\]", text, maxsplit=1)[0] for text in (one, other)), key=len)
    tails = sorted((re.split(r"[*?\]}\\]", text)[-1] for text in (one, other)), key=len)
    return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])


def _patterns(rules: TagRules) -> tuple[str, ...]:
    """Return patterns that all selected tags match, except those that the rules name; none if any tag may be."""
    return (*rules.glob, *(text for text in rules.include if not is_literal(text))) if rules.glob else ()


def _exclude_all(rules: TagRules, patterns: tuple[str, ...]) -> bool:
    """Return whether the rules exclude all that the patterns match."""
    soft = () if any(not is_literal(text) for text in rules.include) else rules.default_exclude
    return bool(patterns) and set(patterns) <= {*rules.exclude, *soft}


def _is_satisfiable(comparisons: Sequence[Comparison]) -> bool:
    """
    Return whether some version fulfils all comparisons.

    Between two different versions there is always a third (such as 1.0.1), and none is below 0.
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
