"""What is learned of limits, as text and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.limits.aimd import Level, Start, first
from ocync.registry.limits.kinds import Kind
from ocync.registry.limits.saved import starts_in, text_of

NUMBERS = st.none() | st.floats(0.1, 5000)
STARTS = st.dictionaries(st.sampled_from(Kind), st.builds(Start, at_once=NUMBERS, rate=NUMBERS))


@given(STARTS)
def test_what_is_written_is_read_again(starts: dict[Kind, Start]) -> None:
    assert starts_in(text_of(starts)) == starts
    assert text_of(dict(reversed(starts.items()))) == text_of(starts)


def usable(text: str | None) -> list[Level]:
    levels = [first(50, start) for start in starts_in(text).values()]
    assert all(
        1 <= level.limit <= 50 and (level.rate is None or 1 <= level.rate < float("inf")) for level in levels
    )
    return levels


@given(st.none() | st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(str))
def test_any_text_is_read_as_limits_that_can_be_kept_to_or_as_none(text: str | None) -> None:
    usable(text)


def test_nonsense_is_left_out_and_the_rest_is_kept() -> None:
    for value in (
        "[NaN, null]",
        "[Infinity, 1]",
        "[1]",
        "[true, null]",
        "[-1, null]",
        "[0, null]",
        '["5", null]',
        "5",
    ):
        assert starts_in(f'{{"upload": {value}, "manifest": [5, null], "else": [1, 1]}}') == {
            Kind.MANIFEST: Start(at_once=5)
        }
    for text in ("[" * 100_000, "[]", "7", "{", ""):
        assert usable(text) == []
