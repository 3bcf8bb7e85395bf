"""Rules that name their tags: a mapping of these needs no list of the repository's tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.oci.reference import is_tag
from ocync.tags.glob import is_literal
from ocync.tags.select import select
from ocync.tags.selection import DropKind

if TYPE_CHECKING:
    from ocync.tags.rules import TagRules


def literal_tags(rules: TagRules) -> tuple[str, ...] | None:
    """
    Return the tags that the rules select where the source has them all; None where only a list can tell.

    A list is needed where a wildcard stands in glob or include, where there is no glob, for `min_tags`, and where
    `latest` is smaller than the number of names. All other rules look at names alone and are applied: excludes,
    semver, sort. Raises TagRuleError as `select` does.

    A tag among them that the source lacks would not have been selected from a list either.
    """
    if not rules.glob or rules.min_tags is not None or not all(map(is_literal, (*rules.glob, *rules.include))):
        return None
    names = select((), rules).absent  # what an empty source lacks is what the rules name
    selection = select(filter(is_tag, names), rules)
    if any(drop.kind is DropKind.LATEST for drop in selection.dropped):
        return None
    return selection.kept
