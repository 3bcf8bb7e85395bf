"""
The places of a rehearsal: a pass reads there what both sides have, and what it writes is noted and sent nowhere.

What was written is answered for from then on, so that the engine sees its own work as in a pass.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ocync.analyze.model import RequestKind
from ocync.analyze.tally import Fate, Tally
from ocync.lib.errors import NotFoundError, OcyncError
from ocync.oci.digest import Digest
from ocync.oci.repository import TagPage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from ocync.analyze.snapshot import Key, ObservedRepository, Snapshot
    from ocync.analyze.tally import Order
    from ocync.config.model import RegistryConfig
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import Repository, Upload
    from ocync.plan.model import ImagePlan
    from ocync.transfer.blob_reads import Delivery
    from ocync.transfer.tree import Tree


class RecordedRepository:
    """A repository in a rehearsal; answers to `ocync.oci.repository.Repository`."""

    def __init__(self, observed: ObservedRepository, snapshot: Snapshot, tally: Tally, order: Order) -> None:
        self.observed, self.snapshot, self.tally, self.order = observed, snapshot, tally, order
        inner = observed.inner
        self.name, self.host, self.path = inner.name, inner.host, inner.path
        self.slots, self.blob_slots, self.upload_slots = inner.slots, inner.blob_slots, inner.upload_slots

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def answers(self, within: float) -> bool:
        """Wait for the place to answer; see endpoint.Repository."""
        return await self.observed.inner.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.TAG_LIST][self.observed.key, True] += 1
        return await self.observed.ask("tags", "", self.observed.inner.tags, ())

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.TAG_LIST][self.observed.key, False] += 1
        return await self.observed.ask(
            "first_tags", "", self.observed.inner.first_tags, TagPage(tags=(), complete=True)
        )

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to."""
        await self.order.take(self.name)
        self._count(RequestKind.MANIFEST_HEAD, reference)
        return await self._look(reference)

    async def _look(self, reference: str) -> Descriptor | None:
        return await self.observed.ask("head", reference, lambda: self.observed.inner.head(reference), None)

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
        return await self.observed.read(reference, size, self.snapshot.origins)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.REFERRERS][self.observed.key] += 1
        return await self.observed.ask("referrers", subject, lambda: self.observed.inner.referrers(subject), ())

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Refuse: no blob is read."""
        raise AssertionError(f"a blob was to be read at {self.name}")

    def _count(self, what: RequestKind, reference: str) -> None:
        # Millions of texts would be kept else.
        self.tally[self.host, what][hash((self.path, reference))] += 1


class RecordedTarget(RecordedRepository):
    """A repository that is written to, as far as the rehearsal goes; answers to TargetRepository."""

    def __init__(
        self,
        observed: ObservedRepository,
        snapshot: Snapshot,
        tally: Tally,
        order: Order,
        *,
        holds: Callable[[str, Descriptor], Awaitable[bool]],
    ) -> None:
        """`holds` tells whether a repository of the same place, by its path, holds a blob."""
        super().__init__(observed, snapshot, tally, order)
        self.mounts_after_commit = observed.inner.mounts_after_commit
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
        self.observed.is_empty |= not found
        return tuple(dict.fromkeys((*found, *self._tags)))

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags."""
        page = await super().first_tags()
        self.observed.is_empty |= page.complete and not page.tags
        return TagPage(tags=tuple(dict.fromkeys((*page.tags, *self._tags))), complete=page.complete)

    async def _look(self, reference: str) -> Descriptor | None:
        if self._written(reference) is None:
            return await super()._look(reference)
        return (await self._read(reference, None)).descriptor

    async def _read(self, reference: str, size: int | None) -> Manifest:
        written = self._written(reference)
        if written is None:
            return await super()._read(reference, size)
        return self.put[written] or await self.snapshot.origins[written]()

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
        return await self.observed.ask(
            "blob", descriptor.digest, lambda: self.observed.inner.has_blob(descriptor), False
        )

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
        """Take a manifest; tell whether the place would list it among the referrers of its subject."""
        await self.order.take(self.name, writing=True)
        self._count(RequestKind.MANIFEST_PUT, tag or str(manifest.digest))
        self.snapshot.trees.add([manifest])
        self.put[manifest.digest] = None if manifest.digest in self.snapshot.origins else manifest
        if tag is not None:
            self._tags[tag] = manifest.digest
            if tag.startswith(("sha256-", "sha512-")) and "." not in tag:
                self.lists.add(manifest.digest)
        if manifest.subject is None:
            return False
        known = await self.observed.will_list_referrers(manifest.subject.digest)
        if not (self.order.lists_referrers if known is None else known):
            return False
        listed = replace(manifest.descriptor, artifact_type=manifest.artifact_type)
        self._referring[manifest.subject.digest][manifest.digest] = listed
        return True

    def _got(self, descriptor: Descriptor, fate: Fate) -> None:
        self.blobs.add(descriptor.digest)
        self.snapshot.trees.sizes.setdefault(descriptor.digest, descriptor.size)
        self.tally[self.host, fate][descriptor.digest] += 1


class _Session:
    """An upload by which nothing is sent."""

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        raise AssertionError("a blob was to be sent")

    async def abandon(self) -> None:
        """Do nothing."""


class Rehearsal:
    """
    The places of one rehearsal, with what is counted there; answers to `ocync.plan.discover.Places`.

    It is what moves blobs, too (`ocync.transfer.blob_reads.BlobMover`).
    """

    def __init__(self, snapshot: Snapshot, order: Order) -> None:
        self.tally: Tally = defaultdict(Counter)
        self.targets: dict[Key, RecordedTarget] = {}
        self.images: defaultdict[Key, set[Digest]] = defaultdict(set)
        """What is copied, by where it comes from."""
        self._snapshot = snapshot
        self._order = order
        self._sources: dict[Key, RecordedRepository] = {}
        self._expected: dict[tuple[str, Digest], set[str]] = {}
        """Target places for which a read of a blob is kept, by the place that it is read at."""

    def source(self, registry: RegistryConfig, repository: RepositoryName) -> RecordedRepository:
        """Return a repository to read from."""
        observed = self._snapshot.observe(registry, repository, is_target=False)
        return self._sources.setdefault(
            observed.key, RecordedRepository(observed, self._snapshot, self.tally, self._order)
        )

    def target(self, registry: RegistryConfig, repository: RepositoryName) -> RecordedTarget:
        """Return a repository to write to."""
        observed = self._snapshot.observe(registry, repository, is_target=True)
        holds = partial(self._holds, registry, repository)
        made = RecordedTarget(observed, self._snapshot, self.tally, self._order, holds=holds)
        return self.targets.setdefault(observed.key, made)

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
        self._snapshot.trees.add(tree.manifests)
        self.images[source.host, source.path, False].add(tree.root.digest)
        target.copied.add(tree.root.digest)
