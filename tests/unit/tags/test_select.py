"""Tag rules applied to the tags of a repository."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import TagRuleError
from ocync.tags.glob import Patterns
from ocync.tags.rules import DropKind, SortOrder, TagRules
from ocync.tags.select import is_digest_named, select
from steps import steps

HEX = "0123456789abcdef" * 4


def kept(tags: list[str] | str, **rules: Any) -> list[str]:
    given_tags = tags.split() if isinstance(tags, str) else tags
    return list(select(given_tags, TagRules(**rules)).kept)


def test_no_rules_keep_all_tags_in_their_order() -> None:
    assert kept("2.0 1.0 latest edge") == ["2.0", "1.0", "latest", "edge"]


def test_a_tag_that_is_listed_twice_is_kept_once() -> None:
    assert kept("1.0 2.0 1.0") == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("tags", "rules", "expected"),
    [
        pytest.param(
            "1.18.0 1.19.0 1.20.0 1.20.1-rc1 1.17.0 latest nightly",
            {"glob": ("1.*",), "semver": ">=1.18.0", "exclude": ("*-rc*",), "sort": "semver", "latest": 2},
            "1.20.0 1.19.0",
            id="all stages",
        ),
        pytest.param("v1.0 v2.0 edge", {"glob": ("v1.*", "v2.*")}, "v1.0 v2.0", id="one glob is enough"),
        pytest.param(
            "15.10-alpine 15.10 14.0-alpine latest",
            {"semver": ">=15.0"},
            "15.10-alpine 15.10",
            id="semver keeps variants and drops what is no version",
        ),
        pytest.param(
            "1.0 1.0-rc1 1.0-alpha 1.0-BETA2 1.0-SNAPSHOT 1.0-nightly 1.0-preview",
            {"glob": ("*",)},
            "1.0",
            id="the built-in list drops what comes before a release, in any case",
        ),
        pytest.param(
            "1.0-dev 1.0-r0 1.0-edge 1.0-final",
            {"glob": ("*",)},
            "1.0-dev 1.0-r0 1.0-edge 1.0-final",
            id="and keeps these",
        ),
        pytest.param("1.0 1.0-rc1 1.0-beta", {}, "1.0 1.0-rc1 1.0-beta", id="no rules, all tags"),
        pytest.param(
            "1.0 1.0-rc1", {"min_tags": 1, "immutable_tags": "1.*"}, "1.0 1.0-rc1", id="rules that select nothing"
        ),
        pytest.param(
            "1.0 1.0-dev 1.0-slim",
            {"default_exclude": ("*-dev",), "exclude": ("*-slim",)},
            "1.0",
            id="both exclude lists apply",
        ),
        pytest.param(
            "8.0 8.5-dev 10.0-dev",
            {"glob": ("*-dev",), "default_exclude": ("*-dev",)},
            "",
            id="glob rescues nothing from exclude",
        ),
        pytest.param(
            "latest 1.0 0.9", {"include": ("latest",), "semver": ">=1"}, "latest 1.0", id="a name joins past semver"
        ),
        pytest.param(
            "latest 1.0-alpine 1.0",
            {"include": ("latest",), "glob": ("*-alpine",)},
            "latest 1.0-alpine",
            id="a name joins past glob",
        ),
        pytest.param(
            "1.25-rc1 1.0-rc2 1.25",
            {"include": ("1.25-rc1",), "semver": ">=1.0"},
            "1.25-rc1 1.25",
            id="a name joins past the built-in list",
        ),
        pytest.param(
            "latest latest-dev 1.0 1.0-dev",
            {"include": ("latest-dev",), "default_exclude": ("*-dev",)},
            "latest-dev latest 1.0",
            id="a name joins past the defaults' exclude",
        ),
        pytest.param(
            "latest latest-dev",
            {"include": ("latest", "latest-dev"), "exclude": ("latest",), "default_exclude": ("*-dev",)},
            "latest-dev",
            id="the mapping's exclude stops a name",
        ),
        pytest.param(
            "1.5 1.4 1.3 latest",
            {"include": ("latest",), "semver": ">=1", "sort": "semver", "latest": 2},
            "latest 1.5 1.4",
            id="names don't count against latest",
        ),
        pytest.param(
            "1.5 1.4 1.3",
            {"include": ("1.5",), "sort": "semver", "latest": 2},
            "1.5 1.4",
            id="a name that the pool has too takes its place in latest",
        ),
        pytest.param(
            "1.0-alpine 1.0-dev 1.0",
            {"glob": ("*-alpine",), "include": ("*-dev",)},
            "1.0-alpine 1.0-dev",
            id="a pattern rescues from glob",
        ),
        pytest.param(
            "1.0-rc1 1.0-dev 1.0-debug-dev",
            {"include": ("*-rc*", "*-dev"), "default_exclude": ("*-dev",), "exclude": ("*-debug-dev",)},
            "1.0-rc1 1.0-dev",
            id="a pattern rescues from the soft lists and not from the hard one",
        ),
        pytest.param(
            "latest-dev 8.5 8.5-dev 10.0-dev",
            {"include": ("*-dev",), "default_exclude": ("*-dev",), "semver": ">=8, <9"},
            "8.5 8.5-dev",
            id="a pattern rescues nothing from semver",
        ),
        pytest.param(
            "3.12.0 3.12.1 3.12.2 3.12.0-dev 3.12.1-dev 3.12.2-dev 3.12.0-r0",
            {
                "include": ("*-dev",),
                "default_exclude": ("*-dev", "*-r[0-9]*"),
                "semver": ">=3.12.0",
                "sort": "semver",
                "latest": 2,
            },
            "3.12.2 3.12.2-dev",
            id="a rescued tag counts against latest",
        ),
        pytest.param("1 2 3", {"include": ("{1,2}",), "glob": ("3",)}, "1 2 3", id="braces name tags"),
        pytest.param("b a", {"sort": "alpha", "latest": 0}, "", id="latest none"),
        pytest.param("a c b", {"sort": "alpha"}, "c b a", id="alpha, the last first"),
        pytest.param(
            "latest 1.0.0 nightly 2.0.0 v1.5",
            {"sort": "semver"},
            "2.0.0 v1.5 1.0.0 nightly latest",
            id="what is no version comes behind",
        ),
        pytest.param(
            "1.0.0 1.0.0-rc1 1.0.0-alpha 1.1.0-beta1 1.1.0",
            {"sort": "semver", "include": ("*",)},
            "1.1.0 1.1.0-beta1 1.0.0 1.0.0-rc1 1.0.0-alpha",
            id="suffixes below their release",
        ),
        pytest.param(
            "v1.0 1.0.0 1.0", {"sort": "semver", "latest": 2}, "1.0 1.0.0", id="spellings of one version by name"
        ),
    ],
)
def test_rules_select(tags: str, rules: dict[str, Any], expected: str) -> None:
    if "sort" in rules:
        rules = {**rules, "sort": SortOrder(rules["sort"])}

    assert kept(tags, **rules) == expected.split()


@pytest.mark.parametrize(
    ("tag", "named"),
    [
        (f"sha256-{HEX}", True),
        (f"sha256-{HEX}.sig", True),
        (f"sha256-{HEX}.att", True),
        (f"sha256-{HEX}.sbom", True),
        (f"sha512-{HEX}", True),
        (f"sha512-{HEX}{HEX}.sig", True),
        (f"sha256-{HEX}.old", False),
        (f"sha256-{HEX[1:]}", False),
        (f"sha256-{HEX.upper()}", False),
        ("sha256-abc.sig", False),
        ("sha256", False),
        ("latest", False),
    ],
)
def test_a_tag_is_digest_named(tag: str, named: bool) -> None:
    assert is_digest_named(tag) == named


def test_digest_named_tags_follow_their_image_and_are_not_selected() -> None:
    tags = ["1.0", f"sha256-{HEX}", f"sha256-{HEX}.sig", f"sha512-{HEX}.att"]

    assert kept(tags) == ["1.0"]
    assert kept(tags, glob=("*",)) == ["1.0"]
    assert kept(tags, include=("*",)) == ["1.0"]


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"include": (f"sha256-{HEX}.sig",), "glob": ("1.0",)}, id="by name"),
        pytest.param({"glob": ("1.0", "sha256-*.sig")}, id="by a glob that begins so"),
        pytest.param({"include": ("sha256-*.sig",), "glob": ("1.0",)}, id="by a pattern to include"),
    ],
)
def test_digest_named_tags_are_selected_when_asked_for(rules: dict[str, Any]) -> None:
    tags = ["1.0", f"sha256-{HEX}.sig", f"sha256-{HEX}"]

    assert sorted(kept(tags, **rules)) == ["1.0", f"sha256-{HEX}.sig"]


def test_a_selection_has_each_stage_and_each_reason() -> None:
    tags = ["latest", "3.0", "2.1-rc1", "2.1-dev", "2.1-slim", "2.1", "2.0", "1.9", "edge", f"sha256-{HEX}.sig"]
    rules = TagRules(
        glob=("*.*", "latest"),
        semver=">=1",
        exclude=("*-slim",),
        default_exclude=("*-dev",),
        sort=SortOrder.SEMVER,
        latest=2,
        include=("latest", "stable"),
    )

    selection = select(tags, rules)

    assert selection.kept == ("latest", "3.0", "2.1")
    assert selection.pinned == ("latest",)
    assert selection.absent == ("stable",)
    assert selection.total == 10
    assert [(stage.label, stage.before, stage.after) for stage in selection.stages] == [
        ("signatures and referrers, which follow their image", 10, 9),
        ('glob "*.*", "latest"', 9, 8),
        ('semver ">=1"', 8, 7),
        ("exclude", 7, 4),
        ("sort semver", 4, 4),
        ("latest 2", 4, 2),
        ('include "latest", "stable"', 2, 3),
    ]
    assert [(drop.kind, drop.tags) for drop in selection.dropped] == [
        (DropKind.LATEST, ("2.0", "1.9")),
        (DropKind.DIGEST_NAMED, (f"sha256-{HEX}.sig",)),
        (DropKind.GLOB, ("edge",)),
        (DropKind.EXCLUDE, ("2.1-slim",)),
        (DropKind.DEFAULT_EXCLUDE, ("2.1-dev",)),
        (DropKind.BUILTIN_EXCLUDE, ("2.1-rc1",)),
    ]


def test_a_selection_names_what_include_rescued() -> None:
    selection = select(
        ["1.0", "1.0-dev", "1.0-rc1", "2.0-dev"],
        TagRules(default_exclude=("*-dev",), include=("1*",)),
    )

    assert selection.kept == ("1.0", "1.0-dev", "1.0-rc1")
    assert selection.rescued == ("1.0-dev", "1.0-rc1")


def test_long_lists_of_patterns_are_cut_in_labels() -> None:
    selection = select(["x"], TagRules(glob=tuple(f"1.{minor}" for minor in range(8))))

    assert selection.stages[0].label == 'glob "1.0", "1.1", "1.2", "1.3", "1.4" and 3 more'


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"glob": ("[bad",)}, r"can't be applied: the pattern '\[bad' can't be read"),
        ({"include": ("[bad",)}, "the pattern"),
        ({"include": ("{bad",)}, "the pattern"),
        ({"exclude": ("[bad",)}, "the pattern"),
        ({"default_exclude": ("[bad",)}, "the pattern"),
        ({"semver": "newest"}, "can't be applied: the version range 'newest' can't be read"),
        ({"latest": 3}, "latest needs a sort"),
    ],
)
def test_rules_that_cant_be_applied_are_refused(rules: dict[str, Any], why: str) -> None:
    with pytest.raises(TagRuleError, match=why):
        select(["1.0"], TagRules(**rules))


def test_each_of_many_tags_costs_as_much_as_each_of_few() -> None:
    tags = [f"{i % 30}.{i % 97}.{i}-r{i % 9}-alpine3.{i % 20}" for i in range(15_000)]
    tags += [f"sha256-{i:064x}.sig" for i in range(5_000)]
    rules = TagRules(
        glob=("*.*.*", "v*-{alpine,slim}*"),
        semver=">=1.2, <29 || ^7",
        exclude=("*-debug", "*-fips*"),
        default_exclude=("*-dev", "*-r[0-2]*"),
        include=("latest", "*-r1-*"),
        sort=SortOrder.SEMVER,
        latest=50,
    )

    assert len(select(tags, rules).kept) == 50
    assert steps(lambda: select(tags[::5], rules)) < 1.2 * 10 * steps(lambda: select(tags[::50], rules))


TAGS = st.lists(
    st.one_of(
        st.from_regex(r"v?[0-2](\.[0-2]){0,2}(-(rc1|dev|r1|alpine))?", fullmatch=True),
        st.sampled_from(["latest", "latest-dev", "edge", f"sha256-{HEX}", f"sha256-{HEX}.sig"]),
    ),
    max_size=15,
)
GLOBS = st.lists(
    st.sampled_from(["*", "1.*", "*-dev", "v*", "latest", "1.0", "*-r[0-9]", "{1,2}.*", "sha256-*", "edge"]),
    max_size=2,
).map(tuple)


@st.composite
def rule_sets(draw: st.DrawFn) -> TagRules:
    sort = draw(st.sampled_from([None, SortOrder.SEMVER, SortOrder.ALPHA]))
    return TagRules(
        glob=draw(GLOBS),
        include=draw(GLOBS),
        semver=draw(st.sampled_from([None, ">=1", "<2", "~1.1", "*"])),
        exclude=draw(GLOBS),
        default_exclude=draw(GLOBS),
        sort=sort,
        latest=draw(st.integers(0, 4)) if sort and draw(st.booleans()) else None,
    )


@given(tags=TAGS, rules=rule_sets())
def test_every_tag_is_kept_or_dropped_once(tags: list[str], rules: TagRules) -> None:
    selection = select(tags, rules)

    ways = [*selection.kept, *(tag for drop in selection.dropped for tag in drop.tags)]
    assert sorted(ways) == sorted(set(tags))
    assert selection.total == len(set(tags))
    assert all(drop.tags for drop in selection.dropped)


@given(tags=TAGS, rules=rule_sets())
def test_stages_follow_on_each_other(tags: list[str], rules: TagRules) -> None:
    selection = select(tags, rules)

    counts = [selection.total]
    for stage in selection.stages:
        assert stage.before == counts[-1]
        counts.append(stage.after)
    assert counts[-1] == len(selection.kept)


@given(tags=TAGS, rules=rule_sets())
def test_the_mappings_own_exclude_always_wins(tags: list[str], rules: TagRules) -> None:
    excluded = Patterns(rules.exclude)

    assert not any(excluded.matches(tag) for tag in select(tags, rules).kept)


@given(tags=TAGS, rules=rule_sets())
def test_latest_bounds_all_but_the_names(tags: list[str], rules: TagRules) -> None:
    selection = select(tags, rules)

    assert selection.kept[: len(selection.pinned)] == selection.pinned
    if rules.latest is not None:
        assert len(selection.kept) - len(selection.pinned) <= rules.latest


@given(tags=TAGS, rules=rule_sets(), data=st.data())
def test_the_order_of_the_tags_changes_nothing(tags: list[str], rules: TagRules, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(tags))

    one, other = select(tags, rules), select(shuffled, rules)

    assert sorted(one.kept) == sorted(other.kept)
    assert one.pinned == other.pinned
    if rules.sort:
        assert one.kept == other.kept


@given(tags=TAGS, rules=rule_sets())
def test_selecting_again_from_the_kept_changes_nothing(tags: list[str], rules: TagRules) -> None:
    once = select(tags, rules).kept

    assert select(once, rules).kept == once
