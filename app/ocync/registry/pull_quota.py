"""
How many manifests a registry still lets us read, as it tells: the last pulls of a company are not used up.

Docker Hub counts GETs of manifests over six hours, and tells with each answer what is left. Such a quota is given
up before it is empty, and after a refusal no more is asked of this registry: waiting within a pass is useless. A
window of minutes is waited for. A quota that is told to be empty is asked all the same, by one pull at a time: a
refusal costs nothing, and what is given shows that the number means nothing.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ocync.lib.errors import QuotaError
from ocync.registry.limits.counter import Counter
from ocync.registry.retry import MAX_RETRY_AFTER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ocync.registry.ratelimit_headers import Allowance

_KEPT = 50
"""One in so many of a quota's pulls is left for others."""


class PullQuota:
    """What is known of one registry's quota; nothing until it is told."""

    def __init__(self, host: str, clock: Callable[[], float] = time.time) -> None:
        self._host = host
        self._clock = clock
        self._told: Allowance | None = None
        self._told_at = 0.0
        self._counter = Counter(host, clock=clock)
        # Held by the one pull that asks a quota which is told to be empty.
        self._asking = asyncio.Lock()
        self._under_way = 0
        self._refusal: QuotaError | None = None
        self._refused_until = 0.0

    def __repr__(self) -> str:
        return f"<PullQuota of {self._host}: {self._told}, {self._under_way} under way>"

    def note(self, allowance: Allowance | None, *, begun: float | None = None) -> None:
        """
        Take what an answer tells; nothing told is nothing new, and no zero.

        `begun` is when the pull was begun that was answered, as `pull` gave it; None for what is no pull.
        """
        if allowance is None:
            return
        if begun is not None:
            self._counter.report(allowance.remaining, of="pull", begun=begun)
        self._told, self._told_at = allowance, self._clock()
        if self._counter.means_nothing:
            self._told = None

    @asynccontextmanager
    async def pull(self, what: str, sleep: Callable[[float], Awaitable[None]]) -> AsyncIterator[float]:
        """
        Count a pull, and give when it began; waits at the end of a window that is renewed soon, and only there.

        Raises QuotaError where it must not be made. Notes a refusal.
        """
        async with AsyncExitStack() as stack:
            if self._is_empty:
                await stack.enter_async_context(self._asking)
            if not self._is_empty:
                # Another one has found more; or there was more from the beginning.
                await stack.aclose()
                await self._wait(sleep)
            self._check(what)
            self._under_way += 1
            try:
                yield self._clock()
            except QuotaError as error:
                seconds = error.retry_after if error.retry_after is not None else float("inf")
                self._refusal, self._refused_until = error, self._clock() + seconds
                raise
            finally:
                self._under_way -= 1

    @property
    def _is_empty(self) -> bool:
        """Whether nothing is told to be left of a quota of hours."""
        told = self._told
        return told is not None and not told.remaining and (told.renewed_in or 0) > MAX_RETRY_AFTER

    async def _wait(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        told = self._told
        if told is None or told.remaining > self._under_way or told.renewed_in is None:
            return
        left = told.renewed_in - (self._clock() - self._told_at)
        if told.renewed_in <= MAX_RETRY_AFTER:
            if left > 0:
                await sleep(left)
            if self._told is told:
                self._told = None

    def _check(self, what: str) -> None:
        now = self._clock()
        if self._refusal is not None and now < self._refused_until:
            raise QuotaError(
                f"can't {what}: not asked for any more, the pull quota of {self._host} is used up",
                host=self._host,
                status=self._refusal.status,
                code=self._refusal.code,
                hint=self._refusal.hint,
            )
        told = self._told
        if told is None or told.renewed_in is None or told.renewed_in <= MAX_RETRY_AFTER:
            return
        if now >= self._told_at + told.renewed_in:
            self._told = None
            return
        if not told.remaining:
            return
        kept = max(1, (told.limit or 0) // _KEPT)
        if told.remaining - self._under_way <= kept:
            of = f" of {told.limit}" if told.limit else ""
            raise QuotaError(
                f"can't {what}: not asked for, only {told.remaining}{of} pulls of {self._host}'s quota are left",
                host=self._host,
                hint=renewal(told.renewed_in - (now - self._told_at), now),
            )


def renewal(seconds: float, now: float) -> str:
    """Say when a quota is there again, and what to do; `now` is in seconds since 1970."""
    at = datetime.fromtimestamp(now + min(seconds, 10 * 365 * 86400), UTC)
    return f"it is renewed by {at:%Y-%m-%d %H:%M} UTC at the latest: log in for a larger one, or wait"
