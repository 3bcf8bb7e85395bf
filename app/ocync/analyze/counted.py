"""Repositories that count what is asked of them, and that can be neither written to nor read blobs from."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NoReturn

from ocync.analyze.facts import Spot
from ocync.analyze.requests import Bounds, Kind, summed
from ocync.endpoint import TagPage
from ocync.errors import NotFoundError
from ocync.registry.repository import RegistryRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ocync.config.model import RegistryConfig
    from ocync.endpoint import Repository, TargetRepository, Upload
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.discover import Places
    from ocync.slots import Lane, Slots


class Counted:
    """A repository as the plan of a pass sees it; an answer to `ocync.endpoint.TargetRepository`."""

    def __init__(self, inner: Repository) -> None:
        self.inner = inner
        self._asked: Counter[Kind] = Counter()
        self._pages_before = inner.pages_listed if isinstance(inner, RegistryRepository) else 0
        self._referrer_pages_before = inner.referrer_pages if isinstance(inner, RegistryRepository) else 0
        self._below: dict[str, Manifest] = {}
        self._lists_referrers: bool | None = None
        self._looked_at: set[Digest] = set()
        self._again = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {sum(self.asked.values())} requests>"

    @property
    def asked(self) -> Counter[Kind]:
        """What was asked so far; retries, redirects and tokens are not counted."""
        if not isinstance(self.inner, RegistryRepository):
            return self._asked
        # Only the registry knows how many pages its lists have.
        asked = self._asked.copy()
        if self.inner.pages_listed > self._pages_before:
            asked[Kind.TAG_LIST] = self.inner.pages_listed - self._pages_before
        asked[Kind.REFERRERS] = self.inner.referrer_pages - self._referrer_pages_before
        return asked

    @property
    def would_ask(self) -> dict[Kind, Bounds]:
        """What a pass would ask in the place of what was asked so far."""
        bounds = {kind: Bounds.exactly(number) for kind, number in self.asked.items()}
        calls = self._asked[Kind.REFERRERS]
        if self._again:
            # Where mappings have repositories in common, the later one may know what the other one has learned.
            bounds[Kind.REFERRERS] = Bounds(
                max(bounds[Kind.REFERRERS].low - self._again, 0), bounds[Kind.REFERRERS].high
            )
        if calls and self._lists_referrers is False:
            # The first answer ends it, but for what has been asked at the same time.
            bounds[Kind.REFERRERS] = Bounds(1, calls)
        return bounds

    @property
    def lists_referrers(self) -> bool | None:
        """Whether it keeps account of referrers; None where it was not asked."""
        return self._lists_referrers

    @property
    def name(self) -> str:
        """How reports name it."""
        return self.inner.name

    @property
    def place(self) -> str:
        """Its place."""
        return self.inner.place

    @property
    def path(self) -> str:
        """Its name within the place."""
        return self.inner.path

    @property
    def mounts_after_commit(self) -> bool:
        """False: nothing is mounted."""
        return False

    @property
    def slots(self) -> Slots:
        """What limits requests at its place."""
        return self.inner.slots

    @property
    def blob_slots(self) -> Slots | Lane:
        """What a read of a blob holds one of."""
        return self.inner.blob_slots

    @property
    def upload_slots(self) -> Slots | Lane:
        """What the sending of a blob holds one of."""
        return self.inner.upload_slots

    async def answers(self, within: float) -> bool:
        """Wait for a place that is away."""
        return await self.inner.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        self._asked[Kind.TAG_LIST] += 1
        return await self.inner.tags()

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        self._asked[Kind.TAG_LIST] += 1
        return await self.inner.first_tags()

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to."""
        self._asked[Kind.MANIFEST_HEAD] += 1
        return await self.inner.head(reference)

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """Fetch a manifest."""
        self._asked[Kind.MANIFEST_GET] += 1
        if reference in self._below:
            return self._below[reference]
        return await self.inner.manifest(reference, size=size)

    async def manifest_below(self, digest: Digest, *, size: int | None) -> Manifest:
        """Fetch a manifest that another one lists, uncounted: how often a pass asks for it the forecast tells."""
        manifest = await self.inner.manifest(str(digest), size=size)
        if manifest.is_index:
            # Looked into again for what is attached to its manifests; rare, and small.
            self._below[str(digest)] = manifest
        return manifest

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest."""
        self._asked[Kind.REFERRERS] += 1
        self._again += subject in self._looked_at
        self._looked_at.add(subject)
        found = await self.inner.referrers(subject)
        if found is not None:
            self._lists_referrers = True
        elif self._lists_referrers is None:
            self._lists_referrers = False
        return found

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Refuse: an analysis reads no blob."""
        self._refuse("a blob was to be read")

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Refuse: that is not part of a plan."""
        self._refuse("a blob was to be looked for")

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """Refuse: an analysis writes nothing."""
        self._refuse("a blob was to be written")

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Refuse: an analysis writes nothing."""
        self._refuse("a manifest was to be written")

    def _refuse(self, what: str) -> NoReturn:
        raise AssertionError(f"{what} at {self.name}")


