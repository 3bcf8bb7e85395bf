"""Mappings that write the same tags of the same repository."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.config.model import MappingConfig, RegistryConfig
from ocync.config.overlap import Claim, Overlap, are_disjoint, overlap, patterns_may_meet, ranges_meet
from ocync.config.yaml.node import NOWHERE
from ocync.oci.reference import Registry
from ocync.tags.glob import Pattern
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.select import select
from ocync.tags.version_range import Range, TagVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

REGISTRY = RegistryConfig(name="r", registry=Registry("a.b"))


def claim(rules: TagRules, source: str = "x") -> Claim:
    mapping = MappingConfig(
        name=source,
        source=REGISTRY,
        source_repository=REGISTRY.repository(source),
        targets=((REGISTRY, REGISTRY.repository("y")),),
        tags=rules,
    )
    made = Claim.of(mapping, ("mappings", 0), NOWHERE)
    assert made is not None
    return made


def tags(**rules: object) -> TagRules:
    return TagRules(**{key: tuple(value.split()) if key in LISTS else value for key, value in rules.items()})  # type: ignore[arg-type,attr-defined]


LISTS = ("glob", "include", "exclude", "default_exclude")
SEMVER = SortOrder.SEMVER


@pytest.mark.parametrize(
    ("one", "other", "decision", "tag"),
    [
        pytest.param(tags(), tags(), Overlap.CERTAIN, "", id="all and all"),
        pytest.param(tags(), tags(glob="1.*"), Overlap.CERTAIN, "", id="all and some"),
        pytest.param(tags(), tags(glob="latest"), Overlap.CERTAIN, "latest", id="all and one"),
        pytest.param(tags(), tags(glob="1-rc1"), Overlap.NONE, "", id="all but prereleases, and one of these"),
        pytest.param(tags(glob="a b"), tags(glob="c d"), Overlap.NONE, "", id="other names"),
        pytest.param(tags(glob="a b"), tags(glob="b c"), Overlap.CERTAIN, "b", id="a common name"),
        pytest.param(tags(glob="{a,b}"), tags(glob="{b,c}"), Overlap.CERTAIN, "b", id="a common name in braces"),
        pytest.param(tags(glob="a b", exclude="b"), tags(glob="b c"), Overlap.NONE, "", id="excluded here"),
        pytest.param(tags(glob="1.2"), tags(glob="1.*"), Overlap.CERTAIN, "1.2", id="a name a pattern matches"),
        pytest.param(tags(glob="2.2"), tags(glob="1.*"), Overlap.NONE, "", id="a name that no pattern matches"),
        pytest.param(tags(glob="stable"), tags(semver=">=1"), Overlap.NONE, "", id="a name that is no version"),
        pytest.param(tags(glob="2.1"), tags(semver=">=1"), Overlap.CERTAIN, "2.1", id="a version in the range"),
        pytest.param(tags(glob="0.9"), tags(semver=">=1"), Overlap.NONE, "", id="a version out of the range"),
        pytest.param(
            tags(glob="2.1"),
            tags(semver=">=1", sort=SEMVER, latest=3),
            Overlap.POSSIBLE,
            "2.1",
            id="a version that may be too old",
        ),
        pytest.param(
            tags(glob="latest"),
            tags(semver=">=1", include="latest", sort=SEMVER, latest=3),
            Overlap.CERTAIN,
            "latest",
            id="a name that is always kept",
        ),
        pytest.param(tags(glob="1.*"), tags(glob="1.*"), Overlap.CERTAIN, "", id="the same pattern"),
        pytest.param(tags(glob="1.*"), tags(glob="2.*"), Overlap.NONE, "", id="patterns that begin otherwise"),
        pytest.param(tags(glob="*-dev"), tags(glob="*-slim"), Overlap.NONE, "", id="patterns that end otherwise"),
        pytest.param(tags(glob="1.*"), tags(glob="*-dev"), Overlap.POSSIBLE, "", id="patterns that may meet"),
        pytest.param(tags(glob="1.* *-a"), tags(glob="2.* *-b"), Overlap.POSSIBLE, "", id="lists that may meet"),
        pytest.param(tags(semver="<2"), tags(semver=">=2"), Overlap.NONE, "", id="ranges side by side"),
        pytest.param(tags(semver="<=2"), tags(semver=">=2"), Overlap.POSSIBLE, "", id="ranges that touch"),
        pytest.param(tags(exclude="*-dev"), tags(glob="*-dev"), Overlap.NONE, "", id="excluded there"),
        pytest.param(tags(default_exclude="*-dev"), tags(glob="*-dev"), Overlap.NONE, "", id="soft"),
        pytest.param(
            tags(default_exclude="*-dev", include="*-dev"), tags(glob="*-dev"), Overlap.CERTAIN, "", id="rescued"
        ),
        pytest.param(
            tags(glob="1.*", include="latest"),
            tags(glob="2.*", include="latest"),
            Overlap.CERTAIN,
            "latest",
            id="pins",
        ),
        pytest.param(
            tags(glob="1.*"), tags(glob="2.*", include="1.*"), Overlap.POSSIBLE, "", id="a pattern included"
        ),
        pytest.param(
            tags(sort=SEMVER, latest=3), tags(sort=SEMVER, latest=3), Overlap.CERTAIN, "", id="the same number"
        ),
        pytest.param(tags(min_tags=1), tags(immutable_tags="1.*"), Overlap.CERTAIN, "", id="what selects nothing"),
    ],
)
def test_rules_overlap_or_not(one: TagRules, other: TagRules, decision: Overlap, tag: str) -> None:
    assert overlap(claim(one), claim(other)) == (decision, tag)
    assert overlap(claim(other), claim(one)) == (decision, tag)


NAMES = ["1", "1.2", "2", "2.1", "1-dev", "2-dev", "latest", "edge"]
PATTERNS = ["*", "1*", "2.*", "*-dev", "?", "{1,latest}", "[12]*", *NAMES]
RULES = st.builds(
    TagRules,
    glob=st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple),
    include=st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple),
    exclude=st.lists(st.sampled_from(PATTERNS), max_size=1).map(tuple),
    default_exclude=st.lists(st.sampled_from(PATTERNS), max_size=1).map(tuple),
    semver=st.sampled_from([None, ">=2", "<2", "1", "~1.2 || 2"]),
    sort=st.just(SEMVER),
    latest=st.sampled_from([None, 1]),
)


@given(RULES, RULES, st.lists(st.sampled_from(NAMES), unique=True), st.lists(st.sampled_from(NAMES), unique=True))
def test_the_decision_about_rules_is_right_for_any_tags(
    one: TagRules, other: TagRules, here: list[str], there: list[str]
) -> None:
    decision, tag = overlap(claim(one), claim(other))
    common = set(select(here, one).kept) & set(select(there, other).kept)

    if decision is Overlap.NONE:
        assert not common
    elif decision is Overlap.CERTAIN and tag:
        assert tag in select({*here, tag}, one).kept
        assert tag in select({*there, tag}, other).kept


@given(RULES, RULES, st.sampled_from(NAMES))
def test_disjoint_rules_have_no_tag_in_common_but_those_they_name(one: TagRules, other: TagRules, tag: str) -> None:
    if are_disjoint(one, other) and tag not in {*one.include, *other.include, *one.glob, *other.glob}:
        one, other = replace(one, latest=None), replace(other, latest=None)
        named = {*select((), one).absent, *select((), other).absent}
        assert tag in named or not (select([tag], one).kept and select([tag], other).kept)


@given(
    st.text("ab*?-", min_size=1, max_size=4), st.text("ab*?-", min_size=1, max_size=4), st.text("ab-", max_size=4)
)
def test_patterns_that_can_not_meet_have_no_text_in_common(one: str, other: str, text: str) -> None:
    if not patterns_may_meet(one, other):
        assert not (Pattern(one).matches(text) and Pattern(other).matches(text))


RANGES = [
    ">=1.2",
    "<1.2",
    "<=1.2",
    ">1.2",
    "1.2",
    "^1.1",
    "~1.2",
    "1.x",
    ">=1, <1.2",
    "<1 || >2",
    "*",
    "<0",
    ">2, <1",
]


@pytest.mark.parametrize("one", RANGES)
@pytest.mark.parametrize("other", RANGES)
def test_ranges_meet_if_and_only_if_a_version_is_in_both(one: str, other: str) -> None:
    versions = [TagVersion.parse(f"{a}.{b}.{c}") for a in range(4) for b in range(4) for c in range(3)]
    ranges = Range.parse(one), Range.parse(other)
    in_both = any(all(each.matches(version) for each in ranges) for version in versions if version)

    assert ranges_meet(*ranges) == in_both


BASE = """\
registries:
  src: {url: cgr.dev}
  hub: {url: docker.io}
  dst: {url: registry.example.com}
  also: {url: "https://Registry.example.com:443"}
  nested: {url: registry.example.com/b}
  west: {url: west.example.com}
  disk: {url: 'oci:./mirror'}
  disk-again: {url: 'oci:mirror/'}
