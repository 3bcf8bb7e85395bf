"""
The tag rules of a mapping, applied: which of a repository's tags are mirrored, and why the others are not.

    digest-named     drops the tags of signatures and referrers: they follow their image, and are no versions
    glob             keeps what matches one of the globs; without globs, everything
    semver           keeps versions in the range
    exclude          drops by the mapping's own list, then by `defaults.tags.exclude`, then by the built-in list
    sort             puts the highest first
    latest           keeps the first N
    include          adds literal names, in front; only the mapping's own exclude keeps them out

Without any of these rules only the digest-named tags are dropped: the built-in list applies only beside another
rule.

A pattern in `include` rescues tags from glob and from the two soft lists (the defaults' and the built-in one). A
rescued tag then passes the other stages. Which tags are kept does not depend on the order in which they are given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ocync.lib import remedies
from ocync.lib.errors import TagRuleError
from ocync.oci.reference import is_tag
from ocync.tags.glob import Pattern, Patterns, is_literal
from ocync.tags.rules import Drop, DropKind, Selection, SortOrder, Stage
from ocync.tags.version_range import Range, TagVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocync.tags.rules import TagRules

BUILTIN_EXCLUDE = ("*-rc*", "*-alpha*", "*-beta*", "*-pre*", "*-snapshot*", "*-nightly*")
"""Patterns of prereleases, whatever their case."""

# The referrers tag schema of distribution-spec 1.1 (`<alg>-<hex>`, the hex cut to 64 digits), and cosign's
# suffixes. A tag with another suffix follows no image that we know of: it would be lost if it were no tag.
_DIGEST_NAMED = re.compile(
    r"sha(?:256|384|512)-[0-9a-f]{64}(?:[0-9a-f]{32}|[0-9a-f]{64})?(?:\.(?:sig|att|sbom))?", re.ASCII
)
_SHOWN = 5
"""Patterns of a list that a label shows."""
_DIGEST_PREFIXES = ("sha256-", "sha384-", "sha512-")


def select(tags: Iterable[str], rules: TagRules) -> Selection:
    """
    Return what the rules select from the tags of a repository.

    Raises TagRuleError for rules that can't be applied (a bad pattern or range, `latest` without `sort`). Too few
    tags are no error here: see `require_minimum`.
    """
    compiled = _compile(rules)
    source = list(dict.fromkeys(tags))
    pool = source
    stages: list[Stage] = []
    dropped: list[Drop] = []
    for run in _STAGES:
        step = run(pool, compiled)
        if step is not None:
            stages.append(Stage(label=step.label, before=len(pool), after=len(step.kept)))
            dropped += step.dropped
            pool = step.kept
    present = frozenset(source)
    pinned = [tag for tag in compiled.pins if tag in present and not compiled.exclude.matches(tag)]
    kept = tuple(dict.fromkeys((*pinned, *pool)))
    if compiled.pins:
        stages.append(Stage(label=f"include {_listed(compiled.pins)}", before=len(pool), after=len(kept)))
    return Selection(
        kept=kept,
        pinned=tuple(pinned),
        rescued=tuple(tag for tag in pool if compiled.is_rescued(tag)),
        absent=tuple(tag for tag in dict.fromkeys((*compiled.pins, *compiled.named)) if tag not in present),
        total=len(source),
        stages=tuple(stages),
        dropped=_without(dropped, frozenset(pinned)),
    )


def literal_tags(rules: TagRules) -> tuple[str, ...] | None:
    """
    Return the tags that the rules select if the source has all that they name; None if only a tag list can tell.

    A list is needed for a wildcard in `glob` or `include`, for rules without `glob`, for `min_tags`, and for a
    `latest` below the number of names. All other rules depend on names alone, and are applied. A returned tag that
    the source lacks would not have been selected from a list either. Raises TagRuleError as `select` does.
    """
    if not rules.glob or rules.min_tags is not None or not all(map(is_literal, (*rules.glob, *rules.include))):
        return None
    names = select((), rules).absent  # what an empty source lacks is what the rules name
    selection = select(filter(is_tag, names), rules)
    if any(drop.kind is DropKind.LATEST for drop in selection.dropped):
        return None
    return selection.kept


def require_minimum(selection: Selection, rules: TagRules) -> None:
    """Ensure that at least `min_tags` were kept; raises TagRuleError that says what dropped most of the others."""
    kept = len(selection.kept)
    if rules.min_tags is None or kept >= rules.min_tags:
        return
    message = f"{kept} of the source's {selection.total} tags were selected, fewer than min_tags {rules.min_tags}"
    if selection.dropped:
        most = selection.dropped[0]
        message += f"; most of the others ({len(most.tags)}) were dropped by {most.label}"
    raise TagRuleError(message, hint=remedies.TOO_FEW_TAGS)


def is_digest_named(tag: str) -> bool:
    """Return whether a tag belongs to the referrers tag schema or to cosign, and so follows its image."""
    return tag.startswith(_DIGEST_PREFIXES) and _DIGEST_NAMED.fullmatch(tag) is not None


class _Versions(dict[str, TagVersion | None]):
    """The versions of tags, each parsed once."""

    def __missing__(self, tag: str) -> TagVersion | None:
        version = self[tag] = TagVersion.parse(tag)
        return version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """Rules ready for one selection."""

    rules: TagRules
    glob: Patterns
    named: tuple[str, ...]
    """Tags that `glob` names without a wildcard."""
    pins: tuple[str, ...]
    """Tags that `include` names without a wildcard."""
    rescue: Patterns
    """The patterns of `include` with wildcards."""
    digests: Patterns
    """The patterns of `glob` and `include` that ask for digest-named tags."""
    range: Range | None
    exclude: Patterns
    default_exclude: Patterns
    builtin_exclude: Patterns
    versions: _Versions

    def is_rescued(self, tag: str) -> bool:
        """Return whether a tag would be dropped but for a pattern of `include`."""
        return self.rescue.matches(tag) and (
            (bool(self.glob) and not self.glob.matches(tag))
            or self.default_exclude.matches(tag)
            or self.builtin_exclude.matches(tag)
        )


def _compile(rules: TagRules) -> _Compiled:
    if rules.latest is not None and rules.sort is None:
        raise TagRuleError("latest needs a sort to know which tags are the latest", hint="add sort: semver")
    try:
        return _Compiled(
            rules=rules,
            glob=Patterns(rules.glob),
            named=_names(rules.glob),
            pins=_names(rules.include),
            rescue=Patterns(text for text in rules.include if not is_literal(text)),
            digests=Patterns(text for text in (*rules.glob, *rules.include) if text.startswith(_DIGEST_PREFIXES)),
            range=None if rules.semver is None else Range.parse(rules.semver),
            exclude=Patterns(rules.exclude),
            default_exclude=Patterns(rules.default_exclude),
            builtin_exclude=_builtin_exclude() if _selects(rules) else Patterns(()),
            versions=_Versions(),
        )
    except ValueError as error:
        raise TagRuleError(f"the tag rules can't be applied: {error}") from error


def _selects(rules: TagRules) -> bool:
    # min_tags and immutable_tags do not decide which tags are selected.
    lists = (rules.glob, rules.include, rules.exclude, rules.default_exclude)
    return any(lists) or any(rule is not None for rule in (rules.semver, rules.sort, rules.latest))


@cache
def _builtin_exclude() -> Patterns:
    return Patterns(BUILTIN_EXCLUDE, ignore_case=True)


def _names(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the tags that the literal patterns name, each once and in their order."""
    literal = (Pattern(text).literals or () for text in texts if is_literal(text))
    return tuple(dict.fromkeys(tag for tags in literal for tag in tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """The outcome of one stage."""

    label: str
    kept: list[str]
    dropped: tuple[Drop, ...] = ()


def _digest_named(pool: list[str], compiled: _Compiled) -> _Step | None:
    out = {tag for tag in pool if is_digest_named(tag) and not compiled.digests.matches(tag)}
    label = "signatures and referrers, which follow their image"
    return _dropping(pool, out, DropKind.DIGEST_NAMED, label) if out else None


def _glob(pool: list[str], compiled: _Compiled) -> _Step | None:
    if not compiled.glob:
        return None
    matches, rescues = compiled.glob.matches, compiled.rescue.matches
    out = {tag for tag in pool if not matches(tag) and not rescues(tag)}
    return _dropping(pool, out, DropKind.GLOB, f"glob {_listed(compiled.rules.glob)}")


def _semver(pool: list[str], compiled: _Compiled) -> _Step | None:
    wanted, versions = compiled.range, compiled.versions
    if wanted is None:
        return None
    out = {tag for tag in pool if (version := versions[tag]) is None or not wanted.matches(version)}
    return _dropping(pool, out, DropKind.SEMVER, f'semver "{wanted}"')


def _exclude(pool: list[str], compiled: _Compiled) -> _Step | None:
    out = {tag: kind for tag in pool if (kind := _exclusion(tag, compiled))}
    if not (out or compiled.exclude or compiled.default_exclude):
        return None
    labels = {
        DropKind.EXCLUDE: f"exclude {_listed(compiled.rules.exclude)}",
        DropKind.DEFAULT_EXCLUDE: f"exclude of the defaults {_listed(compiled.rules.default_exclude)}",
        DropKind.BUILTIN_EXCLUDE: "built-in exclude",
    }
    dropped = tuple(
        Drop(kind=kind, label=label, tags=tuple(tag for tag in out if out[tag] is kind))
        for kind, label in labels.items()
        if kind in out.values()
    )
    return _Step(label="exclude", kept=[tag for tag in pool if tag not in out], dropped=dropped)


def _exclusion(tag: str, compiled: _Compiled) -> DropKind | None:
    """Return the first list that drops the tag; the hard one comes first: nothing is rescued from it."""
    if compiled.exclude.matches(tag):
        return DropKind.EXCLUDE
    soft = None
    if compiled.default_exclude.matches(tag):
        soft = DropKind.DEFAULT_EXCLUDE
    elif compiled.builtin_exclude.matches(tag):
        soft = DropKind.BUILTIN_EXCLUDE
    return None if soft is None or compiled.rescue.matches(tag) else soft


def _sort(pool: list[str], compiled: _Compiled) -> _Step | None:
    match compiled.rules.sort:
        case None:
            return None
        case SortOrder.ALPHA:
            return _Step(label="sort alpha", kept=sorted(pool, reverse=True))
        case SortOrder.SEMVER:
            return _Step(label="sort semver", kept=_by_version(pool, compiled.versions))


def _by_version(pool: list[str], versions: _Versions) -> list[str]:
    """
    Return the highest version first; tags without a version come last, in reverse alphabetical order.

    Spellings of one version are in alphabetical order, as registries list them.
    """
    keyed = [(version.key, tag) for tag in sorted(pool) if (version := versions[tag]) is not None]
    keyed.sort(key=lambda pair: pair[0], reverse=True)
    return [tag for _, tag in keyed] + sorted((tag for tag in pool if versions[tag] is None), reverse=True)


def _latest(pool: list[str], compiled: _Compiled) -> _Step | None:
    limit = compiled.rules.latest
    if limit is None:
        return None
    return _dropping(pool, set(pool[limit:]), DropKind.LATEST, f"latest {limit}")


_STAGES: tuple[Callable[[list[str], _Compiled], _Step | None], ...] = (
    _digest_named,
    _glob,
    _semver,
    _exclude,
    _sort,
    _latest,
)


def _dropping(pool: list[str], out: set[str], kind: DropKind, label: str) -> _Step:
    kept = [tag for tag in pool if tag not in out]
    tags = tuple(tag for tag in pool if tag in out)
    return _Step(label=label, kept=kept, dropped=(Drop(kind=kind, label=label, tags=tags),) if tags else ())


def _without(dropped: list[Drop], kept: frozenset[str]) -> tuple[Drop, ...]:
    """Return the drops without the tags that were kept after all, the longest list first."""
    rest = [
        Drop(kind=drop.kind, label=drop.label, tags=tags)
        for drop in dropped
        if (tags := tuple(tag for tag in drop.tags if tag not in kept))
    ]
    return tuple(sorted(rest, key=lambda drop: len(drop.tags), reverse=True))


def _listed(texts: tuple[str, ...]) -> str:
    shown = ", ".join(f'"{text}"' for text in texts[:_SHOWN])
    return f"{shown} and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else shown
