"""
The places of a rehearsal: a pass reads there what both sides have, and what it writes is noted and sent nowhere.

What was written is answered for from then on, so that the engine sees its own work as in a pass.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar, cast
from weakref import WeakKeyDictionary

from ocync.analyze.known import Answers, Fate, Tally, Trees
from ocync.analyze.requests import Kind
from ocync.endpoint import TagPage
from ocync.errors import NotFoundError, OcyncError
from ocync.oci.digest import Digest
from ocync.registry.repository import RegistryRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from ocync.analyze.known import Order, What
    from ocync.config.model import RegistryConfig
    from ocync.endpoint import Repository, TargetRepository, Upload
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.discover import Places
    from ocync.plan.model import ImagePlan
    from ocync.plan.source import SourceImage
    from ocync.slots import Lane, Slots
    from ocync.transfer.blob_reads import Delivery
    from ocync.transfer.tree import Tree

T = TypeVar("T")

_TEXT = 60
"""Bytes that a string takes besides its characters."""


class World:
    """What all rehearsals of one pass have in common."""

    def __init__(self, places: Places, *, cold: bool = False) -> None:
        """With `cold`, targets are taken to be empty, and nothing is asked of them."""
        self.places = places
        self.cold = cold
        self.answers = Answers()
        self.trees = Trees()
        self.origins: dict[Digest, Callable[[], Awaitable[Manifest]]] = {}
        """Who has given a manifest, and would again."""
        self.spots: dict[tuple[str, str, bool], Spot] = {}
        """The real repositories, by place, path and whether they are written to."""
        self.folders: set[str] = set()
        """Places that take no requests."""

    def spot(self, registry: RegistryConfig, path: str, *, is_target: bool) -> Spot:
        """Return a repository, the same one whatever its registry is called."""
        inner = (self.places.target if is_target else self.places.source)(registry, path)
        if registry.layout is not None:
            self.folders.add(inner.place)
        key = (inner.place, inner.path, is_target)
        if key not in self.spots:
            # What is only read is not asked for more than a source can tell.
            self.spots[key] = Spot(cast("TargetRepository", inner), is_imagined=self.cold and is_target)
        return self.spots[key]


class Spot:
    """A real repository, and what was seen of it."""

    def __init__(self, inner: TargetRepository, *, is_imagined: bool) -> None:
        """One that `is_imagined` is taken to be empty, and is not asked."""
        self.inner = inner
        self.asked = _Nothing(inner.name) if is_imagined else inner
        self.registry = inner if isinstance(inner, RegistryRepository) else None
        self.is_imagined = is_imagined
        self.is_empty = False
        """Whether it lists no tags."""
        self._listing = asyncio.Lock()
        self._referrers_asked = 0
        self._pages_before = self._referrer_pages

    @property
    def _referrer_pages(self) -> int:
        return self.registry.referrer_pages if self.registry is not None else 0

    @property
    def further_pages(self) -> int:
        """How many pages lists of referrers have besides the first."""
        return max(0, self._referrer_pages - self._pages_before - self._referrers_asked)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what the repository lists."""
        self._referrers_asked += 1
        return await self.asked.referrers(subject)

    async def listing(self, ask: Callable[[], Awaitable[T]]) -> tuple[T, int]:
        """Return a list of tags, and of how many pages it is made; one at a time, as only sums are counted."""
        async with self._listing:
            before = self.registry.pages_listed if self.registry is not None else 0
            tags = await ask()
            pages = self.registry.pages_listed - before if self.registry is not None else 1
            return tags, max(1, pages)

    async def keeps_account(self, subject: Digest, answers: Answers) -> bool | None:
        """Return whether what refers to a subject will be listed by the place itself; None where nobody knows."""
        if self.registry is None:
            return False
        if self.registry.lists_referrers is None and not self.is_imagined:
            with suppress(OcyncError):
                # Asked for all that is put there; the pass would see it in the answers.
                await answers.get((self.inner.name, "has an API"), lambda: self.referrers(subject))
        return self.registry.lists_referrers


