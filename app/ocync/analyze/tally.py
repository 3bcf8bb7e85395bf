"""What rehearsals count, and the order of things in each of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ocync.analyze.model import Bounds, RequestKind, total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SPEEDS = (1, 1, 10)
"""How many times longer repositories take than they might: some are slow."""


class Fate(StrEnum):
    """What else is counted, besides requests: what becomes of a blob at a place, and artifacts."""

    SENT = "sent"
    MOUNTED = "mounted"
    THERE = "there"
    READ = "read from a source"
    READ_APART = "read from a source, by all who are not sure to take part in another read"
    ARTIFACT = "put, as something that is attached to an image"


What = RequestKind | Fate
Tally = defaultdict[tuple[str, What], Counter[Any]]
"""
What one rehearsal has counted: at which place, of which kind, and of what.

Blobs count by their digests, since it depends on the order of images which repository one is sent to.
"""


def by_name(tallies: Sequence[Tally], host: str, what: What) -> dict[Any, Bounds]:
    """Return the bounds of each number over all rehearsals: what differs between them depends on their order."""
    counts = [tally.get((host, what), Counter()) for tally in tallies]
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: Bounds(min(each[name] for each in counts), max(each[name] for each in counts)) for name in names}


def summed_up(
    tallies: Sequence[Tally], host: str, what: What, weigh: Callable[[Any], int] = lambda _name: 1
) -> Bounds:
    """
    Return the bounds of a sum, of numbers or of what they weigh.

    Each number is bounded by itself: any may come out one way and its neighbour the other.
    """
    return total(bounds.times(weigh(name)) for name, bounds in by_name(tallies, host, what).items())


class Order:
    """The order in which answers come in a rehearsal: how many turns of the loop each takes, by chance."""

    def __init__(self, *, reads: int = 0, writes: int = 0, seed: int = 0, lists_referrers: bool = True) -> None:
        """
        Reads and writes take so many turns at most, and those of slow repositories as many times more.

        `accounts` is what is assumed of targets of which nobody knows whether they keep account of referrers.
        """
        self.lists_referrers = lists_referrers
        self._reads = reads
        self._writes = writes
        self._random = random.Random(seed)  # noqa: S311 -- nothing is secret here
        self._speeds: dict[str, int] = {}
        self._turn = 0
        self._waiting: defaultdict[int, list[asyncio.Future[None]]] = defaultdict(list)

    def __repr__(self) -> str:
        return f"<Order: {self._reads} turns for reads, {self._writes} for writes>"

    async def take(self, repository: str, *, writing: bool = False) -> None:
        """Take the time of a read or write of a repository."""
        most = self._writes if writing else self._reads
        if not most:
            return
        if repository not in self._speeds:
            self._speeds[repository] = self._random.choice(_SPEEDS)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._tick, loop)
        done: asyncio.Future[None] = loop.create_future()
        self._waiting[self._turn + self._random.randint(1, most) * self._speeds[repository]].append(done)
        await done

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # One call in each turn, however many wait.
        self._turn += 1
        for done in self._waiting.pop(self._turn, ()):
            if not done.done():
                done.set_result(None)
        if self._waiting:
            loop.call_soon(self._tick, loop)
