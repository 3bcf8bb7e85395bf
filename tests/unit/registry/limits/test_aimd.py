"""Levels: within their bounds whatever happens, down at once, up again, and never at an end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocync.registry.limits import aimd as levels
from ocync.registry.limits.aimd import FLOOR_RATE, REST, Level, Start, starts_in, text_of
from ocync.registry.limits.kinds import Kind

CEILINGS = st.integers(1, 100)
STARTS = st.builds(
    Start,
    at_once=st.none() | st.floats(0.1, 500),
    rate=st.none() | st.floats(0.01, 5000),
)
# What happens, and how many seconds after what happened before.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["refused", "overloaded", "well", "unused", "slow", "proved", "spent"]),
        st.floats(0, 30),
        st.integers(1, 120),
        st.none() | st.floats(0, 600),
    ),
    max_size=60,
)


def after(
    level: Level, events: list[tuple[str, float, int, float | None]], now: float = 0.0
) -> tuple[Level, float]:
    """Let things happen to a level."""
    for what, later, number, wait in events:
        begun, now = now, now + later
        match what:
            case "refused" | "overloaded":
                level = levels.refused(
                    level,
                    under_way=number,
                    begun=begun,
                    now=now,
                    seen=number / 3,
                    wait=wait,
                    allowed=wait,
                    counted=what == "refused",
                )
            case "well" | "unused":
                level = levels.grown(level, now=now, by_number=what == "well", by_pace=what == "well")
            case "slow":
                level = levels.eased(level, now=now)
            case "proved":
                level = levels.proved(level, number)
            case "spent":
                level = levels.spent(level, left=number - 1, seconds=wait or 0, now=now)
    return level, now


@given(CEILINGS, STARTS, EVENTS)
def test_a_level_stays_between_one_and_the_ceiling_whatever_happens(
    ceiling: int, start: Start, events: list[tuple[str, float, int, float | None]]
) -> None:
    level, now = after(levels.first(ceiling, start), events)

    assert 1 <= level.limit <= level.at_once <= level.ceiling == ceiling
    assert level.rate is None or level.rate >= FLOOR_RATE
    assert level.proven <= ceiling
    assert level.paused_until <= now + 600 + REST


@given(CEILINGS, STARTS, EVENTS)
def test_it_recovers_wholly_when_nothing_is_refused_any_more(
    ceiling: int, start: Start, events: list[tuple[str, float, int, float | None]]
) -> None:
    level, now = after(levels.first(ceiling, start), events)
    rate, now = level.rate, max(now, level.paused_until)

    # A minute and a half of use.
    for _ in range(900):
        now += 0.1
        level = levels.grown(level, now=now, by_number=True, by_pace=True)

    assert level.limit == ceiling
    assert rate is None or (level.rate is not None and level.rate > 20 * rate)


@given(CEILINGS, EVENTS)
def test_what_is_not_made_use_of_does_not_grow(
    ceiling: int, events: list[tuple[str, float, int, float | None]]
) -> None:
    level, now = after(levels.first(ceiling), events)
    grown = levels.grown(level, now=now + 50, by_number=False, by_pace=False)

    assert (grown.at_once, grown.rate) == (level.at_once, level.rate)


@given(st.integers(2, 100), st.integers(2, 100))
def test_a_burst_of_refusals_lowers_it_once(ceiling: int, number: int) -> None:
    once = levels.refused(levels.first(ceiling), under_way=ceiling, begun=1.0, now=2.0, seen=0)
    level = once
    for later in range(number):
        level = levels.refused(level, under_way=number, begun=1.5, now=2.1 + later / 100, seen=0)

    assert level == once
    assert once.at_once == max(1, ceiling / 2)


def test_it_drops_to_what_went_well_at_once_where_that_is_known() -> None:
    level = levels.proved(levels.first(50), 40)
    level = levels.refused(level, under_way=45, begun=1.0, now=2.0, seen=500)

    assert (level.at_once, level.rate) == (40, None)


def test_a_refusal_of_what_went_well_before_is_one_of_too_many_in_a_second() -> None:
    level = levels.proved(levels.first(50), 50)
    level = levels.refused(level, under_way=25, begun=1.0, now=2.0, seen=100)

    assert level.rate == pytest.approx(80)
    assert level.at_once == pytest.approx(35)


def test_a_refusal_of_about_as_many_as_went_well_is_one_of_too_many_at_once() -> None:
    level = levels.proved(levels.first(50), 10)
    level = levels.refused(level, under_way=8, begun=1.0, now=2.0, seen=100)

    assert (level.at_once, level.rate) == (7, None)


def test_what_waits_for_the_one_does_not_raise_the_other() -> None:
    level = levels.refused(levels.first(50, Start(rate=10)), under_way=50, begun=1.0, now=2.0, seen=0)
    by_pace = levels.grown(level, now=8.0, by_number=False, by_pace=True)
    by_number = levels.grown(level, now=8.0, by_number=True, by_pace=False)

    assert by_pace.at_once == level.at_once
    assert by_pace.rate is not None
    assert by_pace.rate > 10
    assert by_number.at_once > level.at_once
    assert by_number.rate == 10


def test_what_a_registry_says_it_allows_is_believed() -> None:
    level = levels.proved(levels.first(50), 50)
    for now in range(10):
        level = levels.refused(level, under_way=1, begun=now, now=now + 0.5, seen=5, allowed=2000 / 60)

    assert level.rate == pytest.approx(1000 / 60)


def test_who_is_overloaded_has_no_rate() -> None:
    level = levels.refused(levels.first(50), under_way=1, begun=1.0, now=2.0, seen=100, counted=False)

    assert level.rate is None
    assert level.at_once < 50


def test_retry_after_is_waited_for_once_and_by_all() -> None:
    level = levels.refused(levels.first(50), under_way=50, begun=1.0, now=2.0, seen=0, wait=7)
    assert level.paused_until == 9
    # Of the same burst, with a little more patience asked for.
    level = levels.refused(level, under_way=49, begun=1.0, now=2.5, seen=0, wait=7)
    assert level.paused_until == 9.5
    assert level.at_once == 25


def test_slow_answers_make_it_a_little_less_and_never_few() -> None:
    level = levels.eased(levels.first(50), now=1.0)
    assert level.at_once == 45
    for _ in range(100):
        level = levels.eased(level, now=2.0)
    assert level.limit == 8
    assert levels.eased(levels.first(3), now=1.0).limit == 3


def test_it_begins_at_the_ceiling_or_where_the_last_pass_ended() -> None:
    assert levels.first(50).limit == 50
    assert levels.first(50).is_open
    level = levels.first(50, Start(at_once=12.5, rate=33))
    assert (level.limit, level.rate, level.is_open) == (12, 33, False)
    assert levels.first(10, Start(at_once=40)).limit == 10
    # One bad hour is no reason to begin with one at a time for ever.
    assert levels.first(50, Start(at_once=1)).limit == 4
    assert levels.first(2, Start(at_once=1)).limit == 2


@given(CEILINGS, EVENTS)
def test_what_is_learned_is_where_the_next_pass_begins(
    ceiling: int, events: list[tuple[str, float, int, float | None]]
) -> None:
    level, _ = after(levels.first(ceiling), events)
    start = levels.learned(level)

    if level.lowered is None or level.is_open:
        assert start is None
    else:
        assert start is not None
        again = levels.first(ceiling, start)
        assert again.at_once == pytest.approx(max(min(4, ceiling), level.at_once), abs=0.06)
        assert again.rate == (None if level.rate is None else pytest.approx(level.rate, abs=0.06))


@settings(max_examples=25)
@given(st.integers(1, 60), st.sampled_from([0.05, 0.2, 1.0]))
def test_against_a_host_that_takes_so_many_at_once_it_neither_starves_nor_storms(
    taken: int, seconds: float
) -> None:
    """Model: everybody goes at once as far as the level lets them; what is above `taken` is refused."""
    level, now, went, refusals, possible = levels.first(50), 0.0, 0, 0, 0
    while now < 30:
        limit = level.limit
        begun, now = now, now + seconds
        went += min(limit, taken)
        possible += min(50, taken)
        for number in range(1, limit + 1):
            if number <= taken:
                level = levels.grown(levels.proved(level, number), now=now, by_number=True, by_pace=True)
            else:
                refusals += 1
                level = levels.refused(level, under_way=number, begun=begun, now=now, seen=taken / seconds)
        now = max(now, level.paused_until)

    assert went >= 0.7 * possible
    # The first burst, its halves, and now and then one more than is taken.
    assert refusals <= 2 * 50 + 30


NUMBERS = st.none() | st.floats(0.1, 5000)
SAVED = st.dictionaries(st.sampled_from(Kind), st.builds(Start, at_once=NUMBERS, rate=NUMBERS))


@given(SAVED)
def test_what_is_written_is_read_again(starts: dict[Kind, Start]) -> None:
    assert starts_in(text_of(starts)) == starts
    assert text_of(dict(reversed(starts.items()))) == text_of(starts)


def usable(text: str | None) -> list[Level]:
    found = [levels.first(50, start) for start in starts_in(text).values()]
    assert all(1 <= level.limit <= 50 and (level.rate is None or 1 <= level.rate < float("inf")) for level in found)
    return found


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
