"""How long to wait before another try, and whether there is one. The one retry policy of the program."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self

from ocync.errors import OcyncError, RegistryError, ThrottledError, UnreachableError
from ocync.registry.allowance import go_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

_NOT_SOON = (UnreachableError, ThrottledError)
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


def asked_wait(error: BaseException | None) -> float | None:
    """Return the seconds that the registry asked us to wait, if it did."""
    return error.retry_after if isinstance(error, RegistryError) else None


def is_retryable(error: BaseException) -> bool:
    """Tell whether another try may help soon; cancellation and unknown errors are never among these."""
    return isinstance(error, OcyncError) and error.retryable and not isinstance(error, _NOT_SOON)


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

    def retrying(self) -> Attempts:
        """Return fresh attempts: `async for attempt in policy.retrying(): with attempt: …`."""
        return Attempts(self)


class Attempts:
    """
    The attempts at one thing; the last error is raised as it is.

    The first one, which nearly always does, costs next to nothing. What comes after a failure is tenacity's.
    """

    __slots__ = ("_begun", "_error", "_others", "_policy")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._begun = False
        self._error: OcyncError | None = None
        self._others: AsyncIterator[AbstractContextManager[object]] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AbstractContextManager[object]:
        """Return the next attempt, when its time has come; none after one that succeeded."""
        if not self._begun:
            self._begun = True
            return self
        if self._others is None:
            error, self._error = self._error, None
            if error is None:
                raise StopAsyncIteration
            from ocync.registry.backoff import others  # noqa: PLC0415 -- for what fails

            self._others = others(error, self._policy)
        return await anext(self._others)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        # A positive list: anything else, cancellation above all, goes through at once.
        if error is None or not is_retryable(error):
            return False
        assert isinstance(error, OcyncError)
        self._error = error
        return True
