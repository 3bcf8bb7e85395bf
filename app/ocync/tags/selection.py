"""What tag rules make of a repository's tags: the kept ones, and the way of all others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ocync.lib import remedies
from ocync.lib.errors import TagRuleError

if TYPE_CHECKING:
    from ocync.tags.rules import TagRules


class DropKind(StrEnum):
    """What took a tag out."""

    DIGEST_NAMED = "digest-named"
    GLOB = "glob"
    SEMVER = "semver"
    EXCLUDE = "exclude"
    DEFAULT_EXCLUDE = "default-exclude"
    BUILTIN_EXCLUDE = "builtin-exclude"
    LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Tags that one rule took out."""

    kind: DropKind
    label: str
    """The rule as the user wrote it: `semver ">=1.25"`."""
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How many tags went into a stage and how many came out."""

    label: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    What the rules make of a repository's tags.

    Every tag of the source is either in `kept` or in exactly one of `dropped`.
    """

    kept: tuple[str, ...]
    """Literal includes in their order, then the others: sorted if there is a sort, else as they were given."""
    pinned: tuple[str, ...] = ()
    """Those of `kept` that an include names."""
    rescued: tuple[str, ...] = ()
    """Those of `kept` that only a pattern of include saved from glob or a soft exclude."""
    absent: tuple[str, ...] = ()
    """Tags that glob or include name and the source doesn't have."""
    total: int
    """How many tags the source has."""
    stages: tuple[Stage, ...] = ()
    dropped: tuple[Drop, ...] = ()
    """The largest first."""


def require_minimum(selection: Selection, rules: TagRules) -> None:
    """Hold that at least `min_tags` were kept; raises TagRuleError that says where the others went."""
    kept = len(selection.kept)
    if rules.min_tags is None or kept >= rules.min_tags:
        return
    message = f"{kept} of the source's {selection.total} tags were selected, fewer than min_tags {rules.min_tags}"
    if selection.dropped:
        most = selection.dropped[0]
        message += f"; most of the others ({len(most.tags)}) were dropped by {most.label}"
    raise TagRuleError(message, hint=remedies.TOO_FEW_TAGS)
