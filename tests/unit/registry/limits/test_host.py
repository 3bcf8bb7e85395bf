"""The lanes of one host: what they take note of, and what they let go, by a clock of the test's own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.limiter import Time
from ocync.registry.limits.aimd import Start
from ocync.registry.limits.host import Bucket, HostLimits, allowed_in
from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def limits(self, start: Mapping[Kind, Start] | None = None, ceiling: int = 50) -> HostLimits:
        return HostLimits("r.io", ceiling, start=start, time=Time(now=lambda: self.now))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def answer(clock: Clock, bucket: Bucket, seconds: float, times: int = 1) -> None:
    """Let so many answers come, each that much later than it was asked for."""
    for _ in range(times):
        clock.now += seconds
        bucket.answered(under_way=1, seconds=seconds)


def refuse(bucket: Bucket, at: float, *, under_way: int = 50, wait: float | None = None) -> None:
    bucket.refused(under_way=under_way, begun=at, wait=wait, allowed=None, counted=True)


def test_answers_that_take_much_longer_than_they_could_are_asked_for_a_little_less(clock: Clock) -> None:
    bucket = clock.limits().bucket(Kind.METADATA)
    answer(clock, bucket, 0.02, 10)
    assert bucket.limit == 50

    answer(clock, bucket, 2.0, 30)

    assert 8 <= bucket.limit < 50
    answer(clock, bucket, 2.0, 500)
    assert bucket.limit == 8


@pytest.mark.parametrize(("usual", "slow"), [(0.001, 0.3), (0.3, 1.2)], ids=["busy machine", "far away"])
def test_answers_that_take_somewhat_longer_change_nothing(clock: Clock, usual: float, slow: float) -> None:
    bucket = clock.limits().bucket(Kind.METADATA)
    answer(clock, bucket, usual, 10)

    answer(clock, bucket, slow, 200)

    assert bucket.limit == 50


def test_a_registry_that_has_become_slow_for_good_is_taken_as_it_is(clock: Clock) -> None:
    bucket = clock.limits().bucket(Kind.METADATA)
    answer(clock, bucket, 0.3, 10)
    answer(clock, bucket, 2.5, 100)
    assert bucket.limit < 50

    for _ in range(3000):
        bucket.pressed(by_number=True)
        answer(clock, bucket, 2.5)

    assert bucket.limit == 50


def test_one_slow_answer_among_many_changes_nothing(clock: Clock) -> None:
    bucket = clock.limits().bucket(Kind.METADATA)
    for _ in range(50):
        answer(clock, bucket, 0.02, 20)
        answer(clock, bucket, 3.0)

    assert bucket.limit == 50


def test_what_was_eased_grows_again_when_answers_are_quick_and_it_is_made_use_of(clock: Clock) -> None:
    bucket = clock.limits().bucket(Kind.METADATA)
    answer(clock, bucket, 0.02, 10)
    answer(clock, bucket, 2.0, 100)
    low = bucket.limit

    for _ in range(2000):
        bucket.pressed(by_number=True)
        answer(clock, bucket, 0.02)

    assert low < 20
    assert bucket.limit == 50


def test_a_refusal_is_for_its_kind_alone(clock: Clock) -> None:
    limits = clock.limits()
    refuse(limits.bucket(Kind.UPLOAD), clock.now, wait=5)

    assert limits.bucket(Kind.UPLOAD).limit == 25
    assert limits.bucket(Kind.UPLOAD).pause(clock.now) == 5
    for kind in (Kind.METADATA, Kind.BLOB, Kind.MANIFEST):
        assert limits.bucket(kind).level.is_open
        assert limits.bucket(kind).pause(clock.now) == 0
    assert set(limits.learned()) == {Kind.UPLOAD}


def test_the_rate_is_found_from_what_went_well_in_the_last_second(clock: Clock) -> None:
    bucket = clock.limits().bucket(Kind.METADATA)
    for _ in range(300):
        clock.now += 0.01
        bucket.answered(under_way=40)

    refuse(bucket, clock.now, under_way=5)

    assert bucket.level.rate == pytest.approx(80, rel=0.1)


def test_a_pace_is_kept_between_what_begins(clock: Clock) -> None:
    bucket = clock.limits({Kind.MANIFEST: Start(rate=10)}).bucket(Kind.MANIFEST)
    assert bucket.pace(clock.now) == 0
    bucket.begin(clock.now)
    assert bucket.pace(clock.now) == pytest.approx(0.1)
    clock.now += 0.1
    assert bucket.pace(clock.now) == pytest.approx(0, abs=1e-6)
    # What was not made use of is not saved up.
    clock.now += 60
    bucket.begin(clock.now)
    assert bucket.pace(clock.now) == pytest.approx(0.1)


def test_what_is_left_is_not_exceeded_and_long_windows_are_not_waited_for(clock: Clock) -> None:
    limits = clock.limits()
    few, none, hours = (limits.bucket(kind) for kind in (Kind.METADATA, Kind.BLOB, Kind.UPLOAD))
    limits.asked(Kind.METADATA).left(1, 30)
    limits.asked(Kind.BLOB).left(0, 30)
    limits.asked(Kind.UPLOAD).left(0, 21600)

    assert (few.limit, few.pause(clock.now)) == (1, 0)
    assert none.pause(clock.now) == 30
    assert hours.pause(clock.now) == 0
    assert hours.level.is_open


def test_what_was_learned_before_is_kept_until_the_host_takes_all(clock: Clock) -> None:
    before = {Kind.UPLOAD: Start(at_once=10), Kind.MANIFEST: Start(rate=5)}
    limits = clock.limits(before)
    assert limits.learned(before) == before

    for _ in range(1000):
        clock.now += 0.1
        limits.bucket(Kind.UPLOAD).pressed(by_number=True)
        limits.bucket(Kind.UPLOAD).answered(under_way=10)

    assert limits.learned(before) == {Kind.MANIFEST: Start(rate=5)}


def test_a_change_of_direction_is_logged_once_and_a_long_pause_is_told_to_everybody(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ocync.registry.limits")
    bucket = clock.limits().bucket(Kind.UPLOAD)
    for _ in range(4):
        clock.now += 1
        refuse(bucket, clock.now, under_way=1)
    for _ in range(300):
        clock.now += 0.1
        bucket.pressed(by_number=True)
        bucket.answered(under_way=1)
    refuse(bucket, clock.now, wait=30)
    refuse(bucket, clock.now - 0.01, wait=30)

    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == [logging.DEBUG, logging.DEBUG, logging.INFO, logging.DEBUG]
    assert "r.io: uploads: less than before" in told[0][1]
    assert "more than before" in told[1][1]
    assert told[2][1] == "r.io: uploads wait for 30 s, as the registry asks"


def test_what_ghcr_allows_is_read_from_its_refusal() -> None:
    said = "ghcr.io answered 429 TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute"
    assert allowed_in(said) == pytest.approx(2000 / 60)
    assert allowed_in("allowed: 5/second") == 5
    for other in ("slow down", "allowed: 0/minute", "allowed: many/minute", "allowed: 5/fortnight"):
        assert allowed_in(other) is None


@given(st.text())
def test_any_text_of_a_refusal_is_read(text: str) -> None:
    assert allowed_in(text) is None or allowed_in(text) > 0  # type: ignore[operator]
