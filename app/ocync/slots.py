"""How many requests a host is asked to bear at once."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    """What a Slots object looks like at one moment."""

    capacity: int
    held: int
    waiting: int


class Slots:
    """
    A counting limit with fair waiting: whoever waits longest, for however many, is next.

    `name` orders slots when several are taken together (`reserve`), so that two tasks can't wait for each other.
    """

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self._capacity = max(1, capacity)
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def statistics(self) -> SlotStatistics:
        """The state at this moment."""
        return SlotStatistics(self._capacity, self._held, len(self._waiting))

    def __repr__(self) -> str:
        return f"<Slots {self.name}: {self._held} of {self._capacity} held, {len(self._waiting)} waiting>"

    @asynccontextmanager
    async def hold(self, count: int = 1) -> AsyncIterator[None]:
        """
        Hold `count` slots together; more than there are is read as all of them.

        While holding a slot, never wait for another one, but through `reserve`.
        """
        count = min(count, self._capacity)
        await self._acquire(count)
        try:
            yield
        finally:
            self._held -= count
            self._wake()

    async def _acquire(self, count: int) -> None:
        if not self._waiting and self._held + count <= self._capacity:
            self._held += count
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._held -= count
            else:
                # A wake-up between the cancellation and this line has dropped the entry already.
                with suppress(ValueError):
                    self._waiting.remove(entry)
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self._held + self._waiting[0][0] <= self._capacity:
            count, turn = self._waiting.popleft()
            if not turn.done():
                self._held += count
                turn.set_result(None)


@asynccontextmanager
async def reserve(wanted: Iterable[Slots]) -> AsyncIterator[None]:
    """
    Hold one slot of each, of the same object as many as it is named.

    All tasks take them in the same order, so none waits for a slot that is held by one that waits for it.
    """
    counts = Counter(wanted)
    async with AsyncExitStack() as stack:
        for slots in sorted(counts, key=lambda slots: (slots.name, id(slots))):
            await stack.enter_async_context(slots.hold(counts[slots]))
        yield
