"""
Mappings that write the same tags of the same repository: the last one to come would win, in each pass anew.

Whether two mappings select a common tag is decided from their rules where that is possible: by the tags they name,
by version ranges and patterns that exclude each other. Where only the registries' tags could tell, it is a warning.
Two mappings that copy the same images to a tag do no harm, so between those only a mapping that is there twice is
refused.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ocync.config.disjoint import are_disjoint
from ocync.config.yaml.node import render
from ocync.lib.errors import TagRuleError
from ocync.tags.glob import is_literal
from ocync.tags.select import select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.config.model import MappingConfig
    from ocync.config.yaml.findings import Findings
    from ocync.config.yaml.node import Path, Position
    from ocync.oci.reference import RepositoryName
    from ocync.tags.rules import TagRules

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
    place: Position
    mapping: MappingConfig
    rules: TagRules
    """The tag rules, as far as they decide about a tag alone: without counts."""
    names: frozenset[str]
    """The tags that the rules name."""

    @classmethod
    def of(cls, mapping: MappingConfig, path: Path, place: Position) -> Claim | None:
        """Make the claim of a mapping; None where its rules can't be applied, which is noted elsewhere."""
        rules = replace(mapping.tags, latest=None, min_tags=None)
        try:
            # What an empty registry lacks is what the rules name.
            names = frozenset(select((), rules).absent)
        except TagRuleError:
            return None
        return cls(path=path, place=place, mapping=mapping, rules=rules, names=names)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be selected but tags that the rules name."""
        return bool(self.rules.glob) and all(map(is_literal, (*self.rules.glob, *self.rules.include)))

    @property
    def is_open(self) -> bool:
        """Whether all tags are selected but those of the soft excludes."""
        rules = self.mapping.tags
        return not rules.glob and rules.semver is None and not rules.exclude and rules.latest is None

    @property
    def selection(self) -> TagRules:
        """The rules without what does not decide which tags are selected."""
        return replace(self.mapping.tags, min_tags=None, immutable_tags=None)

    def may_select(self, tags: Iterable[str]) -> frozenset[str]:
        """Return those of the tags that are selected, unless `latest` leaves them out."""
        return frozenset(select(tags, self.rules).kept)

    def selects(self, tag: str) -> bool:
        """Return whether a tag that `may_select` gave is selected whatever other tags there are."""
        return self.mapping.tags.latest is None or tag in select((tag,), self.rules).pinned


def check_overlaps(mappings: Iterable[tuple[MappingConfig, Path, Position]], findings: Findings) -> None:
    """Record mappings that write the same tags of a repository; each mapping's worst such is enough."""
    writers: dict[RepositoryName, list[tuple[MappingConfig, Path, Position]]] = defaultdict(list)
    for mapping, path, place in mappings:
        for _, repository in mapping.targets:
            writers[repository].append((mapping, path, place))
    for repository, several in writers.items():
        if len(several) > 1:
            _check_repository(repository, [claim for each in several if (claim := Claim.of(*each))], findings)


def overlap(one: Claim, other: Claim) -> tuple[Overlap, str]:
    """Decide whether two mappings select a common tag, and name one where it is known."""
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
    """Compare each mapping with those before it; where both name their tags, only with those of common names."""
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
            findings.warn(message, claim.path, claim.place)
            return
        _compare(repository, claim, earlier, findings)


def _compare(repository: RepositoryName, claim: Claim, earlier: Sequence[Claim], findings: Findings) -> None:
    """Record what is worst about a mapping and those before it that write the same repository."""
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
        if claim.selection == other.selection and not difference:
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
    if claim.mapping.source_repository != other.mapping.source_repository:
        return "from another source"
    if set(claim.mapping.platforms) != set(other.mapping.platforms):
        return "with other platforms"
    return ""
