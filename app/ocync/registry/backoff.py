"""The attempts after the first one: how long each waits, and when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from ocync.registry.waiting import asked_wait, is_retryable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from tenacity import AttemptManager

    from ocync.errors import OcyncError
    from ocync.registry.waiting import RetryPolicy


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


def others(error: OcyncError, policy: RetryPolicy) -> AsyncIterator[AbstractContextManager[object]]:
    """Return the attempts after a first one that failed; they end by raising the last error."""

    def count(state: RetryCallState) -> None:
        failed = state.outcome.exception() if state.outcome else None
        if failed is not None:
            policy.on_retry(failed)

    attempts = AsyncRetrying(
        stop=stop_after_attempt(policy.attempts) | _StopWhen(policy.stopping),
        wait=_Wait(policy.max_delay),
        retry=retry_if_exception(is_retryable),
        sleep=policy.sleep,
        before_sleep=count,
        reraise=True,
    )
    return _Others(aiter(attempts), error)


class _Others:
    def __init__(self, attempts: AsyncIterator[AttemptManager], error: OcyncError) -> None:
        self._attempts = attempts
        self._error: OcyncError | None = error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AttemptManager:
        error, self._error = self._error, None
        if error is not None:
            first = await anext(self._attempts)
            first.__exit__(type(error), error, error.__traceback__)
        return await anext(self._attempts)