defaults: {source: src, targets: dst}
mappings:
"""


def mappings(*texts: str) -> str:
    return BASE + "".join(f"  - {{{text}}}\n" for text in texts)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("from: a, to: m", "from: b, to: m", id="other repositories"),
        pytest.param("from: m", "from: m, source: hub", id="other registries"),
        pytest.param("from: a, to: m", "from: b, to: m, targets: also", id="another name of the target"),
        pytest.param("from: a, to: b/m", "from: b, to: m, targets: nested", id="a target with a path"),
        pytest.param("from: a, to: m", "from: b, to: m, targets: [west, dst]", id="one target of two"),
        pytest.param("from: a, to: m, targets: disk", "from: b, to: m, targets: disk-again", id="one folder"),
        pytest.param("from: a", "from: a, platforms: [linux/amd64]", id="other platforms"),
        pytest.param("from: a, to: m, tags: {glob: x}", "from: b, to: m", id="a name and everything"),
    ],
)
def test_two_sources_for_the_same_tags_are_refused(
    first: str, second: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(mappings(first, second))

    assert "mappings[1]: writes the " in found
    assert "as mappings[0] (line 12) does, " in found
    assert "from another source: " in found or "with other platforms: " in found


def test_an_overlap_names_tag_repository_and_position(problems: Callable[..., list[str]]) -> None:
    text = mappings("from: a, to: m, tags: {glob: [x, y]}", "from: b, to: m, tags: {glob: [y, z]}")

    assert problems(text) == [
        "13:15: mappings[1]: writes the tag y of registry.example.com/m as mappings[0] (line 12) does, from "
        "another source: choose another to, or tags that the other does not select"
    ]


def test_a_duplicate_mapping_is_refused(problems: Callable[..., list[str]]) -> None:
    [found] = problems(mappings("from: a", "from: b", "from: a, to: a"))

    assert "mappings[2]: is there twice: mappings[0] (line 12) copies the same to registry.example.com/a" in found


def test_a_mapping_is_named_once_however_many_targets_it_shares(problems: Callable[..., list[str]]) -> None:
    targets = "targets: [dst, west, disk]"

    assert len(problems(mappings(f"from: a, to: m, {targets}", f"from: b, to: m, {targets}"))) == 1


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["from: a", "from: b"], id="other targets"),
        pytest.param(["from: a, to: m", "from: b, to: m, targets: west"], id="other registries"),
        pytest.param(["from: a, to: m, tags: {glob: x}", "from: b, to: m, tags: {glob: y}"], id="other names"),
        pytest.param(["from: a, to: m, tags: {glob: '1.*'}", "from: b, to: m, tags: {glob: '2.*'}"], id="patterns"),
        pytest.param(["from: a, tags: {glob: stable}", "from: a, tags: {glob: '1.*'}"], id="a pin"),
        pytest.param(["from: a, tags: {glob: '*-a'}", "from: a, tags: {glob: '1*'}"], id="perhaps"),
    ],
)
def test_mappings_without_a_conflict_are_accepted(texts: list[str], read: Load) -> None:
    config = read(mappings(*texts))

    assert len(config.mappings) == 2
    assert config.warnings == ()


def test_an_overlap_that_depends_on_the_registry_is_a_warning(warnings: Callable[..., list[str]]) -> None:
    text = mappings("from: a, to: m, tags: {glob: '1.*'}", "from: b, to: m, tags: {glob: '*-dev'}")

    assert warnings(text) == [
        "13:15: mappings[1]: writes registry.example.com/m as mappings[0] (line 12) does, from another source: "
        "make sure that no tag is selected by both"
    ]


def test_the_same_images_at_the_same_tag_are_a_warning(warnings: Callable[..., list[str]]) -> None:
    text = mappings("from: a, tags: {glob: '1.2'}", "from: a, tags: {glob: '1.*'}")

    assert warnings(text) == [
        "13:6: mappings[1]: copies the tag 1.2 to registry.example.com/a as mappings[0] (line 12) does already"
    ]


def test_bad_rules_are_not_compared(problems: Callable[..., list[str]]) -> None:
    text = mappings("from: a, to: m", "from: b, to: m").replace("targets: dst", "targets: dst, tags: {glob: '[a'}")

    assert [line.split(": ")[1] for line in problems(text)] == ["defaults.tags.glob"]


def test_many_mappings_to_one_repository_are_compared_quickly(
    read: Load, problems: Callable[..., list[str]]
) -> None:
    texts = [f"from: r{n}, to: m, tags: {{glob: t{n}}}" for n in range(2000)]

    assert len(read(mappings(*texts)).mappings) == 2000
    assert "the tag t5 of" in problems(mappings(*texts, "from: s, to: m, tags: {glob: t5}"))[0]


def test_too_many_mappings_to_compare_are_a_warning(warnings: Callable[..., list[str]]) -> None:
    found = warnings(mappings(*(f"from: r{n}, to: m, tags: {{glob: 'r{n}-*'}}" for n in range(300))))

    assert len(found) == 1
    assert "so many mappings write registry.example.com/m that they were not all compared" in found[0]