class Imagined(Counted):
    """A target repository as though it did not exist yet: it answers without being asked."""

    @property
    def asked(self) -> Counter[Kind]:
        """What a pass would ask."""
        return self._asked

    async def tags(self) -> tuple[str, ...]:
        """Return nothing."""
        self._asked[Kind.TAG_LIST] += 1
        return ()

    async def first_tags(self) -> TagPage:
        """Return nothing, and that it is all."""
        self._asked[Kind.TAG_LIST] += 1
        return TagPage(tags=(), complete=True)

    async def head(self, reference: str) -> Descriptor | None:
        """Return that it is not there."""
        self._asked[Kind.MANIFEST_HEAD] += 1
        return None

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return that nothing does."""
        self._asked[Kind.REFERRERS] += 1
        return ()

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """Raise NotFoundError."""
        self._asked[Kind.MANIFEST_GET] += 1
        raise NotFoundError(f"{self.name} is taken to be empty")


class CountedPlaces:
    """Gives counted repositories, the same one for the same name; an answer to `ocync.plan.discover.Places`."""

    def __init__(self, places: Places, *, cold: bool) -> None:
        self._places = places
        self._target = Imagined if cold else Counted
        self._given: dict[tuple[str, str, bool], Counted] = {}
        self._folders: set[str] = set()

    def source(self, registry: RegistryConfig, repository: str) -> Counted:
        """Return a repository to read from."""
        return self._counted(
            registry, repository, False, lambda: Counted(self._places.source(registry, repository))
        )

    def target(self, registry: RegistryConfig, repository: str) -> TargetRepository:
        """Return a repository that a pass would write to."""
        return self._counted(
            registry, repository, True, lambda: self._target(self._places.target(registry, repository))
        )

    def asked(self) -> Mapping[str, Mapping[Kind, Bounds]]:
        """Return what was asked, by place; a folder takes no requests and is not among them."""
        counts: dict[str, list[Mapping[Kind, Bounds]]] = defaultdict(list)
        for repository in self._given.values():
            if repository.place not in self._folders:
                counts[repository.place].append(repository.would_ask)
        return {place: summed(*each) for place, each in counts.items()}

    def referrers_api(self) -> dict[Spot, bool]:
        """Return which target repositories keep account of referrers, as far as that is known."""
        return {
            Spot(repository.place, repository.path): repository.lists_referrers
            for (_, _, writable), repository in self._given.items()
            if writable and repository.lists_referrers is not None
        }

    def single_post(self) -> Mapping[str, bool]:
        """Return which places take a blob by one POST, as far as that is known."""
        known = {
            repository.place: repository.inner.single_post
            for repository in self._given.values()
            if isinstance(repository.inner, RegistryRepository)
        }
        return {place: takes for place, takes in known.items() if takes is not None}

    def _counted(
        self, registry: RegistryConfig, repository: str, writable: bool, make: Callable[[], Counted]
    ) -> Counted:
        key = (registry.name, repository, writable)
        if key not in self._given:
            self._given[key] = counted = make()
            if registry.layout is not None:
                self._folders.add(counted.place)
        return self._given[key]
