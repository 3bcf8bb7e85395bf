"""
The repositories of a rehearsal: reads are answered from the snapshot, writes are recorded and not sent.

Later reads see recorded writes, so that the engine sees its own work as in a pass.
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
    """A repository in a rehearsal: an `ocync.oci.repository.Repository`."""

    def __init__(self, observed: ObservedRepository, snapshot: Snapshot, tally: Tally, order: Order) -> None:
        self.observed, self.snapshot, self.tally, self.order = observed, snapshot, tally, order
        inner = observed.inner
        self.name, self.host, self.path = inner.name, inner.host, inner.path
        self.slots, self.blob_slots, self.upload_slots = inner.slots, inner.blob_slots, inner.upload_slots

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def answers(self, within: float) -> bool:
        """Return whether the host answers within so many seconds."""
        return await self.observed.inner.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.TAG_LIST][self.observed.key, True] += 1
        return await self.observed.ask("tags", "", self.observed.inner.tags, ())

    async def first_tags(self) -> TagPage:
        """Return the tags of one request."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.TAG_LIST][self.observed.key, False] += 1
        return await self.observed.ask(
            "first_tags", "", self.observed.inner.first_tags, TagPage(tags=(), complete=True)
        )

    async def head(self, reference: str) -> Descriptor | None:
        """Return the descriptor of a tag or digest."""
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
            # By digest, as it depends on the order of images whether a tag or a digest is requested.
            name = str(manifest.digest)
            return manifest
        finally:
            self._count(RequestKind.MANIFEST_GET, name)

    async def _read(self, reference: str, size: int | None) -> Manifest:
        return await self.observed.read(reference, size, self.snapshot.origins)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return the referrers of a manifest."""
        await self.order.take(self.name)
        self.tally[self.host, RequestKind.REFERRERS][self.observed.key] += 1
        return await self.observed.ask("referrers", subject, lambda: self.observed.inner.referrers(subject), ())

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Raise AssertionError: no blob is read."""
        raise AssertionError(f"a rehearsal reads a blob at {self.name}")

    def _count(self, what: RequestKind, reference: str) -> None:
        # The hash saves millions of strings.
        self.tally[self.host, what][hash((self.path, reference))] += 1


class RecordedTarget(RecordedRepository):
    """A target in a rehearsal: an `ocync.oci.repository.TargetRepository`."""

    def __init__(
        self,
        observed: ObservedRepository,
        snapshot: Snapshot,
        tally: Tally,
        order: Order,
        *,
        holds: Callable[[str, Descriptor], Awaitable[bool]],
    ) -> None:
        """`holds` returns whether a repository of the same host, by its path, holds a blob."""
        super().__init__(observed, snapshot, tally, order)
        self.mounts_after_commit = observed.inner.mounts_after_commit
        self.blobs: set[Digest] = set()
        """Blobs that were seen or written."""
        self.put: dict[Digest, Manifest | None] = {}
        """Manifests that were put; None for those that `Snapshot.origins` can read again."""
        self.copied: set[Digest] = set()
        """Images that were copied."""
        self.lists: set[Digest] = set()
        """Lists of referrers among the manifests."""
        self._holds = holds
        self._tags: dict[str, Digest] = {}
        self._referring: defaultdict[Digest, dict[Digest, Descriptor]] = defaultdict(dict)
        self._sessions: set[Digest] = set()
        """Blobs for which a refused mount has opened a session."""

    # Reads: recorded writes take precedence

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        try:
            found = await super().tags()
        except NotFoundError:
            # As in a pass.
            found = ()
        self.observed.is_empty |= not found
        return tuple(dict.fromkeys((*found, *self._tags)))

    async def first_tags(self) -> TagPage:
        """Return the tags of one request."""
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
        """Return the referrers of a manifest."""
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
        """Return whether the real repository is known to hold the blob, without counting the request."""
        look = partial(self.observed.inner.has_blob, descriptor)
        return bool(await self.observed.ask("blob", descriptor.digest, look, False))

    # Writes

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """Mount the blob if the other repository holds it, as registries do."""
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
        """Record a blob that is sent."""
        await self.order.take(self.name, writing=True)
        self._got(descriptor, Fate.SENT)
        # A refused mount has opened a session. Otherwise there is a POST; the host decides whether a PUT follows.
        kind = RequestKind.BLOB_PUT if descriptor.digest in self._sessions else RequestKind.BLOB_POST
        self._sessions.discard(descriptor.digest)
        self.tally[self.host, kind][descriptor.digest] += 1

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Record a manifest; return whether the host would list it among the referrers of its subject."""
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
    """An upload that is never sent."""

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        raise AssertionError("a rehearsal sends a blob")

    async def abandon(self) -> None:
        """Do nothing."""


class Rehearsal:
    """
    The repositories of one rehearsal and its tally: an `ocync.plan.discover.Repositories`.

    It is also the pass's `ocync.transfer.blob_reads.BlobMover`.
    """

    def __init__(self, snapshot: Snapshot, order: Order) -> None:
        self.tally: Tally = defaultdict(Counter)
        self.targets: dict[Key, RecordedTarget] = {}
        self.images: defaultdict[Key, set[Digest]] = defaultdict(set)
        """Copied images by source."""
        self._snapshot = snapshot
        self._order = order
        self._sources: dict[Key, RecordedRepository] = {}
        self._expected: dict[tuple[str, Digest], set[str]] = {}
        """Target hosts that a read of a blob waits for, by the source host and the blob."""

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
        Return whether the repository with the path, on the host of the one that mounts, holds a blob.

        If a hint named it, the real repository is asked, without counting the request.
        """
        holder = self.target(registry, replace(mounting, path=path))
        # A source on the same host is assumed to be complete.
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
        # A read waits for the other targets of its image. Others share it if they come in time.
        self.tally[reader, Fate.READ_APART][blob.digest] += repository.host not in expected
        expected |= delivery.image.hosts if delivery.image is not None else set()
        expected.discard(repository.host)
        if expected:
            self._expected[reader, blob.digest] = expected
        await repository.receive(blob)

    def changed(self) -> None:
        """Do nothing: no transfer waits."""

    def copied(self, plan: ImagePlan, tree: Tree) -> None:
        """Record that an image is copied, with its content."""
        source, target = plan.candidate.source, plan.candidate.target.repository
        assert isinstance(target, RecordedTarget)
        self._snapshot.trees.add(tree.manifests)
        self.images[source.host, source.path, False].add(tree.root.digest)
        target.copied.add(tree.root.digest)
