"""
The queue of images between discovery and copy: bounded, and fair to the sources.

Without it, a slow source's images would occupy all workers. Images that another target has begun go first among
those of a source: what both read at once is read once, and needs no disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.plan.model import Candidate


class ImageQueue:
    """
    A queue for a number of workers; `coming` names the source of each mapping or image that is still to be
    resolved.

    Half of the workers serve all sources. The other half is divided among the sources that may still have images,
    at least one each; the number of workers is raised if necessary. No source has more than half of the workers
    while others have images. Each source has its own room in the queue.
    """

    def __init__(self, workers: int, coming: Iterable[str]) -> None:
        self._coming = Counter(coming)
        self.workers = max(workers, len(self._coming) + 1 if len(self._coming) > 1 else 1)
        """The number of workers."""
        self._room = 2 * workers
        self._own = max(1, self.workers // (2 * max(1, len(self._coming))))
        self._waiting: dict[str, deque[Candidate]] = {source: deque() for source in self._coming}
        self._running: Counter[str] = Counter()
        self._putting: dict[str, deque[asyncio.Future[None]]] = {source: deque() for source in self._coming}
        self._free: deque[asyncio.Future[tuple[str, Candidate] | None]] = deque()

    def __repr__(self) -> str:
        return f"<ImageQueue: {sum(map(len, self._waiting.values()))} waiting, {self._running.total()} running>"

    async def put(self, source: str, candidate: Candidate) -> None:
        """Add an image; waits while the source's room is full."""
        while len(self._waiting[source]) >= self._room:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._putting[source].append(turn)
            await turn
        self._waiting[source].append(candidate)
        self._hand_out()

    def resolved(self, source: str) -> None:
        """Record that a mapping or image of the source has added all its images."""
        self._coming[source] -= 1
        self._hand_out()

    async def get(self) -> tuple[str, Candidate] | None:
        """Return the next image and its source, or None when there will be none; then call `finished`."""
        turn: asyncio.Future[tuple[str, Candidate] | None] = asyncio.get_running_loop().create_future()
        self._free.append(turn)
        self._hand_out()
        return await turn

    def finished(self, source: str) -> None:
        """Record that an image of the source was copied, or has failed."""
        self._running[source] -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and (source := self._next()) is not None:
            self._running[source] += 1
            self._free.popleft().set_result((source, _take(self._waiting[source])))
            if self._putting[source]:
                self._putting[source].popleft().set_result(None)
        if not self._coming.total() and not any(self._waiting.values()):
            while self._free:
                self._free.popleft().set_result(None)

    def _next(self) -> str | None:
        """Return the source whose turn it is: the one with the fewest images on their way."""
        kept = {source: self._kept(source) for source in self._waiting}
        shared = len(self._free) - sum(kept.values())
        may_go = [source for source, images in self._waiting.items() if images and (kept[source] or shared > 0)]
        others = [source for source in may_go if self._running[source] < max(1, self.workers // 2)]
        if not others and sum(map(self._is_open, self._waiting)) > 1:
            return None
        may_go = others or may_go
        return min(may_go, key=lambda source: self._running[source], default=None)

    def _kept(self, source: str) -> int:
        """Return the number of workers that are kept free for a source."""
        if not self._is_open(source):
            return 0
        return max(0, self._own - self._running[source])

    def _is_open(self, source: str) -> bool:
        """Return whether the source has, or may still have, images to hand out."""
        return bool(self._coming[source] or self._waiting[source])


def _take(images: deque[Candidate]) -> Candidate:
    """Remove and return the first image that another target has begun, else the first."""
    at = next((number for number, each in enumerate(images) if each.image.is_begun), 0)
    taken = images[at]
    del images[at]
    taken.image.is_begun = True
    return taken
