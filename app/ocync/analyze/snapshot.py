"""What all rehearsals of a pass share: the responses of both sides, and the content of the copied images."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ocync.lib.errors import NotFoundError, OcyncError
from ocync.lib.singleflight import Flights
from ocync.oci.manifest import Manifest
from ocync.oci.repository import TagPage
from ocync.registry.repository import RegistryRepository

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

    from ocync.config.model import RegistryConfig
    from ocync.oci.digest import Digest
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.plan.discover import Repositories

T = TypeVar("T")

Key = tuple[str, str, bool]
"""A repository: its host, its path, and whether it is a target."""

_KEPT = 64 * 1024 * 1024
"""Approximate bytes of answers that are kept: enough for the manifests and lists of a large mirror."""


class AnswerCache:
    """
    The answers of repositories: each request is made once, as long as its answer is kept.

    Errors that are not retryable are answers. Retryable ones only count with `are_final`, for the rehearsals after
    the first, which do not wait again.
    """

    def __init__(self, most: int = _KEPT) -> None:
        self.are_final = False
        self._most = most
        self._kept: dict[Hashable, Any] = {}
        self._size = 0
        self._failed: dict[Hashable, OcyncError] = {}
        self._flights: Flights[Hashable, Any] = Flights()

    def __repr__(self) -> str:
        return f"<AnswerCache: {len(self._kept)}, {self._size} bytes>"

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer of `ask`, from now or from earlier, or raise its OcyncError."""
        if key in self._kept:
            answer = self._kept[key] = self._kept.pop(key)
        elif self.are_final and key in self._failed:
            answer = self._failed[key]
        else:
            answer = await self._flights.run(key, partial(self._ask, key, ask))
        if isinstance(answer, OcyncError):
            # Each raise would make the traceback longer.
            raise answer.with_traceback(None)
        return answer  # type: ignore[no-any-return]

    def put(self, key: Hashable, answer: object) -> None:
        """Keep an answer, and drop the least recently used ones beyond the limit."""
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
    """Return the approximate bytes of an answer."""
    if isinstance(answer, Manifest):
        return 2 * answer.size + 1000
    entries = answer.tags if isinstance(answer, TagPage) else answer
    return 400 * (1 + (len(entries) if isinstance(entries, tuple) else 0))


class Trees:
    """The copied manifests, as digests and sizes."""

    def __init__(self) -> None:
        self.sizes: dict[Digest, int] = {}
        """Blobs, in bytes."""
        self._parts: dict[Digest, tuple[tuple[Digest, ...], tuple[Digest, ...]]] = {}
        self._same: dict[Digest, Digest] = {}

    def __repr__(self) -> str:
        return f"<Trees: {len(self._parts)} manifests, {len(self.sizes)} blobs>"

    def add(self, manifests: Iterable[Manifest]) -> None:
        """Record what manifests list."""
        for manifest in manifests:
            if manifest.digest not in self._parts:
                # Many manifests list the same layer: equal digests are one object.
                blobs = tuple(self._same.setdefault(each.digest, each.digest) for each in manifest.copied_blobs)
                self.sizes.update((each.digest, each.size) for each in manifest.copied_blobs)
                self._parts[manifest.digest] = tuple(each.digest for each in manifest.copied_children), blobs

    def children(self, manifests: Iterable[Digest]) -> set[Digest]:
        """Return the manifests that manifests list."""
        return {child for digest in manifests for child in self._parts[digest][0]}

    def below(self, roots: Iterable[Digest]) -> set[Digest]:
        """Return the roots and all manifests below them."""
        found: set[Digest] = set()
        level = self._parts.keys() & roots
        while level:
            found |= level
            level = (self._parts.keys() & self.children(level)) - found
        return found

    def blobs(self, roots: Iterable[Digest]) -> set[Digest]:
        """Return the blobs of the roots and of all manifests below them."""
        return {blob for digest in self.below(roots) for blob in self._parts[digest][1]}

    def size(self, blobs: Iterable[Digest]) -> int:
        """Return the bytes of blobs."""
        return sum(self.sizes[blob] for blob in blobs)


