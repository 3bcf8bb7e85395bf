"""Globs over tags, in the dialect of globset."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.tags import glob as pattern_module
from ocync.tags.glob import MAX_ALTERNATIVES, Pattern, Patterns, Wildcards, check, is_literal
from steps import steps

TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        pytest.param("latest", ["latest"], ["latest-dev", "Latest", "lates"], id="a literal is the whole tag"),
        pytest.param("*", ["latest", "1.0", ""], [], id="a star takes anything"),
        pytest.param("1.*", ["1.", "1.2", "1.2.3-dev"], ["1", "11.2", "v1.2"], id="a star at the end"),
        pytest.param("*-dev", ["1-dev", "latest-dev"], ["1-dev2", "dev"], id="a star at the start"),
        pytest.param("*-rc*", ["1-rc", "1-rc.2"], ["1-RC1", "1rc"], id="case counts"),
        pytest.param("1.?", ["1.2", "1.x"], ["1.", "1.22"], id="a question mark takes one character"),
        pytest.param("[0-9]*", ["1", "1.2", "9x"], ["v1", "x"], id="a range of characters"),
        pytest.param("*-r[!0-9]", ["1-rc"], ["1-r1", "1-r"], id="not one of"),
        pytest.param("*-r[^0-9]", ["1-rc"], ["1-r1", "1-r"], id="not one of, with a caret"),
        pytest.param("[]a]", ["]", "a"], ["b"], id="a bracket first is itself"),
        pytest.param("[a-]", ["a", "-"], ["b"], id="a dash last is itself"),
        pytest.param("[-a]", ["a", "-"], ["b"], id="a dash first is itself"),
        pytest.param("[a-c-e]", ["a", "d", "e"], ["-"], id="a range that goes on"),
        pytest.param("[[:digit:]]", [":]", "d]", "[]"], ["5", "d"], id="no named classes"),
        pytest.param("{1.2,1.3}.*", ["1.2.0", "1.3.1"], ["1.4.0"], id="alternatives"),
        pytest.param("{a,b{c,d}}e", ["ae", "bce", "bde"], ["be"], id="alternatives in alternatives"),
        pytest.param("{1,2}.{3,4}", ["1.3", "1.4", "2.3", "2.4"], ["1.1", "3.3"], id="alternatives multiply"),
        pytest.param("{a}", ["a"], ["{a}"], id="one alternative"),
        pytest.param("{1..3}", ["1..3"], ["1", "2", "3"], id="no sequences"),
        pytest.param("1.2{,-dev}", ["1.2-dev"], ["1.2"], id="an empty alternative counts for nothing"),
        pytest.param("a{}b", ["ab"], ["a{}b"], id="empty braces count for nothing"),
        pytest.param("a,b", ["a,b"], ["a", "b"], id="a comma outside of braces is itself"),
        pytest.param(r"\*\{x\\", [r"*{x\ ".strip()], ["a{x"], id="a backslash takes the meaning away"),
        pytest.param("!a", ["!a"], ["b"], id="no negation in front"),
        pytest.param("**", ["", "a"], [], id="two stars are one"),
        pytest.param("*1*1*", ["11", "1x1", "x1x1x"], ["1", "x1x"], id="runs between stars in their order"),
        pytest.param("*.0", [".0", "1.0", ".x.0"], ["10"], id="a leading dot is nothing special"),
        pytest.param("*ab*b", ["abb", "ababb"], ["ab", "aab"], id="runs don't overlap"),
        pytest.param("*{abcd,b}*c*", ["abcd", "bxc"], ["ab", "cb"], id="the shorter alternative may be the one"),
        pytest.param("v1.2+", ["v1.2+"], ["v1.22", "v1x2+"], id="signs of regular expressions are themselves"),
    ],
)
def test_a_pattern_matches_what_globset_matches(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = Pattern(pattern)

    assert [tag for tag in yes if not compiled.matches(tag)] == []
    assert [tag for tag in no if compiled.matches(tag)] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[", r"the \[ is never closed \(character 1\)"),
        ("1.[0-9", r"the \[ is never closed \(character 3\)"),
        ("[!]", r"the \[ is never closed"),
        ("{a,b", r"the \{ is never closed \(character 1\)"),
        ("x{a,{b}", r"the \{ is never closed \(character 2\)"),
        ("a}", r"the \} closes no \{ \(character 2\)"),
        ("[z-a]", "the range z-a runs backwards"),
        ("a\\", "nothing follows the backslash"),
    ],
)
def test_a_bad_pattern_is_refused_with_the_position(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Pattern(pattern)
    with pytest.raises(ValueError, match=why):
        Patterns(["ok", pattern])
    with pytest.raises(ValueError, match=why):
        check(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("{a,b}" * 30, id="braces beside braces"),
        pytest.param("{a,{b,c}{d,e}}" * 12, id="braces in braces"),
        pytest.param("{a," * 5000 + "}" * 5000, id="deep braces"),
        pytest.param("x" * 1_000_000, id="a megabyte"),
        pytest.param("{a,b,c,d,e,f,g,h,i,j}" * 3 + "x" * 10_000, id="a long tail on many alternatives"),
    ],
)
def test_a_pattern_with_too_many_alternatives_is_refused_at_once(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pattern_module, "_MAX_PIECES", 20_000)

    def refuse() -> None:
        with pytest.raises(ValueError, match=f"too large: its braces may stand for {MAX_ALTERNATIVES} patterns"):
            Pattern(pattern)

    # It reads no further than that.
    assert steps(refuse) < 50 * 20_000


def test_braces_may_stand_for_a_thousand() -> None:
    names = [f"1.{minor}.0" for minor in range(MAX_ALTERNATIVES)]

    assert Pattern("{" + ",".join(names) + "}").literals == tuple(names)


@pytest.mark.parametrize(
    ("pattern", "tag"),
    [
        pytest.param("*a*a*a*a*a*a*a*b", "a" * 128, id="no end"),
        pytest.param("*a*a*a*a*a*a*a*b*c", "a" * 127 + "b", id="no end after a middle"),
        pytest.param("*a?*a?*a?*a?*a?*[bc]*[bc]", "a" * 127 + "b", id="with question marks"),
        pytest.param("*[ab]" * 40 + "c", "ab" * 64, id="forty classes"),
        pytest.param("{a*,*a*a,*a}" * 6 + "*b", "a" * 128, id="with alternatives"),
    ],
)
def test_no_pattern_makes_matching_slow(pattern: str, tag: str) -> None:
    # A matcher that goes back over its stars needs years for the first of these; the time limit of a test ends it.
    assert not Pattern(pattern).matches(tag)


@pytest.mark.parametrize("text", ["latest", "1.25.5", "v1.2.3-rc1", "", "{1.2,1.3}"])
def test_a_text_without_wildcards_is_literal(text: str) -> None:
    assert is_literal(text)


@pytest.mark.parametrize("text", ["*-dev", "v?.1", "*-r[0-9]*", "a[bc]"])
def test_a_text_with_wildcards_is_not_literal(text: str) -> None:
    assert not is_literal(text)


@pytest.mark.parametrize(
    ("text", "literals"),
    [
        ("latest", ("latest",)),
        ("{1.2,1.3}-dev", ("1.2-dev", "1.3-dev")),
        ("{a,a}", ("a",)),
        (r"\1.2", ("1.2",)),
        ("1.*", None),
        ("{1,2*}", None),
    ],
)
def test_a_literal_pattern_has_its_names(text: str, literals: tuple[str, ...] | None) -> None:
    assert Pattern(text).literals == literals


def test_patterns_match_what_any_of_them_matches() -> None:
    patterns = Patterns(["1.*", "latest", "*-{dev,slim}"])

    matched = [tag for tag in ("1.2", "latest", "x-slim", "2.0", "latest1") if patterns.matches(tag)]

    assert matched == ["1.2", "latest", "x-slim"]


def test_no_patterns_match_nothing() -> None:
    assert not Patterns([])
    assert not Patterns([]).matches("")


def test_case_can_be_ignored() -> None:
    patterns = Patterns(["*-rc*", "latest"], ignore_case=True)

    assert patterns.matches("1.0-RC1")
    assert patterns.matches("LATEST")


@given(tag=TAGS)
def test_a_tag_is_its_own_pattern(tag: str) -> None:
    assert Pattern(tag).matches(tag)
    assert Pattern(tag).literals == (tag,)


@given(text=st.text(alphabet="ab1.-*?[]!^{},\\", max_size=12), tag=st.text(alphabet="ab1.-", max_size=8))
def test_any_text_is_a_pattern_or_refused(text: str, tag: str) -> None:
    try:
        compiled = Pattern(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert compiled.matches(tag) in (True, False)


@given(pieces=st.lists(st.sampled_from(["*", "?", "a", "b", "1", "[ab]", "[!b]"]), max_size=8), tag=TAGS)
def test_atomic_groups_match_what_backtracking_matches(pieces: list[str], tag: str) -> None:
    plain = {"*": ".*", "?": ".", "[!b]": "[^b]"}
    reference = re.compile("".join(plain.get(piece, piece) for piece in pieces), re.DOTALL)

    assert Pattern("".join(pieces)).matches(tag) == (reference.fullmatch(tag) is not None)


@given(
    heads=st.lists(st.sampled_from(["a", "ab", "a*", "?b"]), min_size=1, max_size=3),
    tails=st.lists(st.sampled_from(["b", "1", "*1", ""]), min_size=1, max_size=3),
    tag=st.text(alphabet="ab1", min_size=1, max_size=6),
)
def test_braces_are_the_sum_of_their_alternatives(heads: list[str], tails: list[str], tag: str) -> None:
    joined = "{" + ",".join(heads) + "}x{" + ",".join(tails) + "}"
    each = [f"{head}x{tail}" for head in heads for tail in (list(filter(None, tails)) or [""])]

    for candidate in (tag, tag[:2] + "x" + tag[2:]):
        assert Pattern(joined).matches(candidate) == any(Pattern(text).matches(candidate) for text in each)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("application/spdx+json", "application/spdx+json"),
        ("*SPDX*json", "application/spdx+JSON"),
        ("*", ""),
        ("text/*", "text/a\nb"),
        ("a[b]{c}?", "a[b]{c}?"),
    ],
)
def test_only_a_star_is_special_in_a_media_type(text: str, kind: str) -> None:
    assert Wildcards(["nothing", text]).matches(kind)
    assert not Wildcards(["nothing", f"{text}x"]).matches(kind)


def test_no_wildcards_match_nothing() -> None:
    assert not Wildcards([]).matches("")


@given(text=st.text(alphabet="*ab.+", max_size=10), kind=st.text(alphabet="abAB.+\n", max_size=10))
def test_wildcards_match_what_backtracking_matches(text: str, kind: str) -> None:
    reference = re.compile(".*".join(map(re.escape, text.split("*"))), re.IGNORECASE | re.DOTALL)

    assert Wildcards([text]).matches(kind) == (reference.fullmatch(kind) is not None)


@pytest.mark.parametrize("text", ["*spdx*json", "*spdx*spdx*spdx*json", "*s*p*d*x*j", "*spdxspdx*spdxj*"])
def test_a_million_characters_that_nearly_match_are_quickly_refused(text: str) -> None:
    assert not Wildcards([text, text]).matches("spdx" * 250_000)
    assert not Pattern(text).matches("spdx" * 250_000)
