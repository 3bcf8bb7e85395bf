"""The tag rules of one mapping, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SortOrder(StrEnum):
    """How tags are ordered before `latest` keeps the first of them; both put the highest first."""

    SEMVER = "semver"
    ALPHA = "alpha"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRules:
    """The tag rules of one mapping with the defaults merged in; see filters.pipeline for what they mean."""

    glob: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    semver: str | None = None
    exclude: tuple[str, ...] = ()
    """The mapping's own list: hard, an include can't override it."""
    default_exclude: tuple[str, ...] = ()
    """`defaults.tags.exclude`: soft, as the built-in list is."""
    sort: SortOrder | None = None
    latest: int | None = None
    min_tags: int | None = None
    immutable_tags: str | None = None
