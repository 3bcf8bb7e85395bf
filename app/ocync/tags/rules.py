"""Tag rules and what they select from a repository's tags, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SortOrder(StrEnum):
    """How tags are sorted before `latest` keeps the first of them; both orders start with the highest."""

    SEMVER = "semver"
    ALPHA = "alpha"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRules:
    """The tag rules of one mapping, merged with the defaults; `tags/select.py` says what they mean."""

    glob: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    semver: str | None = None
    exclude: tuple[str, ...] = ()
    """The mapping's own list: hard, `include` can't override it."""
    default_exclude: tuple[str, ...] = ()
    """`defaults.tags.exclude`: soft, like the built-in list."""
    sort: SortOrder | None = None
    latest: int | None = None
    min_tags: int | None = None
    immutable_tags: str | None = None


class DropKind(StrEnum):
    """Which kind of rule dropped a tag."""

    DIGEST_NAMED = "digest-named"
    GLOB = "glob"
    SEMVER = "semver"
    EXCLUDE = "exclude"
    DEFAULT_EXCLUDE = "default-exclude"
    BUILTIN_EXCLUDE = "builtin-exclude"
    LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The tags that one rule dropped."""

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
    """What the rules select: every tag of the source is either in `kept` or in exactly one of `dropped`."""

    kept: tuple[str, ...]
    """Literal includes in their order, then the others: sorted if `sort` is set, else in the source's order."""
    pinned: tuple[str, ...] = ()
    """The tags of `kept` that `include` names."""
    rescued: tuple[str, ...] = ()
    """The tags of `kept` that only a pattern of `include` saved from `glob` or a soft exclude."""
    absent: tuple[str, ...] = ()
    """The tags that `glob` or `include` name and the source doesn't have."""
    total: int
    """How many tags the source has."""
    stages: tuple[Stage, ...] = ()
    dropped: tuple[Drop, ...] = ()
    """The longest list first."""
