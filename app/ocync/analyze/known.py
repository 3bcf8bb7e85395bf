"""What both sides have answered, kept for all rehearsals of one pass, and what each of them has told of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ocync.analyze.requests import Bounds, Kind, total
from ocync.errors import OcyncError
from ocync.flights import Flights

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Manifest

T = TypeVar("T")

_KEPT = 64 * 1024 * 1024
"""Bytes of answers that are kept: about as much of manifests and lists as one large mirror has."""
_SPEEDS = (1, 1, 15)
"""How many times longer repositories take than they might: some are slow."""
_SMALL = 300
"""Bytes that an answer takes at least."""


class Answers:
    """
    Answers of repositories: each question is put once, as long as its answer is kept.

    Errors that would come again are answers like others. One that would not is only kept for rehearsals after the
    first (`are_final`): what could not be told then is not waited for once more.
    """

    def __init__(self, most: int = _KEPT) -> None:
        self.are_final = False
        self._most = most
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        self._size = 0
        self._failed: dict[Hashable, OcyncError] = {}
        self._flights: Flights[Hashable, Any] = Flights()

    def __repr__(self) -> str:
        return f"<Answers: {len(self._kept)}, {self._size} bytes>"

    async def get(
        self, key: Hashable, ask: Callable[[], Awaitable[T]], weigh: Callable[[T], int] | None = None
    ) -> T:
        """Return the answer that `ask` gives, from now or from earlier, or raise its OcyncError."""
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
            answer = self._kept[key][0]
        elif self.are_final and key in self._failed:
            answer = self._failed[key]
        else:
            answer = await self._flights.run(key, partial(self._ask, key, ask, weigh))
        if isinstance(answer, OcyncError):
            # Else each raise would make the traceback longer.
            raise answer.with_traceback(None)
        return answer  # type: ignore[no-any-return]

    def put(self, key: Hashable, answer: object, size: int = 0) -> None:
        """Keep an answer of so many bytes; those that nobody has asked for longest are dropped."""
        if key in self._kept:
            self._size -= self._kept.pop(key)[1]
        self._kept[key] = (answer, size + _SMALL)
        self._size += size + _SMALL
        while self._size > self._most:
            self._size -= self._kept.pop(next(iter(self._kept)))[1]

    async def _ask(
        self, key: Hashable, ask: Callable[[], Awaitable[T]], weigh: Callable[[T], int] | None
    ) -> T | OcyncError:
        try:
            answer = await ask()
        except OcyncError as error:
            if error.retryable:
                self._failed[key] = error
                raise
            self.put(key, error)
            return error
        self.put(key, answer, weigh(answer) if weigh is not None else 0)
        return answer


@dataclass(frozen=True, slots=True)
class Parts:
    """What one manifest lists and a mirror copies."""

    children: tuple[Digest, ...]
    blobs: tuple[Digest, ...]


class Trees:
    """Manifests that are copied, as digests and sizes."""

    def __init__(self) -> None:
        self.sizes: dict[Digest, int] = {}
        """Blobs, in bytes."""
        self._parts: dict[Digest, Parts] = {}
        self._same: dict[Digest, Digest] = {}

    def __repr__(self) -> str:
        return f"<Trees: {len(self._parts)} manifests, {len(self.sizes)} blobs>"

    def add(self, manifests: Iterable[Manifest]) -> None:
        """Take down what manifests list."""
        for manifest in manifests:
            if manifest.digest not in self._parts:
                # A layer is listed by many: one object stands for all equal digests.
                blobs = tuple(self._same.setdefault(each.digest, each.digest) for each in manifest.copied_blobs)
                self.sizes.update((each.digest, each.size) for each in manifest.copied_blobs)
                children = tuple(child.digest for child in manifest.copied_children)
                self._parts[manifest.digest] = Parts(children, blobs)

    def below(self, roots: Iterable[Digest]) -> set[Digest]:
        """Return manifests and all that are below them."""
        found: set[Digest] = set()
        open_ends = list(roots)
        while open_ends:
            digest = open_ends.pop()
            if digest not in found and digest in self._parts:
                found.add(digest)
                open_ends += self._parts[digest].children
        return found

    def children(self, manifests: Iterable[Digest]) -> set[Digest]:
        """Return what manifests list as manifests."""
        return {child for digest in manifests for child in self._parts[digest].children}

    def blobs(self, roots: Iterable[Digest]) -> set[Digest]:
        """Return the blobs of manifests and of all below them."""
        return {blob for digest in self.below(roots) for blob in self._parts[digest].blobs}

    def size(self, blobs: Iterable[Digest]) -> int:
        """Return the bytes of blobs."""
        return sum(self.sizes[blob] for blob in blobs)


class Fate(StrEnum):
    """What becomes of a blob, by the place where that happens."""

    SENT = "sent"
    MOUNTED = "mounted"
    THERE = "there"
    READ = "read from a source, once for all who take part in it"
    READ_BY = "read from a source, by each image that needs it"
    ARTIFACT = "put, as something that is attached to an image"


What = Kind | Fate


@dataclass(slots=True)
class Tally:
    """
    What one rehearsal has counted: at which place, of which kind, and of what.

    Blobs are counted by their digests, as it may depend on the order of images which repository one is sent to.
    """

    counts: defaultdict[tuple[str, What], Counter[Hashable]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, place: str, what: What, of: Hashable, number: int = 1) -> None:
        """Count."""
        self.counts[place, what][of] += number

    @property
    def total(self) -> int:
        """All that was counted."""
        return sum(each.total() for each in self.counts.values())

    @property
    def is_about_writing(self) -> bool:
        """Whether anything was written."""
        return any(what in (Kind.MANIFEST_PUT, Fate.SENT, Fate.MOUNTED) for _, what in self.counts)


def by_name(tallies: Sequence[Tally], place: str, what: What) -> dict[Any, Bounds]:
    """Return the bounds of each number over all rehearsals: what differs between them depends on their order."""
    counts: list[Counter[Any]] = [tally.counts.get((place, what), Counter()) for tally in tallies]
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: Bounds(min(each[name] for each in counts), max(each[name] for each in counts)) for name in names}


def summed_up(
    tallies: Sequence[Tally], place: str, what: What, weigh: Callable[[Any], int] = lambda _name: 1
) -> Bounds:
    """
    Return the bounds of a sum, of numbers or of what they weigh.

    Each number is bounded by itself: any may come out one way and its neighbour the other.
    """
    return total(bounds.times(weigh(name)) for name, bounds in by_name(tallies, place, what).items())


class Order:
    """The order in which answers come in a rehearsal: how many turns of the loop each takes, by chance."""

    def __init__(self, *, reads: int, writes: int, seed: int = 0, accounts: bool = True) -> None:
        """
        Reads and writes take so many turns at most, and those of slow repositories as many times more.

        `accounts` is what is assumed of targets of which nobody knows whether they keep account of referrers.
        """
        self.accounts = accounts
        self._reads = reads
        self._writes = writes
        self._random = random.Random(seed)  # noqa: S311 -- nothing is secret here
        self._speeds: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Order: {self._reads} turns for reads, {self._writes} for writes>"

    async def read(self, repository: str) -> None:
        """Take the time of a read."""
        await self._turns(self._reads, repository)

    async def write(self, repository: str) -> None:
        """Take the time of a write."""
        await self._turns(self._writes, repository)

    async def _turns(self, most: int, repository: str) -> None:
        if repository not in self._speeds:
            self._speeds[repository] = self._random.choice(_SPEEDS)
        for _ in range(self._random.randint(1, most) * self._speeds[repository] if most else 0):
            await asyncio.sleep(0)
