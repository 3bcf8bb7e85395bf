"""How long the reads of one blob may be waited for."""

from __future__ import annotations

import pytest

from ocync.transfer.reading import Breaks

KIB = 1024


def until_given_up(pace: float, *, step: float) -> float | None:
    """Return after how many seconds of waiting a source of so many bytes a second is given up; None for never."""
    breaks, waited = Breaks(1 << 40, 5), 0.0
    while waited < 2000:
        seconds = min(step, breaks.left)
        waited += seconds
        breaks.waited(seconds, int(pace * seconds))
        if breaks.left <= 0:
            return waited
    return None


@pytest.mark.parametrize("step", [0.1, 1.0, 7.0, 59.0])
@pytest.mark.parametrize("pace", [0, 1, KIB, 12 * KIB, 15 * KIB])
def test_who_gives_next_to_nothing_is_given_up_after_a_minute_and_a_half(pace: float, step: float) -> None:
    assert until_given_up(pace, step=step) == pytest.approx(90)


@pytest.mark.parametrize("step", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("pace", [18 * KIB, 1000 * KIB, KIB**3])
def test_an_honest_pace_is_never_given_up(pace: float, step: float) -> None:
    assert until_given_up(pace, step=step) is None


def test_what_came_before_buys_no_more_than_that_time() -> None:
    breaks = Breaks(1 << 40, 5)
    breaks.waited(10.0, 1 << 40)
    breaks.waited(89.0, 0)
    assert breaks.left > 0
    breaks.waited(1.0, 0)
    assert breaks.left <= 0
