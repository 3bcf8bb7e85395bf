"""Work in flight, and the grace that a requested stop gives it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from ocync.lib.errors import InterruptedPassError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ocync.lib.shutdown import Stop


class Grace:
    """Cuts work off when the grace of a stop is over."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._limits: set[asyncio.Timeout] = set()

    def __repr__(self) -> str:
        return f"<Grace: {len(self._limits)} in flight>"

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Apply requests of the stop to the work that runs in the body."""
        with self._stop.listening(self._limit_all):
            yield

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Raise InterruptedPassError if a stop was requested before the body begins, or its grace ends within."""
        if self._stop.requested():
            raise InterruptedPassError(f"not begun: {self._stop.reason}")
        limit = asyncio.timeout(None)
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if limit.expired():
                raise InterruptedPassError(f"cut off: {self._stop.reason}") from error
            raise
        finally:
            self._limits.discard(limit)

    def _limit_all(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now + seconds)
