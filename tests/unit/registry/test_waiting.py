"""Retry-After, and the retry policy."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.errors import AuthError, NetworkError, RateLimitedError, ServerError
from ocync.registry.waiting import MAX_RETRY_AFTER, RetryPolicy, date, retry_after

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2099 12:00:00 GMT", MAX_RETRY_AFTER),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("-3", None),
        ("1.5", 1.5),
        ("1m30s", 90.0),
        ("2h", MAX_RETRY_AFTER),
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

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


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


async def test_what_succeeds_at_once_needs_no_machinery_for_retries() -> None:
    code = (
        "import asyncio, sys\n"
        "from ocync.registry.waiting import RetryPolicy\n"
        "async def main():\n"
        "    async for attempt in RetryPolicy().retrying():\n"
        "        with attempt:\n"
        "            return 'tenacity' in sys.modules\n"
        "sys.exit(asyncio.run(main()))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_cancellation_goes_through_at_once() -> None:
    sleeps = Sleeps()

    with pytest.raises(asyncio.CancelledError):
        async for attempt in RetryPolicy(sleep=sleeps).retrying():
            with attempt:
                raise asyncio.CancelledError

    assert sleeps.waits == []