class _Nothing:
    """What a repository answers that does not exist yet."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def tags(self) -> tuple[str, ...]:
        return ()

    async def first_tags(self) -> TagPage:
        return TagPage(tags=(), complete=True)

    async def head(self, reference: str) -> Descriptor | None:
        return None

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        raise NotFoundError(f"{self._name} is taken to be empty, and has no {reference}")

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return ()

    async def has_blob(self, descriptor: Descriptor) -> bool:
        return False


class Recorded:
    """A repository in a rehearsal; answers to `ocync.endpoint.Repository`."""

    def __init__(self, spot: Spot, world: World, tally: Tally, order: Order, *, is_target: bool = False) -> None:
        self.spot = spot
        self.world = world
        self.tally = tally
        self.order = order
        self._key = (spot.inner.place, spot.inner.path, is_target)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """How reports name it."""
        return self.spot.inner.name

    @property
    def place(self) -> str:
        """Its place."""
        return self.spot.inner.place

    @property
    def path(self) -> str:
        """Its name within the place."""
        return self.spot.inner.path

    @property
    def slots(self) -> Slots:
        """What limits requests at its place."""
        return self.spot.inner.slots

    @property
    def blob_slots(self) -> Slots | Lane:
        """What a read of a blob holds one of."""
        return self.spot.inner.blob_slots

    @property
    def upload_slots(self) -> Slots | Lane:
        """What the sending of a blob holds one of."""
        return self.spot.inner.upload_slots

    async def answers(self, within: float) -> bool:
        """Wait for the place to answer; in a rehearsal that only repeats one, nobody waits."""
        return self.world.answers.are_final or await self.spot.inner.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        return await self._listed(
            "tags", self.spot.asked.tags, lambda tags: sum(map(len, tags)) + _TEXT * len(tags)
        )

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        return await self._listed(
            "first", self.spot.asked.first_tags, lambda page: sum(map(len, page.tags)) + _TEXT * len(page.tags)
        )

    async def _listed(self, what: str, ask: Callable[[], Awaitable[T]], weigh: Callable[[T], int]) -> T:
        await self.order.read(self.name)
        pages = 1
        try:
            listing = partial(self.spot.listing, ask)
            tags, pages = await self._ask((what,), listing, lambda found: weigh(found[0]))
        finally:
            self.tally.add(self.place, Kind.TAG_LIST, self.path, pages)
        return tags

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to."""
        await self._count_read(Kind.MANIFEST_HEAD, reference)
        return await self._ask(("head", reference), lambda: self.spot.asked.head(reference))

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """Return a manifest."""
        await self._count_read(Kind.MANIFEST_GET, reference)
        return await self._read(reference, size)

    async def _read(self, reference: str, size: int | None = None) -> Manifest:
        # Without a size, since lists may tell a wrong one, and others the right one.
        manifest = await self._ask(("manifest", reference), lambda: self.spot.asked.manifest(reference), _weight)
        if size not in (None, manifest.size):
            manifest = await self.spot.asked.manifest(reference, size=size)
        digest = str(manifest.digest)
        if digest != reference:
            self.world.answers.put((*self._key, "manifest", digest), manifest, _weight(manifest))
        self.world.origins.setdefault(manifest.digest, partial(self._read, digest))
        return manifest

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest."""
        await self.order.read(self.name)
        # How often a registry is asked that has no API depends on when its first answer comes, and not on subjects.
        self.tally.add(self.place, Kind.REFERRERS, self._key)
        return await self._listed_referrers(subject)

    async def _listed_referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return await self._ask(
            ("referrers", subject), lambda: self.spot.referrers(subject), lambda found: 8 * _TEXT * len(found or ())
        )

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Refuse: no blob is read."""
        raise _refusal(self)

    async def _count_read(self, what: What, subject: str) -> None:
        await self.order.read(self.name)
        self._count(what, subject)

    def _count(self, what: What, subject: str) -> None:
        # Millions of texts would be kept else.
        self.tally.add(self.place, what, hash((self.path, subject)))

    async def _ask(
        self,
        what: tuple[str, *tuple[object, ...]],
        ask: Callable[[], Awaitable[T]],
        weigh: Callable[[T], int] | None = None,
    ) -> T:
        return await self.world.answers.get((*self._key, *what), ask, weigh)


