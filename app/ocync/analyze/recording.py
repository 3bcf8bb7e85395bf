"""
The repositories of a rehearsal: a pass reads what both sides have, and what it writes is recorded and sent nowhere.

What was written is answered for from then on, so that the engine sees its own work as in a pass.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from ocync.analyze.known import Answers, Trees
from ocync.analyze.requests import RequestKind
from ocync.analyze.tally import Fate, Tally
from ocync.lib.errors import NotFoundError, OcyncError
from ocync.oci.digest import Digest
from ocync.oci.repository import TagPage
from ocync.registry.repository import RegistryRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from ocync.analyze.tally import Order
    from ocync.config.model import RegistryConfig
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import Repository, TargetRepository, Upload
    from ocync.plan.discover import Repositories
    from ocync.plan.model import ImagePlan
    from ocync.transfer.blob_reads import Delivery
    from ocync.transfer.tree import Tree

T = TypeVar("T")

Key = tuple[str, str, bool]
"""A repository: its place, its path, and whether it is a target."""


class World:
    """What all rehearsals of one pass have in common."""

    def __init__(self, repositories: Repositories, *, cold: bool = False) -> None:
        """With `cold`, targets are taken to be empty, and nothing is asked of them."""
        self.repositories = repositories
        self.cold = cold
        self.answers = Answers()
        self.trees = Trees()
        self.origins: dict[Digest, Callable[[], Awaitable[Manifest]]] = {}
        """Who has given a manifest, and would again."""
        self.spots: dict[Key, Spot] = {}
        self.folders: set[str] = set()
        """Hosts that take no requests."""

    def spot(self, registry: RegistryConfig, repository: RepositoryName, *, is_target: bool) -> Spot:
        """Return a repository, the same one whatever its registry is called."""
        inner = (self.repositories.target if is_target else self.repositories.source)(registry, repository)
        if registry.layout is not None:
            self.folders.add(inner.host)
        key = (inner.host, inner.path, is_target)
        if key not in self.spots:
            self.spots[key] = Spot(key, inner, self.answers, is_imagined=self.cold and is_target)
        return self.spots[key]


class Spot:
    """A real repository, and what was seen of it."""

    def __init__(self, key: Key, inner: Repository, answers: Answers, *, is_imagined: bool) -> None:
        """One that `is_imagined` is taken to be empty, and is not asked."""
        self.key = key
        # A source is never asked for more than it has to tell.
        self.inner = cast("TargetRepository", inner)
        self.registry = inner if isinstance(inner, RegistryRepository) else None
        self.is_empty = False
        """Whether it lists no tags."""
        self._answers = answers
        self._is_imagined = is_imagined
        self._asked: Counter[str] = Counter()
        self._before = (self.registry.pages_listed, self.registry.referrer_pages) if self.registry else (0, 0)

    @property
    def tag_pages(self) -> int:
        """How many pages a list of all of its tags has."""
        listed = self.registry.pages_listed - self._before[0] if self.registry else 0
        return max(1, listed - self._asked["first_tags"])

    @property
    def further_referrer_pages(self) -> int:
        """How many pages lists of referrers have besides the first."""
        listed = self.registry.referrer_pages - self._before[1] if self.registry else 0
        return max(0, listed - self._asked["referrers"])

    async def ask(self, what: str, subject: object, ask: Callable[[], Awaitable[T]], nothing: T) -> T:
        """Return what the repository answers; one that is imagined has `nothing`."""

        async def really() -> T:
            self._asked[what] += 1
            return await ask()

        return nothing if self._is_imagined else await self._answers.get((self.key, what, subject), really)

    async def read(
        self, reference: str, size: int | None, origins: dict[Digest, Callable[[], Awaitable[Manifest]]]
    ) -> Manifest:
        """Return a manifest, and note that it is to be had here."""
        # Without a size, since lists may tell a wrong one, and others the right one.
        manifest = await self.ask("manifest", reference, lambda: self.inner.manifest(reference), None)
        if manifest is None:
            raise NotFoundError(f"{self.inner.name} is taken to be empty, and has no {reference}")
        if size not in (None, manifest.size):
            return await self.inner.manifest(reference, size=size)
        digest = str(manifest.digest)
        if digest != reference:
            self._answers.put((self.key, "manifest", digest), manifest)
        origins.setdefault(manifest.digest, partial(self.read, digest, None, origins))
        return manifest

    async def keeps_account(self, subject: Digest) -> bool | None:
        """Return whether the host itself will list what refers to a subject; None where that is not known."""
        if self.registry is None:
            return False
        if self.registry.lists_referrers is None:
            with suppress(OcyncError):
                # The pass would see it in the answers to what it puts.
                await self.ask("referrers", None, lambda: self.inner.referrers(subject), None)
        return self.registry.lists_referrers


class Recorded:
    """A repository in a rehearsal; answers to `ocync.oci.repository.Repository`."""

    def __init__(self, spot: Spot, world: World, tally: Tally, order: Order) -> None:
        self.spot, self.world, self.tally, self.order = spot, world, tally, order
        inner = spot.inner
        self.name, self.host, self.path = inner.name, inner.host, inner.path
        self.slots, self.blob_slots, self.upload_slots = inner.slots, inner.blob_slots, inner.upload_slots

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def answers(self, within: float) -> bool:
        """Wait for the host to answer; see `ocync.oci.repository.Repository`."""
        return await self.spot.inner.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.TAG_LIST][self.spot.key, True] += 1
        return await self.spot.ask("tags", "", self.spot.inner.tags, ())

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.TAG_LIST][self.spot.key, False] += 1
        return await self.spot.ask("first_tags", "", self.spot.inner.first_tags, TagPage(tags=(), complete=True))

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to."""
        await self.order.take(self.name)
        self._count(RequestKind.MANIFEST_HEAD, reference)
        return await self._look(reference)

    async def _look(self, reference: str) -> Descriptor | None:
        return await self.spot.ask("head", reference, lambda: self.spot.inner.head(reference), None)

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """Return a manifest."""
        await self.order.take(self.name)
        name = reference
        try:
            manifest = await self._read(reference, size)
            # By tag or by digest, as it is known by then: that is one request, and the same in each order.
            name = str(manifest.digest)
            return manifest
        finally:
            self._count(RequestKind.MANIFEST_GET, name)

    async def _read(self, reference: str, size: int | None) -> Manifest:
        return await self.spot.read(reference, size, self.world.origins)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.REFERRERS][self.spot.key] += 1
        return await self.spot.ask("referrers", subject, lambda: self.spot.inner.referrers(subject), ())

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Refuse: no blob is read."""
        raise AssertionError(f"a blob was to be read at {self.name}")

    def _count(self, what: RequestKind, reference: str) -> None:
        # Millions of texts would be kept else.
        self.tally[self.host, what][hash((self.path, reference))] += 1


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
        super().__init__(spot, world, tally, order)
        self.mounts_after_commit = spot.inner.mounts_after_commit
        self.blobs: set[Digest] = set()
        """Blobs that were seen or written."""
        self.put: dict[Digest, Manifest | None] = {}
        """Manifests that were put; None for those that can be had from where they come from."""
        self.copied: set[Digest] = set()
        """Images that were copied."""
        self.lists: set[Digest] = set()
        """Lists of referrers among the manifests."""
        self._holds = holds
        self._tags: dict[str, Digest] = {}
        self._referring: defaultdict[Digest, dict[Digest, Descriptor]] = defaultdict(dict)
        self._sessions: set[Digest] = set()
        """Blobs for which a refused mount has opened a session."""

    # Reads: what was written here goes first

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        try:
            found = await super().tags()
        except NotFoundError:
            # One that is not there has none: a pass takes it so, too.
            found = ()
        self.spot.is_empty |= not found
        return tuple(dict.fromkeys((*found, *self._tags)))

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        page = await super().first_tags()
        self.spot.is_empty |= page.complete and not page.tags
        return TagPage(tags=tuple(dict.fromkeys((*page.tags, *self._tags))), complete=page.complete)

    async def _look(self, reference: str) -> Descriptor | None:
        if self._written(reference) is None:
            return await super()._look(reference)
        return (await self._read(reference, None)).descriptor

    async def _read(self, reference: str, size: int | None) -> Manifest:
        written = self._written(reference)
        if written is None:
            return await super()._read(reference, size)
        return self.put[written] or await self.world.origins[written]()

    def _written(self, reference: str) -> Digest | None:
        digest = Digest.parse(reference) if ":" in reference else self._tags.get(reference)
        return digest if digest in self.put else None

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest."""
        found = await super().referrers(subject)
        if found is None:
            return None
        return tuple({**{each.digest: each for each in found}, **self._referring[subject]}.values())

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Return whether the repository holds the blob."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.BLOB_HEAD][descriptor.digest] += 1
        if descriptor.digest not in self.blobs and await self.really_has(descriptor):
            self._got(descriptor, Fate.THERE)
        return descriptor.digest in self.blobs

    async def really_has(self, descriptor: Descriptor) -> bool:
        """Return whether the real repository holds the blob; not counted."""
        return await self.spot.ask("blob", descriptor.digest, lambda: self.spot.inner.has_blob(descriptor), False)

    # Writes

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """Mount the blob where the other repository holds it, as registries do."""
        await self.order.take(self.name, writing=True)
        if mount_from is None:
            return _Session()
        self.tally[self.host, RequestKind.BLOB_MOUNT][descriptor.digest] += 1
        if not await self._holds(mount_from, descriptor):
            self._sessions.add(descriptor.digest)
            return _Session()
        self._got(descriptor, Fate.MOUNTED)
        return None

    async def receive(self, descriptor: Descriptor) -> None:
        """Take a blob that is sent."""
        await self.order.take(self.name, writing=True)
        self._got(descriptor, Fate.SENT)
        # A refused mount has opened a session. Else there is a POST; whether a PUT follows it is the host's matter.
        kind = RequestKind.BLOB_PUT if descriptor.digest in self._sessions else RequestKind.BLOB_POST
        self._sessions.discard(descriptor.digest)
        self.tally[self.host, kind][descriptor.digest] += 1

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Take a manifest; return whether the host would list it among the referrers of its subject."""
        await self.order.take(self.name, writing=True)
        self._count(RequestKind.MANIFEST_PUT, tag or str(manifest.digest))
        self.world.trees.add([manifest])
        self.put[manifest.digest] = None if manifest.digest in self.world.origins else manifest
        if tag is not None:
            self._tags[tag] = manifest.digest
            if tag.startswith(("sha256-", "sha512-")) and "." not in tag:
                self.lists.add(manifest.digest)
        if manifest.subject is None:
            return False
        known = await self.spot.keeps_account(manifest.subject.digest)
        if not (self.order.accounts if known is None else known):
            return False
        listed = replace(manifest.descriptor, artifact_type=manifest.artifact_type)
        self._referring[manifest.subject.digest][manifest.digest] = listed
        return True

    def _got(self, descriptor: Descriptor, fate: Fate) -> None:
        self.blobs.add(descriptor.digest)
        self.world.trees.sizes.setdefault(descriptor.digest, descriptor.size)
        self.tally[self.host, fate][descriptor.digest] += 1


class _Session:
    """An upload by which nothing is sent."""

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        raise AssertionError("a blob was to be sent")

    async def abandon(self) -> None:
        """Do nothing."""


class Rehearsed:
    """
    The repositories of one rehearsal, with what is counted there; see `ocync.plan.discover.Repositories`.

    It is what moves blobs, too (`ocync.transfer.blob_reads.BlobMover`).
    """

    def __init__(self, world: World, order: Order) -> None:
        self.tally: Tally = defaultdict(Counter)
        self.targets: dict[Key, RecordedTarget] = {}
        self.images: defaultdict[Key, set[Digest]] = defaultdict(set)
        """What is copied, by where it comes from."""
        self._world = world
        self._order = order
        self._sources: dict[Key, Recorded] = {}
        self._expected: dict[tuple[str, Digest], set[str]] = {}
        """Target hosts for which a read of a blob is kept, by the host that it is read at."""

    def source(self, registry: RegistryConfig, repository: RepositoryName) -> Recorded:
        """Return a repository to read from."""
        spot = self._world.spot(registry, repository, is_target=False)
        return self._sources.setdefault(spot.key, Recorded(spot, self._world, self.tally, self._order))

    def target(self, registry: RegistryConfig, repository: RepositoryName) -> RecordedTarget:
        """Return a repository to write to."""
        spot = self._world.spot(registry, repository, is_target=True)
        holds = partial(self._holds, registry, repository)
        made = RecordedTarget(spot, self._world, self.tally, self._order, holds=holds)
        return self.targets.setdefault(spot.key, made)

    async def _holds(
        self, registry: RegistryConfig, mounting: RepositoryName, path: str, descriptor: Descriptor
    ) -> bool:
        """
        Return whether the repository with the path, beside the one that mounts, holds a blob.

        It is asked, uncounted, where nobody has seen that (a hint).
        """
        holder = self.target(registry, replace(mounting, path=path))
        # What images of the same place consist of is taken to be there.
        if (holder.host, path, False) in self._sources or descriptor.digest in holder.blobs:
            return True
        with suppress(OcyncError):
            return await holder.really_has(descriptor)
        return False

    async def send(self, delivery: Delivery, source: Repository, *, nearer: Repository | None = None) -> None:
        """Record that a blob is read and sent."""
        repository, blob, reader = delivery.repository, delivery.blob, (nearer or source).host
        assert isinstance(repository, RecordedTarget)
        self.tally[reader, Fate.READ][blob.digest] = 1
        expected = self._expected.pop((reader, blob.digest), set())
        # A read is kept for the other targets of its image. Others take part if they come in time.
        self.tally[reader, Fate.READ_APART][blob.digest] += repository.host not in expected
        expected |= delivery.image.hosts if delivery.image is not None else set()
        expected.discard(repository.host)
        if expected:
            self._expected[reader, blob.digest] = expected
        await repository.receive(blob)

    def changed(self) -> None:
        """Do nothing: nobody waits."""

    def copied(self, plan: ImagePlan, tree: Tree) -> None:
        """Record that an image is copied, and what it consists of."""
        source, target = plan.candidate.source, plan.candidate.target.repository
        assert isinstance(target, RecordedTarget)
        self._world.trees.add(tree.manifests)
        self.images[source.host, source.path, False].add(tree.root.digest)
        target.copied.add(tree.root.digest)
