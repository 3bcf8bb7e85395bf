"""Repositories that count what is asked of them, and that can be neither written to nor read blobs from."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NoReturn

from ocync.analyze.requests import Bounds, Kind
from ocync.endpoint import TagPage
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {sum(self.asked.values())} requests>"

    @property
    def asked(self) -> Counter[Kind]:
        """What was asked so far; retries, redirects and tokens are not counted."""
        if not isinstance(self.inner, RegistryRepository):
            return self._asked
        # Only the registry knows how many pages its lists have.
        return self._asked | Counter({Kind.TAG_LIST: self.inner.pages_listed - self._pages_before})

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
        return await self.inner.manifest(reference, size=size)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest."""
        self._asked[Kind.REFERRERS] += 1
        return await self.inner.referrers(subject)

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
        counts: dict[str, Counter[Kind]] = defaultdict(Counter)
        for repository in self._given.values():
            if repository.place not in self._folders:
                counts[repository.place] += repository.asked
        return {
            place: {kind: Bounds.exactly(number) for kind, number in counter.items()}
            for place, counter in counts.items()
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
