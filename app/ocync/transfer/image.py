"""
One image to all targets that need it: blobs, then child manifests, then the index, then the tag.

A manifest is put where all that it lists is; a tag therefore never points to something incomplete.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.concurrency import each_of
from ocync.errors import OcyncError, ProtocolError
from ocync.oci import media
from ocync.transfer.blob import bring_blob
from ocync.transfer.ledger import Lead, Present, Wait
from ocync.transfer.trust import is_about_parts, learn_to_trust, names_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.endpoint import Repository
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.transfer.mounts import Mounts, Unit

log = logging.getLogger(__name__)

# Real images have an index of manifests; an index in an index is rare. Who nests deeper than this wants to see us
# work for nothing.
MAX_DEPTH = 50


class ImageCopy:
    """The copy of images and artifacts from one source."""

    def __init__(self, source: Repository, policy: RetryPolicy) -> None:
        self._source = source
        self._policy = policy
        self._units: dict[tuple[int, Digest], tuple[Unit, Mounts]] = {}
        """What others may wait for, by the `id` of its destination."""

    def close(self) -> None:
        """Let go on who waits for manifests that will not be put. To be called in the end, whatever happens."""
        for unit, mounts in self._units.values():
            mounts.end(unit, committed=False)
        self._units.clear()

    async def contents(
        self,
        manifest: Manifest,
        destinations: Sequence[Destination],
        *,
        depth: int = 0,
        is_immediate: bool = False,
    ) -> None:
        """
        Hold afterwards, for each destination, that all is there that the manifest lists, or that it failed.

        `is_immediate` says that the manifest is put then, whatever else happens; that of a child always is.
        """
        if depth == 0:
            await self._begin(destinations)
        if depth > MAX_DEPTH:
            self._fail(destinations, ProtocolError(f"an index of {self._source.name} is nested too deep"))
            return

        async def bring(part: Descriptor) -> None:
            if manifest.is_index and media.is_manifest_like(part.media_type):
                await self.child(part, destinations, depth=depth)
            elif not part.is_foreign:
                await bring_blob(part, self._source, destinations, self._policy, units)

        units = self._begin_units(manifest, destinations, is_immediate=is_immediate or depth > 0)
        parts = {part.digest: part for part in (*manifest.children, *manifest.blobs)}
        await each_of(_in_order(parts.values()), bring)
        for destination in destinations:
            if not destination.alive:
                self._end_unit(manifest, destination, committed=False)

    def _begin_units(
        self, manifest: Manifest, destinations: Sequence[Destination], *, is_immediate: bool
    ) -> dict[int, Unit]:
        # An index waits for its children besides, so nobody waits for it.
        if manifest.is_index:
            return {}
        blobs = [blob.digest for blob in manifest.blobs if not blob.is_foreign]
        for destination in destinations:
            key, mounts = (id(destination), manifest.digest), destination.ledger.mounts
            if key not in self._units:
                unit = mounts.begin(destination.repository, blobs, is_immediate=is_immediate)
                if unit is not None:
                    self._units[key] = (unit, mounts)
        return {
            id(destination): self._units[id(destination), manifest.digest][0]
            for destination in destinations
            if (id(destination), manifest.digest) in self._units
        }

    def _end_unit(self, manifest: Manifest, destination: Destination, *, committed: bool) -> None:
        begun = self._units.pop((id(destination), manifest.digest), None)
        if begun is not None:
            begun[1].end(begun[0], committed=committed)
        elif committed:
            destination.ledger.mounts.committed(destination.repository.path, (b.digest for b in manifest.blobs))

    async def child(self, child: Descriptor, destinations: Sequence[Destination], *, depth: int = 0) -> None:
        """Hold afterwards, for each destination, that a manifest is there under its digest, or that it failed."""
        owned: list[tuple[Destination, bool]] = []
        async with asyncio.TaskGroup() as group:
            for destination in destinations:
                error = destination.ledger.failure(self._source, destination.repository, child.digest)
                if error is not None:
                    destination.fail(error)
                if not destination.alive:
                    continue
                match destination.ledger.claim_manifest(destination.repository, child.digest):
                    case Present(believed):
                        destination.believing |= believed
                    case Wait(until):
                        group.create_task(self._child_again(child, destination, until, depth=depth))
                    case Lead(first):
                        owned.append((destination, first.look))
            if owned:
                await self._own_child(child, owned, depth=depth)

    async def _child_again(
        self, child: Descriptor, destination: Destination, until: asyncio.Future[None], *, depth: int
    ) -> None:
        await asyncio.shield(until)
        await self.child(child, [destination], depth=depth)

    async def _own_child(self, child: Descriptor, owned: Sequence[tuple[Destination, bool]], *, depth: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                lookups = [
                    group.create_task(self._is_there(child, destination, look=look)) for destination, look in owned
                ]
            needing = [
                destination
                for (destination, _), there in zip(owned, lookups, strict=True)
                if not there.result() and destination.alive
            ]
            if not needing:
                return
            try:
                manifest = await self._source.manifest(str(child.digest), size=child.size)
            except OcyncError as error:
                for destination in needing:
                    destination.ledger.failed(self._source, destination.repository, child.digest, error)
                self._fail(needing, error)
                return
            await self.contents(manifest, needing, depth=depth + 1)
            await self.put(manifest, needing, None, depth=depth + 1)
        finally:
            for destination, _ in owned:
                destination.ledger.release_manifest(destination.repository, child.digest)

    async def _is_there(self, child: Descriptor, destination: Destination, *, look: bool) -> bool:
        if destination.is_empty:
            return False
        destination.ledger.recall.spared(asked=look)
        if not look:
            return False
        try:
            there = await destination.repository.head(str(child.digest)) is not None
        except OcyncError as error:
            destination.fail(error)
            return False
        if there:
            destination.ledger.manifest_arrived(destination.repository, child.digest)
        else:
            destination.ledger.recall.manifest_missed(destination.repository, child.digest)
        return there

    async def blob(self, blob: Descriptor, destinations: Sequence[Destination]) -> None:
        """Hold afterwards, for each destination, that a blob is there, or that it failed."""
        await bring_blob(blob, self._source, destinations, self._policy)

    async def put(
        self, manifest: Manifest, destinations: Sequence[Destination], tag: str | None, *, depth: int = 0
    ) -> set[int]:
        """
        Store the manifest under a tag or its digest wherever nothing has failed so far.

        Returns the `id` of each destination whose place takes account of the manifest's subject itself. Where it is
        refused and memory was believed about what it lists, that is looked for, and it is tried once more.
        """
        accounted = set[int]()

        async def put(destination: Destination) -> None:
            try:
                if await self._put(manifest, destination, tag, depth=depth):
                    accounted.add(id(destination))
            except OcyncError as error:
                destination.fail(error)
                if tag is None:
                    destination.ledger.failed(self._source, destination.repository, manifest.digest, error)
            else:
                if destination.alive:
                    destination.ledger.manifest_arrived(destination.repository, manifest.digest)
                    self._end_unit(manifest, destination, committed=True)
            finally:
                self._end_unit(manifest, destination, committed=False)

        await each_of([destination for destination in destinations if destination.alive], put)
        for destination in destinations:
            self._end_unit(manifest, destination, committed=False)
        return accounted

    async def put_once(self, manifest: Manifest, destinations: Sequence[Destination]) -> None:
        """Store the manifest under its digest wherever this pass has neither seen it nor stored it."""

        async def put(destination: Destination) -> None:
            ledger, repository = destination.ledger, destination.repository
            while not isinstance(claim := ledger.claim_manifest(repository, manifest.digest), Lead):
                if isinstance(claim, Wait):
                    await asyncio.shield(claim.until)
                elif claim.believed:
                    # Nobody has seen it here: it is as easily put as looked for.
                    ledger.unbelieved(repository, manifest.digest)
                else:
                    return
            try:
                await self.put(manifest, [destination], None)
            finally:
                ledger.release_manifest(repository, manifest.digest)

        await each_of([destination for destination in destinations if destination.alive], put)

    async def _put(self, manifest: Manifest, destination: Destination, tag: str | None, *, depth: int) -> bool:
        try:
            return await destination.repository.put_manifest(manifest, tag=tag)
        except OcyncError as error:
            if destination.believing and is_about_parts(error):
                destination.ledger.disbelieve(destination.repository)
            elif not (names_parts(error) and await self._has_lost(manifest, destination)):
                raise
        await self.contents(manifest, [destination], depth=depth)
        return destination.alive and await destination.repository.put_manifest(manifest, tag=tag)

    async def _has_lost(self, manifest: Manifest, destination: Destination) -> bool:
        """Tell whether what this pass has seen or brought is there no more, as where a clean-up runs meanwhile."""
        repository = destination.repository
        lost: list[Descriptor] = []

        async def look(part: Descriptor) -> None:
            if manifest.is_index and media.is_manifest_like(part.media_type):
                found = await repository.head(str(part.digest)) is not None
            else:
                found = part.is_foreign or await repository.has_blob(part)
            if not found:
                lost.append(part)

        await each_of((*manifest.children, *manifest.blobs), look)
        for part in lost:
            destination.ledger.lost(repository, part.digest, is_new=True)
        if lost:
            log.warning(
                "%s has lost %d parts of an image that it had before; they are brought again",
                repository.name,
                len(lost),
            )
        return bool(lost)

    async def _begin(self, destinations: Sequence[Destination]) -> None:
        for destination in destinations:
            destination.ledger.recall.begin(destination.repository, is_empty=destination.is_empty)
        async with asyncio.TaskGroup() as group:
            for destination in destinations:
                if not destination.is_empty:
                    group.create_task(self._learn_to_trust(destination))

    async def _learn_to_trust(self, destination: Destination) -> None:
        await learn_to_trust(destination.ledger.recall, destination.repository)
        if not destination.ledger.recall.may_believe(destination.repository):
            destination.ledger.drop_beliefs(destination.repository)

    def _fail(self, destinations: Sequence[Destination], error: OcyncError) -> None:
        for destination in destinations:
            destination.fail(error)


def _in_order(parts: Iterable[Descriptor]) -> list[Descriptor]:
    """
    Return the parts in the order in which they are begun: what takes longest should not begin last.

    The smallest goes before all: it shows how a target takes blobs, and is gone in a moment.
    """
    largest_first = sorted(parts, key=lambda part: part.size, reverse=True)
    return largest_first[-1:] + largest_first[:-1]
