"""How long to wait before another try, and whether there is one. The one retry policy of the program."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self

from ocync.errors import OcyncError, RegistryError, ThrottledError, UnreachableError
from ocync.registry.allowance import go_duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

_NOT_SOON = (UnreachableError, ThrottledError)
GIVE_UP_AFTER = 90.0
"""Seconds that all attempts at one request with a small answer may take together."""
MAX_RETRY_AFTER = 120.0
"""Seconds that a registry can make one request wait, beyond those and whatever it asks for."""
# The first wait is up to half a second, and each other one up to twice that of the one before.
_FIRST_WAIT = 0.5
# A last attempt with less than such a part of the whole time would fail for that alone.
_LEAST_SHARE = 1 / 20
# No date is told that lies later: ten years.
_AGES = 10 * 365 * 86400.0


def retry_after(value: str | None, now: datetime) -> float | None:
    """
    Read a Retry-After header (RFC 9110 section 10.2.3): seconds or a date; None for none or nonsense.

    Parts of a second and durations as Go writes them, which no document allows, are read too. A date in the past is
    0, and more than ten years are ten. How long is really waited is RetryPolicy's business.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # A number of thousands of digits is refused before it is turned into one.
        return min(float(text[:12]), _AGES)
    is_number = not any(char.isalpha() for char in text)
    duration = go_duration(f"{text}s" if is_number else text)
    if duration is not None:
        return min(duration, _AGES)
    moment = date(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), _AGES)


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

    Attempts whose time counts (see Attempts.begin) take `give_up_after` seconds together, waits with them. Those
    waits that a registry asks for come on top, as far as they are MAX_RETRY_AFTER seconds in all. `stopping` says
    that the pass is ending: no new attempt is begun then. `on_retry` counts. `clock` gives seconds.
    """

    attempts: int = 5
    max_delay: float = 60.0
    give_up_after: float = GIVE_UP_AFTER
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    stopping: Callable[[], bool] = bool
    on_retry: Callable[[BaseException], None] = lambda _error: None

    def retrying(self) -> Attempts:
        """Return fresh attempts: `async for attempt in policy.retrying(): with attempt: …`."""
        return Attempts(self)


class Attempts:
    """
    The attempts at one thing; the last error is raised as it is.

    A registry that asks for more patience than there is makes it a ThrottledError, which says when to come back.
    """

    __slots__ = ("_asked", "_began", "_error", "_made", "_policy", "_spent")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._made = 0
        self._error: OcyncError | None = None
        self._began: float | None = None
        self._spent = self._asked = 0.0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        """Return the next attempt, when its time has come; none after one that succeeded."""
        if self._made:
            error, self._error = self._error, None
            if error is None:
                raise StopAsyncIteration
            wait = self._wait(error)
            self._policy.on_retry(error)
            await self._policy.sleep(wait)
        self._made += 1
        return self

    def begin(self) -> float:
        """
        Count the time of the attempt from here on, and return the seconds that it may take.

        What went before, the wait for a slot, tells nothing of the host.
        """
        self._began = self._policy.clock()
        return self._policy.give_up_after - self._spent

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._began is not None:
            self._spent += self._policy.clock() - self._began
            self._began = None
        # A positive list: anything else, cancellation above all, goes through at once.
        if error is None or not is_retryable(error):
            return False
        assert isinstance(error, OcyncError)
        self._error = error
        return True

    def _wait(self, error: OcyncError) -> float:
        """Return how long to wait after a failure; raises where there is no other attempt."""
        policy, asked = self._policy, asked_wait(error)
        if asked is not None and self._asked + asked > MAX_RETRY_AFTER:
            raise _throttled(error, asked) from error
        if self._made >= policy.attempts or policy.stopping():
            raise error
        # Exponential with full jitter, so that those who failed together do not come back together.
        own = random.random() * min(_FIRST_WAIT * 2.0 ** min(self._made - 1, 30), policy.max_delay)  # noqa: S311
        # Those who were turned away together are spread over a tenth of what they would wait otherwise.
        wait = own if asked is None else max(own, asked + own / 10)
        self._asked += asked or 0.0
        self._spent += wait - (asked or 0.0)
        if self._spent > policy.give_up_after * (1 - _LEAST_SHARE):
            raise error
        return wait


def _throttled(error: OcyncError, seconds: float) -> ThrottledError:
    at = datetime.now(UTC) + timedelta(seconds=min(seconds, _AGES))
    told = error if isinstance(error, RegistryError) else RegistryError("")
    return ThrottledError(
        error.message,
        host=told.host,
        status=told.status,
        code=told.code,
        retry_after=seconds,
        hint=f"it asks to be left alone for {seconds:.0f} s, until {at:%Y-%m-%d %H:%M} UTC, and is not waited for",
    )
