"""How long to wait before another try, and whether there is one. The one retry policy of the program."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from tenacity import AsyncRetrying, AttemptManager, RetryCallState, retry_if_exception, wait_random_exponential
from tenacity.wait import wait_base

from ocync.config.model import RetrySettings
from ocync.lib.errors import NotSentError, OcyncError, RegistryError, ThrottledError, UnreachableError
from ocync.registry.ratelimit_headers import AGES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

_CONFIGURED = RetrySettings()
_NOT_SOON = (UnreachableError, ThrottledError)
GIVE_UP_AFTER = 75.0
"""
Seconds that all attempts at one request with a small answer may take together.

One connection may stall for 60 of them (`timeouts.idle`), and the next gets the rest. With the second round, a host
that never comes to an end holds up a pass for twice as long, which is less than three minutes.
"""
STALL = 10.0
"""Seconds of waiting in vain after which a request counts as one that stands still, and not as one that failed."""
# Bytes per second at which a registry is expected to store what it has received, at least: after the last byte it
# may copy the whole blob within its storage before it answers (distribution does so on S3).
_STORES = 32 * 1024 * 1024
MAX_RETRY_AFTER = 120.0
"""Seconds that a registry can make one request wait, beyond those and whatever it asks for."""
# The first wait is up to half a second, and each other one up to twice that of the one before.
_FIRST_WAIT = 0.5
# A last attempt with less than such a part of the whole time would fail for that alone.
_LEAST_SHARE = 1 / 20


def seconds_to_store(size: int) -> float:
    """Return the seconds that a registry may take for its answer after the last of so many bytes."""
    return size / _STORES


def asked_wait(error: BaseException | None) -> float | None:
    """Return the seconds that the registry asked us to wait, if it did."""
    return error.retry_after if isinstance(error, RegistryError) else None


def is_retryable(error: BaseException) -> bool:
    """Return whether another try may help soon; cancellation and unknown errors are never among these."""
    return isinstance(error, OcyncError) and error.retryable and not isinstance(error, _NOT_SOON)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    Retries of a request or of a blob: `attempts` in all, waits of at most `max_delay` seconds.

    Attempts whose time counts (see Attempts.begin) take `give_up_after` seconds together, waits with them. Those
    waits that a registry asks for come on top, as far as they are MAX_RETRY_AFTER seconds in all. `stopping` says
    that the pass is ending: no new attempt is begun then. `on_retry` counts. `clock` gives seconds.
    """

    attempts: int = _CONFIGURED.attempts
    max_delay: float = _CONFIGURED.max_delay
    give_up_after: float = GIVE_UP_AFTER
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    stopping: Callable[[], bool] = bool
    on_retry: Callable[[BaseException], None] = lambda _error: None

    def retrying(self) -> Attempts:
        """Return fresh attempts: `async for attempt in policy.retrying(): with attempt: …`."""
        return Attempts(self)


class _Wait(wait_base):
    """Exponential with full jitter, so that those who failed together do not come back together; or as asked."""

    def __init__(self, longest: float) -> None:
        self._own = wait_random_exponential(multiplier=_FIRST_WAIT, max=longest)

    def __call__(self, retry_state: RetryCallState) -> float:
        own, failed = self._own(retry_state), retry_state.outcome
        asked = asked_wait(failed.exception()) if failed is not None else None
        # Those who were turned away together are spread over a tenth of what they would wait otherwise.
        return own if asked is None else max(own, asked + own / 10)


class Attempts:
    """
    The attempts at one thing; the last error is raised as it is, or the one before if no request was made any more.

    A registry that asks for more patience than there is makes it a ThrottledError, which says when to come back.
    The first attempt, which nearly always does, costs next to nothing: tenacity comes in when it has failed.
    """

    __slots__ = ("_asked", "_attempt", "_began", "_error", "_is_first", "_last", "_others", "_policy", "_spent")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._is_first = True
        self._error: OcyncError | None = None
        self._last: OcyncError | None = None
        self._others: AsyncRetrying | None = None
        self._attempt: AttemptManager
        self._began: float | None = None
        self._spent = self._asked = 0.0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        """Return the next attempt, when its time has come; none after one that succeeded."""
        if self._error is not None:
            if self._others is None:
                self._others = aiter(self._tenacity())
                self._attempt = await anext(self._others)
            self._attempt.__exit__(type(self._error), self._error, self._error.__traceback__)
            self._attempt, self._error = await anext(self._others), None
        elif not self._is_first:
            raise StopAsyncIteration
        self._is_first = False
        return self

    def _tenacity(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception(is_retryable),
            wait=_Wait(self._policy.max_delay),
            stop=self._is_over,
            before_sleep=self._before_sleep,
            sleep=self._policy.sleep,
            reraise=True,
        )

    def _is_over(self, state: RetryCallState) -> bool:
        """Return whether there is no other attempt: for their number, the time, or a pass that is ending."""
        policy = self._policy
        is_late = self._spent + state.upcoming_sleep > policy.give_up_after * (1 - _LEAST_SHARE)
        return is_late or state.attempt_number >= policy.attempts or policy.stopping()

    def _before_sleep(self, state: RetryCallState) -> None:
        assert self._error is not None
        self._spent += state.upcoming_sleep
        self._policy.on_retry(self._error)

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
        if isinstance(error, NotSentError) and self._last is not None:
            raise self._last from error
        if error is None or not is_retryable(error):
            return False
        assert isinstance(error, OcyncError)
        asked = asked_wait(error) or 0.0
        self._asked += asked
        # Waits that are asked for are not of the time there is.
        self._spent -= asked
        if self._asked > MAX_RETRY_AFTER:
            raise _throttled(error, asked) from error
        self._error = self._last = error
        return True


def _throttled(error: OcyncError, seconds: float) -> ThrottledError:
    at = datetime.now(UTC) + timedelta(seconds=min(seconds, AGES))
    told = error if isinstance(error, RegistryError) else RegistryError("")
    return ThrottledError(
        error.message,
        host=told.host,
        status=told.status,
        code=told.code,
        retry_after=seconds,
        hint=f"it asks to be left alone for {seconds:.0f} s, until {at:%Y-%m-%d %H:%M} UTC, and is not waited for",
    )
