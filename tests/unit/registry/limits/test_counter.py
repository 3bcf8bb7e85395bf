"""Whether what a host tells of the requests that are left means anything."""

from __future__ import annotations

import logging

import pytest

from ocync.lib.limiter import Time
from ocync.registry.limits.counter import Counter
from ocync.registry.limits.host import HostLimits
from ocync.registry.limits.kinds import Kind


class Told:
    """A counter that is told numbers, one second after the other, each of a request made half a second before."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.counter = Counter("r.example", clock=lambda: self.now)

    def __call__(self, *numbers: int, of: str = "metadata", took: float = 0.5) -> list[bool]:
        heeded = []
        for number in numbers:
            self.now += 1
            heeded.append(self.counter.report(number, of=of, begun=self.now - took))
        return heeded


def test_none_left_is_heeded_twice_and_then_seen_to_mean_nothing() -> None:
    told = Told()

    assert told(0, 0, 0, 0, 7) == [True, True, False, False, False]


def test_a_few_more_requests_than_remain_prove_nothing() -> None:
    told = Told()

    assert told(3, 3, 3, 3, 3) == [True] * 5
    assert told(3) == [False]


@pytest.mark.parametrize("numbers", [range(100, -1, -1), [0, 5, 4, 3, 2, 1] * 20, [1, 0] * 50], ids=str)
def test_a_number_that_moves_means_something(numbers: range | list[int]) -> None:
    assert all(Told()(*numbers))


def test_requests_from_before_a_report_do_not_count() -> None:
    told = Told()

    assert all(told(*[0] * 40, took=50))


def test_kinds_of_requests_are_counted_apart_and_the_finding_holds_for_all() -> None:
    told = Told()

    for _ in range(2):
        assert told(0, of="metadata") == told(9, of="upload") == [True]
    assert told(0, of="metadata") == told(8, of="upload") == [False]


def test_it_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    Told()(*[0] * 9)

    assert len(caplog.records) == 1
    assert caplog.messages[0].startswith("r.example keeps reporting 0 requests remaining while accepting more")


def test_the_lanes_of_a_host_pause_twice_at_most_for_a_number_that_means_nothing() -> None:
    now = 1000.0
    limits = HostLimits("r.example", 50, time=Time(now=lambda: now))
    paused = 0.0
    for number in range(40):
        kind = Kind.BLOB if number > 10 else Kind.METADATA
        pause = limits.bucket(kind).pause(now)
        paused += pause
        now += pause
        asked = limits.asked(kind)
        now += 0.1
        asked.left(0, 60)

    assert paused == pytest.approx(120, abs=1)
