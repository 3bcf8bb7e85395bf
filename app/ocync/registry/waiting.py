"""How long to wait before another try, and whether there is one. The one retry policy of the program."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from ocync.errors import OcyncError, RegistryError, UnreachableError
from ocync.registry.allowance import go_duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_RETRY_AFTER = 600.0
"""Seconds that a registry can make us wait at once, whatever it asks for."""


def retry_after(value: str | None, now: datetime) -> float | None:
    """
    Read a Retry-After header (RFC 9110 section 10.2.3): seconds or a date; None for none or nonsense.

    Parts of a second and durations as Go writes them, which no document allows, are read too. A date in the past is
    0. The result is bounded by MAX_RETRY_AFTER.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # A number of thousands of digits is refused before it is turned into one.
        return min(float(text[:12]), MAX_RETRY_AFTER)
    is_number = not any(char.isalpha() for char in text)
    duration = go_duration(f"{text}s" if is_number else text)
    if duration is not None:
        return min(duration, MAX_RETRY_AFTER)
    moment = date(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def date(value: str | None) -> datetime | None:
    """Read a date of HTTP (RFC 9110 section 5.6.7) in any of its forms; None for none or nonsense."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class _Wait(wait_base):
    """Exponential with full jitter from half a second on, but never less than the registry asked for."""

    def __init__(self, maximum: float) -> None:
        self._backoff = wait_random_exponential(multiplier=0.5, max=maximum)

    def __call__(self, retry_state: RetryCallState) -> float:
        delay = float(self._backoff(retry_state))
        asked = asked_wait(retry_state.outcome.exception() if retry_state.outcome else None)
        # All who were turned away together would come back together: spread them over a tenth.
        return max(delay, asked + delay / 10) if asked is not None else delay


class _StopWhen(stop_base):
    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._stopping()


def asked_wait(error: BaseException | None) -> float | None:
    """Return the seconds that the registry asked us to wait, if it did."""
    return error.retry_after if isinstance(error, RegistryError) else None


def is_retryable(error: BaseException) -> bool:
    """Tell whether another try may help soon; cancellation and unknown errors are never among these."""
    return isinstance(error, OcyncError) and error.retryable and not isinstance(error, UnreachableError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    Retries of a request or of a blob: `attempts` in all, waits of at most `max_delay` seconds.

    `stopping` says that the pass is ending: no new attempt is begun then. `on_retry` counts.
    """

    attempts: int = 5
    max_delay: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    stopping: Callable[[], bool] = bool
    on_retry: Callable[[BaseException], None] = lambda _error: None

    def retrying(self) -> AsyncRetrying:
        """Return a fresh tenacity loop; the last error is raised as it is."""

        def count(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                self.on_retry(error)

        return AsyncRetrying(
            stop=stop_after_attempt(self.attempts) | _StopWhen(self.stopping),
            wait=_Wait(self.max_delay),
            # A positive list: anything else, cancellation above all, goes through at once.
            retry=retry_if_exception(is_retryable),
            sleep=self.sleep,
            before_sleep=count,
            reraise=True,
        )