class Snapshot:
    """The state of both sides, read once for all rehearsals of a pass."""

    def __init__(self, repositories: Repositories, *, cold: bool = False) -> None:
        """With `cold`, targets are assumed to be empty and are not read."""
        self.repositories = repositories
        self.cold = cold
        self.answers = AnswerCache()
        self.trees = Trees()
        self.origins: dict[Digest, Callable[[], Awaitable[Manifest]]] = {}
        """How to read a manifest again."""
        self.observed: dict[Key, ObservedRepository] = {}
        self.folders: set[str] = set()
        """Hosts that are folders: they receive no requests."""

    def observe(
        self, registry: RegistryConfig, repository: RepositoryName, *, is_target: bool
    ) -> ObservedRepository:
        """Return a repository, the same one for all names of its registry."""
        inner = (self.repositories.target if is_target else self.repositories.source)(registry, repository)
        if registry.layout is not None:
            self.folders.add(inner.host)
        key = (inner.host, inner.path, is_target)
        if key not in self.observed:
            self.observed[key] = ObservedRepository(key, inner, self.answers, is_imagined=self.cold and is_target)
        return self.observed[key]


class ObservedRepository:
    """A real repository, which is only read, and what was seen of it."""

    def __init__(self, key: Key, inner: Repository, answers: AnswerCache, *, is_imagined: bool) -> None:
        """With `is_imagined`, the repository is assumed to be empty and is not read."""
        self.key = key
        # The methods of targets are not called on sources.
        self.inner = cast("TargetRepository", inner)
        self.registry = inner if isinstance(inner, RegistryRepository) else None
        self.is_empty = False
        """Whether it lists no tags."""
        self._cache = answers
        self._is_imagined = is_imagined
        self._asked: Counter[str] = Counter()
        self._before = (self.registry.pages_listed, self.registry.referrer_pages) if self.registry else (0, 0)

    @property
    def tag_pages(self) -> int:
        """Pages of the list of all tags."""
        listed = self.registry.pages_listed - self._before[0] if self.registry else 0
        return max(1, listed - self._asked["first_tags"])

    @property
    def further_referrer_pages(self) -> int:
        """Pages of lists of referrers besides the first ones."""
        listed = self.registry.referrer_pages - self._before[1] if self.registry else 0
        return max(0, listed - self._asked["referrers"])

    async def ask(self, what: str, subject: object, ask: Callable[[], Awaitable[T]], nothing: T) -> T:
        """Return the repository's answer, or `nothing` if it is imagined."""

        async def really() -> T:
            self._asked[what] += 1
            return await ask()

        return nothing if self._is_imagined else await self._cache.get((self.key, what, subject), really)

    async def read(
        self, reference: str, size: int | None, origins: dict[Digest, Callable[[], Awaitable[Manifest]]]
    ) -> Manifest:
        """Return a manifest, and record where it can be read again."""
        # Without a size, as one list may have a wrong size and another the right one.
        manifest = await self.ask("manifest", reference, lambda: self.inner.manifest(reference), None)
        if manifest is None:
            raise NotFoundError(f"{self.inner.name} is assumed to be empty and has no {reference}")
        if size not in (None, manifest.size):
            return await self.inner.manifest(reference, size=size)
        digest = str(manifest.digest)
        if digest != reference:
            self._cache.put((self.key, "manifest", digest), manifest)
        origins.setdefault(manifest.digest, partial(self.read, digest, None, origins))
        return manifest

    async def will_list_referrers(self, subject: Digest) -> bool | None:
        """Return whether the host itself will list referrers of a subject; None if unknown."""
        if self.registry is None:
            return False
        if self.registry.lists_referrers is None:
            with suppress(OcyncError):
                # A pass would learn it from the responses to its PUTs.
                await self.ask("referrers", None, lambda: self.inner.referrers(subject), None)
        return self.registry.lists_referrers