class RecordedTarget(Recorded):
    """A repository that is written to, as far as the rehearsal goes; answers to TargetRepository."""

    def __init__(
        self,
        spot: Spot,
        world: World,
        tally: Tally,
        order: Order,
        *,
        holds: Callable[[str, Descriptor], Awaitable[bool]],
    ) -> None:
        """`holds` tells whether a repository of the same place, by its path, holds a blob."""
        super().__init__(spot, world, tally, order, is_target=True)
        self._holds = holds
        self.blobs: set[Digest] = set()
        """Blobs that were seen or written."""
        self.put: dict[Digest, Manifest | None] = {}
        """Manifests that were put; None for those that can be had from where they come from."""
        self.roots: set[Digest] = set()
        """Images that were copied."""
        self.lists: set[Digest] = set()
        """Those of the manifests that are lists of referrers."""
        self._tags: dict[str, Digest] = {}
        self._referring: defaultdict[Digest, dict[Digest, Descriptor]] = defaultdict(dict)
        self._sessions: set[Digest] = set()
        """Blobs for which a refused mount has opened a session."""

    @property
    def mounts_after_commit(self) -> bool:
        """Whether a blob can only be mounted from here when a manifest here lists it."""
        return self.spot.inner.mounts_after_commit

    # Reads: what was written here first

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        try:
            found = await super().tags()
        except NotFoundError:
            self.spot.is_empty = True
            if not self._tags:
                raise
            found = ()
        self.spot.is_empty |= not found
        return tuple(dict.fromkeys((*found, *self._tags)))

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        page = await super().first_tags()
        self.spot.is_empty |= page.complete and not page.tags
        return TagPage(tags=tuple(dict.fromkeys((*page.tags, *self._tags))), complete=page.complete)

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to."""
        written = self._written(reference)
        if written is None:
            return await super().head(reference)
        await self._count_read(Kind.MANIFEST_HEAD, reference)
        return (await self._read(str(written))).descriptor

    async def _read(self, reference: str, size: int | None = None) -> Manifest:
        written = self._written(reference)
        if written is None:
            return await super()._read(reference, size)
        return self.put[written] or await self.world.origins[written]()

    def _written(self, reference: str) -> Digest | None:
        if ":" not in reference:
            return self._tags.get(reference)
        digest = Digest.parse(reference)
        return digest if digest in self.put else None

    async def _listed_referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        found = await super()._listed_referrers(subject)
        if found is None:
            return None
        return tuple({**{each.digest: each for each in found}, **self._referring[subject]}.values())

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Tell whether the repository holds the blob."""
        await self.order.read(self.name)
        # Which repository is asked depends on who comes first, and it is one of them.
        self.tally.add(self.place, Kind.BLOB_HEAD, descriptor.digest)
        if descriptor.digest not in self.blobs and await self.really_has(descriptor):
            self._got(descriptor, Fate.THERE)
        return descriptor.digest in self.blobs

    async def really_has(self, descriptor: Descriptor) -> bool:
        """Tell whether the real repository holds the blob; not counted."""
        return await self._ask(("blob", descriptor.digest), lambda: self.spot.asked.has_blob(descriptor))

    # Writes

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """Mount the blob where it is in the other repository, which is taken to be granted."""
        await self.order.write(self.name)
        if mount_from is None:
            return _Session(self)
        self.tally.add(self.place, Kind.BLOB_MOUNT, descriptor.digest)
        if not await self._holds(mount_from, descriptor):
            self._sessions.add(descriptor.digest)
            return _Session(self)
        self._got(descriptor, Fate.MOUNTED)
        return None

    async def receive(self, descriptor: Descriptor) -> None:
        """Take a blob that is sent."""
        await self.order.write(self.name)
        self._got(descriptor, Fate.SENT)
        is_open = descriptor.digest in self._sessions
        self._sessions.discard(descriptor.digest)
        # Whether a PUT follows a POST is a matter of how the host takes blobs.
        self.tally.add(self.place, Kind.BLOB_PUT if is_open else Kind.BLOB_POST, descriptor.digest)

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Take a manifest; tell whether the place would list it among the referrers of its subject."""
        await self.order.write(self.name)
        self._count(Kind.MANIFEST_PUT, tag or str(manifest.digest))
        self.put[manifest.digest] = None if manifest.digest in self.world.origins else manifest
        if tag is not None:
            self._tags[tag] = manifest.digest
            if tag.startswith(("sha256-", "sha512-")) and "." not in tag:
                self.lists.add(manifest.digest)
        self.world.trees.add([manifest])
        subject = manifest.subject.digest if manifest.subject is not None else None
        if subject is None or not await self._keeps_account(subject):
            return False
        self._referring[subject][manifest.digest] = replace(
            manifest.descriptor, artifact_type=manifest.artifact_type
        )
        return True

    async def _keeps_account(self, subject: Digest) -> bool:
        known = await self.spot.keeps_account(subject, self.world.answers)
        return self.order.accounts if known is None else known

    def _got(self, descriptor: Descriptor, fate: Fate) -> None:
        self.blobs.add(descriptor.digest)
        self.world.trees.sizes.setdefault(descriptor.digest, descriptor.size)
        self.tally.add(self.place, fate, descriptor.digest)


class _Session:
    """An upload that nothing is sent by."""

    def __init__(self, repository: Recorded) -> None:
        self._repository = repository

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        raise _refusal(self._repository)

    async def abandon(self) -> None:
        """Forget it."""


class Rehearsed:
    """
    The places of one rehearsal, with what is counted there; answers to `ocync.plan.discover.Places`.

    It is what moves blobs, too (`ocync.transfer.blob_reads.BlobMover`).
    """

    def __init__(self, world: World, order: Order) -> None:
        self.tally = Tally()
        self.targets: dict[tuple[str, str], RecordedTarget] = {}
        self.images: defaultdict[tuple[str, str], set[Digest]] = defaultdict(set)
        """What is copied, by the place and path of its source."""
        self._world = world
        self._order = order
        self._sources: dict[tuple[str, str], Recorded] = {}
        self._numbers: WeakKeyDictionary[SourceImage, int] = WeakKeyDictionary()
        self._next = count()
        self._read: set[tuple[str, Digest, int | None]] = set()

    def source(self, registry: RegistryConfig, repository: str) -> Recorded:
        """Return a repository to read from."""
        spot = self._world.spot(registry, repository, is_target=False)
        key = (spot.inner.place, spot.inner.path)
        return self._sources.setdefault(key, Recorded(spot, self._world, self.tally, self._order))

    def target(self, registry: RegistryConfig, repository: str) -> RecordedTarget:
        """Return a repository to write to."""
        spot = self._world.spot(registry, repository, is_target=True)
        holds = partial(self._holds, registry)
        made = RecordedTarget(spot, self._world, self.tally, self._order, holds=holds)
        return self.targets.setdefault((spot.inner.place, spot.inner.path), made)

    async def _holds(self, registry: RegistryConfig, path: str, descriptor: Descriptor) -> bool:
        """Tell whether a repository holds a blob; it is asked, uncounted, where nobody has seen that (a hint)."""
        place = self._world.places.target(registry, path).place
        known = self.targets.get((place, path))
        if (place, path) in self._sources or (known is not None and descriptor.digest in known.blobs):
            return True
        try:
            return await self.target(registry, path).really_has(descriptor)
        except OcyncError:
            return False

    async def send(self, delivery: Delivery, source: Repository, *, nearer: Repository | None = None) -> None:
        """Note that a blob is read and sent."""
        repository, blob, reader = delivery.repository, delivery.blob, nearer or source
        assert isinstance(repository, RecordedTarget)
        number = -1 if delivery.image is None else self._numbers.setdefault(delivery.image, next(self._next))
        # Those who need it of one image take part in one read; those of others may come too late for it.
        for reads, by in ((Fate.READ, None), (Fate.READ_BY, number)):
            if (reader.place, blob.digest, by) not in self._read:
                self._read.add((reader.place, blob.digest, by))
                self.tally.add(reader.place, reads, blob.digest)
        await repository.receive(blob)

    def changed(self) -> None:
        """Do nothing: nobody waits."""

    def copied(self, plan: ImagePlan, tree: Tree) -> None:
        """Note that an image is copied, and what it consists of."""
        source, target = plan.candidate.source, plan.candidate.target.repository
        assert isinstance(target, RecordedTarget)
        self._world.trees.add(tree.manifests)
        self.images[source.place, source.path].add(tree.root.digest)
        target.roots.add(tree.root.digest)


def _weight(manifest: Manifest) -> int:
    # As much again for what was made of the bytes.
    return 2 * manifest.size


def _refusal(repository: Recorded) -> AssertionError:
    return AssertionError(f"bytes were to be moved at {repository.name}")
