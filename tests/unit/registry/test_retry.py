"""Retry-After, and the retry policy."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import AuthError, NetworkError, RateLimitedError, ServerError, ThrottledError
from ocync.registry.ratelimit_headers import date, retry_after
from ocync.registry.retry import GIVE_UP_AFTER, MAX_RETRY_AFTER, RetryPolicy

AGES = 10 * 365 * 86400.0
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2099 12:00:00 GMT", AGES),
        ("99999999999999999999", AGES),
        ("-3", None),
        ("1.5", 1.5),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("75µs", 75e-6),
        ("1m30", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_within_bounds(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=80))
def test_any_retry_after_is_none_or_a_bounded_wait(value: str) -> None:
    seconds = retry_after(value, NOW)

    assert seconds is None or 0 <= seconds <= AGES


@given(st.text(max_size=80))
def test_any_date_is_none_or_a_moment_of_universal_time(value: str) -> None:
    moment = date(value)

    assert moment is None or moment.utcoffset() == timedelta(0)


class Sleeps:
    """Stands in for the clock: remembers the waits and takes no time."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


async def attempts_made(policy: RetryPolicy, error: Exception, *, succeed_at: int = 1000) -> int:
    made = 0
    async for attempt in policy.retrying():
        with attempt:
            made += 1
            if made < succeed_at:
                raise error
    return made


async def test_a_passing_failure_is_tried_until_it_passes() -> None:
    sleeps = Sleeps()

    made = await attempts_made(RetryPolicy(attempts=5, sleep=sleeps), ServerError("busy"), succeed_at=3)

    assert made == 3
    assert len(sleeps.waits) == 2


async def test_attempts_are_bounded_and_the_last_error_is_raised_as_it_is() -> None:
    sleeps, retried = Sleeps(), []
    error = NetworkError("gone")

    with pytest.raises(NetworkError) as raised:
        await attempts_made(RetryPolicy(attempts=4, sleep=sleeps, on_retry=retried.append), error)

    assert raised.value is error
    assert len(sleeps.waits) == len(retried) == 3


async def test_what_will_not_pass_is_not_tried_again() -> None:
    sleeps = Sleeps()

    with pytest.raises(AuthError):
        await attempts_made(RetryPolicy(sleep=sleeps), AuthError("no"))

    assert sleeps.waits == []


async def test_the_registry_s_wait_wins_over_the_longest_backoff() -> None:
    sleeps = Sleeps()

    await attempts_made(
        RetryPolicy(sleep=sleeps, max_delay=2), RateLimitedError("slow", retry_after=90.0), succeed_at=2
    )

    assert 90.0 <= sleeps.waits[0] <= 101.0


async def test_those_who_were_turned_away_together_do_not_come_back_together() -> None:
    sleeps = Sleeps()
    for _ in range(40):
        await attempts_made(RetryPolicy(sleep=sleeps), RateLimitedError("slow", retry_after=10.0), succeed_at=2)

    assert all(10 <= wait <= 16 for wait in sleeps.waits)
    assert len({round(wait, 4) for wait in sleeps.waits}) > 30


async def test_backoff_is_bounded() -> None:
    sleeps = Sleeps()

    with pytest.raises(ServerError):
        await attempts_made(RetryPolicy(attempts=12, sleep=sleeps, max_delay=3), ServerError("busy"))

    assert max(sleeps.waits) <= 3


async def test_no_attempt_is_begun_while_stopping() -> None:
    sleeps = Sleeps()

    with pytest.raises(ServerError):
        await attempts_made(RetryPolicy(sleep=sleeps, stopping=lambda: True), ServerError("busy"))

    assert sleeps.waits == []


async def test_cancellation_goes_through_at_once() -> None:
    with pytest.raises(asyncio.CancelledError):
        await attempts_made(RetryPolicy(sleep=Sleeps()), asyncio.CancelledError())  # type: ignore[arg-type]


async def test_a_cancellation_goes_through_at_once() -> None:
    sleeps = Sleeps()

    with pytest.raises(asyncio.CancelledError):
        async for attempt in RetryPolicy(sleep=sleeps).retrying():
            with attempt:
                raise asyncio.CancelledError

    assert sleeps.waits == []


class Clock:
    """Time that passes only where somebody says so, by waiting too."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def policy(self, **settings: Any) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, clock=self, **settings)


async def time_taken(clock: Clock, policy: RetryPolicy, error: Exception, *, silence: float) -> float:
    """Fail each attempt after so many seconds, or when its time is over; return when all is given up."""
    began = clock.now
    attempts = policy.retrying()
    with pytest.raises(type(error)):
        async for attempt in attempts:
            with attempt:
                clock.now += min(silence, attempts.begin())
                raise error
    return clock.now - began


@given(st.floats(0, 1000), st.integers(1, 100), st.floats(0.1, 1000))
async def test_however_long_a_host_keeps_silent_its_attempts_end_in_time(
    silence: float, attempts: int, max_delay: float
) -> None:
    clock = Clock()
    policy = clock.policy(attempts=attempts, max_delay=max_delay)

    taken = await time_taken(clock, policy, NetworkError("nothing came"), silence=silence)

    assert taken <= GIVE_UP_AFTER + 1e-6


@given(st.floats(0, 10**9), st.floats(0, 1000), st.integers(1, 100))
async def test_whatever_wait_a_registry_asks_for_again_and_again_its_attempts_end_in_time(
    asked: float, silence: float, attempts: int
) -> None:
    clock = Clock()
    policy = clock.policy(attempts=attempts)

    taken = await time_taken(clock, policy, RateLimitedError("slow", retry_after=asked), silence=silence)

    assert taken <= GIVE_UP_AFTER + MAX_RETRY_AFTER + 1e-6


@pytest.mark.parametrize("error", [RateLimitedError, ServerError])
async def test_a_wait_that_is_too_long_is_an_error_at_once_which_tells_when_to_come_back(
    error: type[RateLimitedError] | type[ServerError],
) -> None:
    clock = Clock()

    with pytest.raises(
        ThrottledError, match=r"^busy; it asks to be left alone for 999999 s, until 20\d\d-"
    ) as caught:
        await attempts_made(clock.policy(), error("busy", host="r.example", status=503, retry_after=999_999.0))

    assert clock.now == 1000.0
    assert (caught.value.host, caught.value.status, caught.value.retryable) == ("r.example", 503, True)


async def test_waits_that_are_asked_for_are_bounded_in_all() -> None:
    clock, made = Clock(), 0

    with pytest.raises(ThrottledError):
        async for attempt in clock.policy().retrying():
            with attempt:
                made += 1
                raise RateLimitedError("slow", retry_after=50.0)

    assert made == 3
    assert 100 <= clock.now - 1000 < 110


async def test_the_wait_for_a_slot_is_not_the_host_s() -> None:
    clock, made = Clock(), 0

    attempts = clock.policy(attempts=4).retrying()
    with pytest.raises(ServerError):
        async for attempt in attempts:
            with attempt:
                made += 1
                clock.now += 500
                attempts.begin()
                raise ServerError("busy")

    assert made == 4


async def test_time_that_is_not_counted_has_no_end() -> None:
    clock = Clock()

    async for attempt in clock.policy().retrying():
        with attempt:
            clock.now += 10_000
            if clock.now < 40_000:
                raise ServerError("a large blob broke")

    assert clock.now > 40_000
