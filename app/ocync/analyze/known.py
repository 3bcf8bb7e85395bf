"""What is kept for all rehearsals of one pass: answers of both sides, and what the images that are copied hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ocync.lib.errors import OcyncError
from ocync.lib.singleflight import Flights
from ocync.oci.manifest import Manifest
from ocync.oci.repository import TagPage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

    from ocync.oci.digest import Digest

T = TypeVar("T")

_KEPT = 64 * 1024 * 1024
"""Bytes of answers that are kept, about: as much as manifests and lists of a large mirror have."""


class Answers:
    """
    Answers of repositories: each question is put once, as long as its answer is kept.

    Errors that would come again are answers like others. Those that would not are kept for rehearsals after the
    first (`are_final`): what could not be told then is not waited for once more.
    """

    def __init__(self, most: int = _KEPT) -> None:
        self.are_final = False
        self._most = most
        self._kept: dict[Hashable, Any] = {}
        self._size = 0
        self._failed: dict[Hashable, OcyncError] = {}
        self._flights: Flights[Hashable, Any] = Flights()

    def __repr__(self) -> str:
        return f"<Answers: {len(self._kept)}, {self._size} bytes>"

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer that `ask` gives, now or earlier, or raise its OcyncError."""
        if key in self._kept:
            answer = self._kept[key] = self._kept.pop(key)
        elif self.are_final and key in self._failed:
            answer = self._failed[key]
        else:
            answer = await self._flights.run(key, partial(self._ask, key, ask))
        if isinstance(answer, OcyncError):
            # Else each raise would make the traceback longer.
            raise answer.with_traceback(None)
        return answer  # type: ignore[no-any-return]

    def put(self, key: Hashable, answer: object) -> None:
        """Keep an answer; those that nobody has asked for longest give way."""
        self._size += _size(answer) - (_size(self._kept.pop(key)) if key in self._kept else 0)
        self._kept[key] = answer
        while self._size > self._most:
            self._size -= _size(self._kept.pop(next(iter(self._kept))))

    async def _ask(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T | OcyncError:
        answer: T | OcyncError
        try:
            answer = await ask()
        except OcyncError as error:
            if error.retryable:
                self._failed[key] = error
                raise
            answer = error
        self.put(key, answer)
        return answer


def _size(answer: object) -> int:
    """Return the bytes that an answer takes, about."""
    if isinstance(answer, Manifest):
        return 2 * answer.size + 1000
    entries = answer.tags if isinstance(answer, TagPage) else answer
    return 400 * (1 + (len(entries) if isinstance(entries, tuple) else 0))


class Trees:
    """Manifests that are copied, as digests and sizes."""

    def __init__(self) -> None:
        self.sizes: dict[Digest, int] = {}
        """Blobs, in bytes."""
        self._parts: dict[Digest, tuple[tuple[Digest, ...], tuple[Digest, ...]]] = {}
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
                self._parts[manifest.digest] = tuple(each.digest for each in manifest.copied_children), blobs

    def children(self, manifests: Iterable[Digest]) -> set[Digest]:
        """Return what manifests list as manifests."""
        return {child for digest in manifests for child in self._parts[digest][0]}

    def below(self, roots: Iterable[Digest]) -> set[Digest]:
        """Return manifests and all that are below them."""
        found: set[Digest] = set()
        level = self._parts.keys() & roots
        while level:
            found |= level
            level = (self._parts.keys() & self.children(level)) - found
        return found

    def blobs(self, roots: Iterable[Digest]) -> set[Digest]:
        """Return the blobs of manifests and of all below them."""
        return {blob for digest in self.below(roots) for blob in self._parts[digest][1]}

    def size(self, blobs: Iterable[Digest]) -> int:
        """Return the bytes of blobs."""
        return sum(self.sizes[blob] for blob in blobs)
