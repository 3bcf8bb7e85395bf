"""Tag rules and selections in words, for logs and for `ocync sync --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.tags.rules import DropKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocync.tags.rules import Selection, TagRules

SAMPLES = 5
"""Tags of a list that are shown unless all are asked for."""

_SOFT = (DropKind.DEFAULT_EXCLUDE, DropKind.BUILTIN_EXCLUDE)


def rules_in_short(rules: TagRules) -> str:
    """Return the rules in one line: `glob 1.*, semver >=1.25, sort semver, latest 5`; `all tags` without rules."""
    parts = {
        "glob": " ".join(rules.glob),
        "semver": rules.semver,
        "exclude": " ".join((*rules.exclude, *rules.default_exclude)),
        "sort": rules.sort,
        "latest": rules.latest,
        "include": " ".join(rules.include),
        "min_tags": rules.min_tags,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value not in ("", None)) or "all tags"


def none_selected(selection: Selection, rules: TagRules) -> str:
    """Return one line for a mapping that selects nothing: its rules, and some of the source's tags."""
    if not selection.total:
        return "the source has no tags"
    text = f"none of the source's {selection.total} tags is selected by {rules_in_short(rules)}"
    images = [tag for drop in selection.dropped if drop.kind is not DropKind.DIGEST_NAMED for tag in drop.tags]
    if not images:
        return f"{text}: all of them are signatures or referrers"
    return f"{text}: there are {_sample(images, verbose=False)}"


def selection_in_full(selection: Selection, rules: TagRules, *, verbose: bool = False) -> list[str]:
    """
    Return the lines that show how the tags were selected: the stages, the kept and the dropped tags.

    All kept tags are shown; lists of dropped tags are cut to five unless `verbose`.
    """
    return [
        f"source tags: {selection.total}",
        *_stages(selection),
        *_kept(selection),
        *_dropped(selection, verbose=verbose),
        *_warnings(selection, rules),
    ]


def _stages(selection: Selection) -> Iterator[str]:
    if not selection.stages:
        return
    width = max(len(stage.label) for stage in selection.stages)
    digits = len(str(selection.total))
    yield "stages:"
    for stage in selection.stages:
        change = stage.after - stage.before
        line = f"  {stage.label:<{width}}  {stage.before:>{digits}} -> {stage.after:>{digits}}"
        yield f"{line}  ({change:+d})" if change else line


def _kept(selection: Selection) -> Iterator[str]:
    yield f"kept: {len(selection.kept)}"
    why = dict.fromkeys(selection.rescued, "  (rescued by include)") | dict.fromkeys(
        selection.pinned, "  (include)"
    )
    for tag in selection.kept:
        yield f"  {tag}{why.get(tag, '')}"


def _dropped(selection: Selection, *, verbose: bool) -> Iterator[str]:
    if not selection.dropped:
        return
    yield f"dropped: {sum(len(drop.tags) for drop in selection.dropped)}"
    for drop in selection.dropped:
        yield f"  {len(drop.tags)} by {drop.label}: {_sample(drop.tags, verbose=verbose)}"
    if any(drop.kind in _SOFT for drop in selection.dropped):
        yield "  (include brings back what the built-in exclude and that of the defaults drop)"


def _warnings(selection: Selection, rules: TagRules) -> Iterator[str]:
    if selection.absent:
        yield f"not at the source: {', '.join(selection.absent)}"
    if rules.min_tags is not None:
        enough = len(selection.kept) >= rules.min_tags
        outcome = "satisfied" if enough else "NOT satisfied: the mapping fails"
        yield f"min_tags: {rules.min_tags}, kept {len(selection.kept)}, {outcome}"


def _sample(tags: Sequence[str], *, verbose: bool) -> str:
    if verbose or len(tags) <= SAMPLES:
        return ", ".join(tags)
    return f"{', '.join(tags[:SAMPLES])} and {len(tags) - SAMPLES} more"
