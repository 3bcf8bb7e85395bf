"""What rehearsals count, and the order of answers in each."""

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
"""Factors of the speed of repositories: some are slow."""


class Fate(StrEnum):
    """What is counted besides requests: what happens to a blob at a host, and artifacts."""

    SENT = "sent"
    MOUNTED = "mounted"
    THERE = "there"
    READ = "read from a source"
    READ_APART = "read from a source, without reads that are certain to be shared"
    ARTIFACT = "put as an attachment of an image"


What = RequestKind | Fate
Tally = defaultdict[tuple[str, What], Counter[Any]]
"""
The counts of one rehearsal, by host and kind, then by name.

Blobs count by digest, since the repository that gets one first depends on the order of images.
"""


def by_name(tallies: Sequence[Tally], host: str, what: What) -> dict[Any, Bounds]:
    """Return the bounds of each count over all rehearsals, by name."""
    counts = [tally.get((host, what), Counter()) for tally in tallies]
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: Bounds(min(each[name] for each in counts), max(each[name] for each in counts)) for name in names}


def summed_up(
    tallies: Sequence[Tally], host: str, what: What, weigh: Callable[[Any], int] = lambda _name: 1
) -> Bounds:
    """
    Return the bounds of the sum of counts, weighted by name.

    Each count has its own bounds: any of them may be low while another is high.
    """
    return total(bounds.times(weigh(name)) for name, bounds in by_name(tallies, host, what).items())


class Order:
    """The order of answers in a rehearsal: each takes a random number of turns of the event loop."""

    def __init__(self, *, reads: int = 0, writes: int = 0, seed: int = 0, lists_referrers: bool = True) -> None:
        """
        Reads and writes take at most so many turns, times the factor of their repository.

        `lists_referrers` is assumed of targets that have not shown whether they list referrers.
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
        """Wait as long as a read or write of a repository takes."""
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
        # One call a turn, however many tasks wait.
        self._turn += 1
        for done in self._waiting.pop(self._turn, ()):
            if not done.done():
                done.set_result(None)
        if self._waiting:
            loop.call_soon(self._tick, loop)
