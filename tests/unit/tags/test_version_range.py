"""Tags as versions, their order, and ranges of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.tags.version_range import Range, TagVersion

NUMBERS = st.lists(st.sampled_from(["0", "1", "2", "9", "10", "07"]), min_size=1, max_size=4).map(".".join)
SUFFIXES = st.sampled_from(["", "-", "-rc1", "-rc.1", "-rc10", "-alpine", "-alpine3.20", "-1", "-r0-dev", "-RC1"])
VERSION_TAGS = st.tuples(st.sampled_from(["", "v"]), NUMBERS, SUFFIXES).map("".join)
ANY_TAGS = st.one_of(VERSION_TAGS, st.text(alphabet="v0129._-rcx", max_size=12))


def version(tag: str) -> TagVersion:
    parsed = TagVersion.parse(tag)
    assert parsed is not None, tag
    return parsed


@pytest.mark.parametrize(
    ("tag", "numbers", "suffix"),
    [
        ("1.21.5", (1, 21, 5), ()),
        ("15.10", (15, 10), ()),
        ("21", (21,), ()),
        ("v0", (), ()),
        ("1.0.0", (1,), ()),
        ("v1.27.6", (1, 27, 6), ()),
        ("21.0.5_11", (21, 0, 5, 11), ()),
        ("20240115", (20240115,), ()),
        ("2024.01.15", (2024, 1, 15), ()),
        ("1.0-", (1,), ()),
        ("1.0---", (1,), ()),
        ("15.10-alpine", (15, 10), ("alpine",)),
        ("1.25.5-r0", (1, 25, 5), ("r", 0)),
        ("25.0.3_9-jre-alpine-3.23", (25, 0, 3, 9), ("jre", "alpine", 3, 23)),
        ("v1.27.6-eks-1-27-14", (1, 27, 6), ("eks", 1, 27, 14)),
        ("1.10.0-alpha20241016", (1, 10), ("alpha", 20241016)),
        ("2.21.0-arm64v8", (2, 21), ("arm", 64, "v", 8)),
        ("1-" + "9" * 25, (1,), ("9" * 25,)),
    ],
)
def test_a_tag_is_read_as_numbers_and_a_suffix(
    tag: str, numbers: tuple[int, ...], suffix: tuple[int | str, ...]
) -> None:
    parsed = version(tag)

    assert parsed.numbers == numbers
    assert tuple(text or number for _, number, text in parsed.suffix) == suffix
    assert parsed.final == (not suffix)


@pytest.mark.parametrize(
    "tag",
    [
        *("", "v", "latest", "lts-iron", "17rc1", "1.24rc2", "V1.2", "vv1", "1..2", "1.", ".1", "_1", "-1", "1.x"),
        *("1_alpine", "9" * 25, "1\n", "1.2+b", "\u0661.2", "sha256-" + "1" * 64),
    ],
)
def test_other_tags_are_no_versions(tag: str) -> None:
    assert TagVersion.parse(tag) is None


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.0.0", "2.0.0"),
        ("1.9", "1.10"),
        ("1.0", "1.0.5"),
        ("1.0.0-rc1", "1.0.0"),
        ("1.0.0-alpine", "1.0"),
        ("1.0.0-rc9", "1.0.0-rc10"),
        ("1.0.0-rc.1", "1.0.0-rc.2"),
        ("25.0.3_9", "25.0.3_10"),
        ("25.0.2_999", "25.0.3"),
        ("v1.27.6-eks-1-27-9", "v1.27.6-eks-1-27-14"),
        ("1.31.3-debian-12-r2", "1.31.3-debian-12-r3"),
        ("1.0.0-RC1", "1.0.0-rc1"),
        ("1.0.0-1", "1.0.0-alpha"),
        ("1.0.0-rc.1", "1.0.0-rc.1.hotfix"),
        ("2024.01.15", "20240115"),
    ],
)
def test_versions_are_in_order(lower: str, higher: str) -> None:
    assert version(lower) < version(higher)
    assert version(lower).key < version(higher).key


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.0.0"), ("1", "v1"), ("1.0-rc1", "1.0.0-rc.1"), ("1.2_0", "1.2"), ("01.2", "1.2"), ("1.0-", "1.0")],
)
def test_spellings_of_one_version_are_equal(one: str, other: str) -> None:
    assert version(one) == version(other)
    assert hash(version(one)) == hash(version(other))


@given(tag=ANY_TAGS)
def test_parsing_never_fails_and_repeats(tag: str) -> None:
    assert TagVersion.parse(tag) == TagVersion.parse(tag)


@given(tags=st.lists(VERSION_TAGS, min_size=2, max_size=6))
def test_the_order_is_total_and_transitive(tags: list[str]) -> None:
    ordered = sorted(map(version, tags))

    for lower, higher in pairwise(ordered):
        assert lower <= higher
        assert (lower == higher) == (not lower < higher)
    assert ordered[0] <= ordered[-1]


@given(one=VERSION_TAGS, other=VERSION_TAGS)
def test_the_sort_key_orders_as_the_versions_do(one: str, other: str) -> None:
    assert (version(one) < version(other)) == (version(one).key < version(other).key)


@given(numbers=NUMBERS, suffix=SUFFIXES)
def test_a_suffix_never_lifts_a_version_above_its_release(numbers: str, suffix: str) -> None:
    assert version(numbers + suffix) <= version(numbers)


RANGES = [
    (">=1.0", ["1", "1.0.0", "1.5", "2-rc1"], ["0.9.9"]),
    ("<2.0", ["1.99.99", "0"], ["2", "2.0.0", "2.0.0-rc1"]),
    (">1.0", ["1.0.1", "2"], ["1", "1.0.0", "1.0-r5"]),
    ("<=1.0", ["1.0.0", "1-alpine", "0.9"], ["1.0.1"]),
    ("=15.0", ["15", "15.0.0", "15-alpine"], ["15.0.5"]),
    ("1.0", ["1", "1.0.0"], ["1.0.5"]),
    (" >= 1.0 , < 2.0 ", ["1.5"], ["2.0.0", "0.9"]),
    (">=1.0 <2.0", ["1.5"], ["2.0.0", "0.9"]),
    (">=v1.2", ["1.2", "v1.3"], ["1.1"]),
    (">=15.0", ["15.10.5", "15.10-alpine"], ["14.0-alpine"]),
    (">=2024.0.0", ["2024.01.15"], ["2023.12.31", "1.0.0"]),
    (">=21.0.5_11", ["21.0.5_12", "21.0.6"], ["21.0.5_9"]),
    ("^1.2.3", ["1.2.3", "1.9", "1.2.3-dev"], ["1.2.2", "2.0", "2.0.0-rc1"]),
    ("^1", ["1", "1.9.9"], ["0.9", "2"]),
    ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3", "0.2.2"]),
    ("^0.0.3", ["0.0.3", "0.0.3.1"], ["0.0.4", "0.0.2"]),
    ("^0.0.0", ["0", "0.0.0.1"], ["0.0.1"]),
    ("^0.0", ["0.0.9"], ["0.1"]),
    ("^0", ["0.9"], ["1"]),
    ("^1.x", ["1.5"], ["2"]),
    ("^0.x", ["0.5"], ["1"]),
    ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3", "1.2.2"]),
    ("~1.2", ["1.2", "1.2.9"], ["1.3", "1.1"]),
    ("~1", ["1.9"], ["2", "0.9"]),
    ("~ 1.2", ["1.2.5"], ["1.3"]),
    ("1.x", ["1", "1.0", "1.9-dev"], ["2", "0.9"]),
    ("1.2.*", ["1.2", "1.2.9"], ["1.3", "1.20"]),
    ("1.2.X", ["1.2.9"], ["1.3"]),
    ("1.x.x", ["1.2.9"], ["2"]),
    (">=1.x", ["1", "3"], ["0.9"]),
    (">1.x", ["2", "2.0.1"], ["1.9"]),
    ("<1.x", ["0.9"], ["1", "1.5"]),
    ("<=1.x", ["0.9", "1.9"], ["2"]),
    ("*", ["0", "1", "99-dev"], []),
    (">*", [], ["0", "1"]),
    ("~*", ["0", "99"], []),
    ("1.2.x || ^3", ["1.2.5", "3.9"], ["1.3", "2", "4"]),
    ("<1 || >=2, <3", ["0.5", "2.5"], ["1", "3"]),
]


@pytest.mark.parametrize(("text", "inside", "outside"), RANGES, ids=[text for text, _, _ in RANGES])
def test_a_range_includes_these_versions_and_excludes_those(
    text: str, inside: list[str], outside: list[str]
) -> None:
    wanted = Range.parse(text)

    assert [tag for tag in inside if not wanted.matches(version(tag))] == []
    assert [tag for tag in outside if wanted.matches(version(tag))] == []
    assert str(wanted) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has an empty part"),
        ("  ", "has an empty part"),
        (">=1,", "has an empty part"),
        ("1 ||", "has an empty part"),
        (">=1.0-rc1", "has a suffix in '>=1.0-rc1'"),
        ("1.0 - 2.0", "has a suffix"),
        (">=", "can't be read at '>='"),
        (">=latest", "can't be read at '>=latest'"),
        ("1..2", "can't be read"),
        ("1.", "can't be read"),
        ("1.x.2", "can't be read"),
        ("1.2x", "can't be read"),
        ("1.0 2.0", "can't be read"),
        ("~>1.2", "can't be read at '~>1.2'"),
        ("!=1.2", "can't be read"),
        (">=\u0661", "can't be read"),
    ],
)
def test_a_bad_range_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="the version range") as caught:
        Range.parse(text)

    assert why in str(caught.value)
    assert repr(text) in str(caught.value)


@given(text=st.text(alphabet="0129.xX*^~<>=,| v-", max_size=14), tag=VERSION_TAGS)
def test_any_text_is_a_range_or_refused(text: str, tag: str) -> None:
    try:
        wanted = Range.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert wanted.matches(version(tag)) in (True, False)


@given(bound=NUMBERS, tag=VERSION_TAGS)
def test_the_operators_divide_all_versions(bound: str, tag: str) -> None:
    def holds(operator: str) -> bool:
        return Range.parse(operator + bound).matches(version(tag))

    assert [holds("<"), holds("="), holds(">")].count(True) == 1
    assert holds(">=") == (holds(">") or holds("="))
    assert holds("<=") == (holds("<") or holds("="))


@given(bound=NUMBERS, operator=st.sampled_from(["^", "~"]))
def test_caret_and_tilde_include_their_own_bound(bound: str, operator: str) -> None:
    assert Range.parse(operator + bound).matches(version(bound))


@given(text=st.sampled_from([text for text, _, _ in RANGES]), numbers=NUMBERS, suffix=SUFFIXES)
def test_ranges_ignore_suffixes(text: str, numbers: str, suffix: str) -> None:
    wanted = Range.parse(text)

    assert wanted.matches(version(numbers)) == wanted.matches(version(numbers + suffix))


def test_long_texts_are_read_once() -> None:
    # Where each part is read from the beginning, the time limit of a test ends it.
    assert TagVersion.parse("1." * 100_000) is None
    assert TagVersion.parse("1-" + "a1" * 100_000) is not None
    with pytest.raises(ValueError, match="can't be read"):
        Range.parse("1." * 100_000 + "y")
