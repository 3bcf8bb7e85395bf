"""
One image to all targets that need it: blobs, then child manifests, then the index, then the tag.

A manifest is put where all that it lists is; a tag therefore never points to something incomplete.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ocync.concurrency import each_of
from ocync.errors import OcyncError, ProtocolError
from ocync.oci import media
from ocync.transfer.blob import bring_blob
from ocync.transfer.ledger import Lead, Present, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.endpoint import Repository
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.destination import Destination

# Real images have an index of manifests; an index in an index is rare. Who nests deeper than this wants to see us
# work for nothing.
MAX_DEPTH = 100


class ImageCopy:
    """The copy of images and artifacts from one source."""

    def __init__(self, source: Repository, policy: RetryPolicy) -> None:
        self._source = source
        self._policy = policy

    async def contents(self, manifest: Manifest, destinations: Sequence[Destination], *, depth: int = 0) -> None:
        """Hold afterwards, for each destination, that all is there that the manifest lists, or that it failed."""
        if depth > MAX_DEPTH:
            self._fail(destinations, ProtocolError(f"an index of {self._source.name} is nested too deep"))
            return

        async def bring(part: Descriptor) -> None:
            if manifest.is_index and media.is_manifest_like(part.media_type):
                await self._child(part, destinations, depth=depth)
            elif not part.is_foreign:
                await bring_blob(part, self._source, destinations, self._policy)

        parts = {part.digest: part for part in (*manifest.children, *manifest.blobs)}
        await each_of(parts.values(), bring)

    async def _child(self, child: Descriptor, destinations: Sequence[Destination], *, depth: int) -> None:
        owned: list[Destination] = []
        async with asyncio.TaskGroup() as group:
            for destination in destinations:
                error = destination.ledger.failure(self._source, destination.repository, child.digest)
                if error is not None:
                    destination.fail(error)
                if not destination.alive:
                    continue
                match destination.ledger.claim_manifest(destination.repository, child.digest):
                    case Present():
                        pass
                    case Wait(until):
                        group.create_task(self._child_again(child, destination, until, depth=depth))
                    case Lead():
                        owned.append(destination)
            if owned:
                await self._own_child(child, owned, depth=depth)

    async def _child_again(
        self, child: Descriptor, destination: Destination, until: asyncio.Future[None], *, depth: int
    ) -> None:
        await asyncio.shield(until)
        await self._child(child, [destination], depth=depth)

    async def _own_child(self, child: Descriptor, destinations: Sequence[Destination], *, depth: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                lookups = [group.create_task(self._is_there(child, destination)) for destination in destinations]
            needing = [
                destination
                for destination, there in zip(destinations, lookups, strict=True)
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
            await self.put(manifest, needing, None)
        finally:
            for destination in destinations:
                destination.ledger.release_manifest(destination.repository, child.digest)

    async def _is_there(self, child: Descriptor, destination: Destination) -> bool:
        if destination.is_empty:
            return False
        try:
            there = await destination.repository.head(str(child.digest)) is not None
        except OcyncError as error:
            destination.fail(error)
            return False
        if there:
            destination.ledger.manifest_arrived(destination.repository, child.digest)
        return there

    async def put(self, manifest: Manifest, destinations: Sequence[Destination], tag: str | None) -> set[int]:
        """
        Store the manifest under a tag or its digest wherever nothing has failed so far.

        Returns the `id` of each destination whose place takes account of the manifest's subject itself.
        """
        accounted = set[int]()

        async def put(destination: Destination) -> None:
            try:
                if await destination.repository.put_manifest(manifest, tag=tag):
                    accounted.add(id(destination))
            except OcyncError as error:
                destination.fail(error)
                if tag is None:
                    destination.ledger.failed(self._source, destination.repository, manifest.digest, error)
            else:
                destination.ledger.manifest_arrived(destination.repository, manifest.digest)

        await each_of([destination for destination in destinations if destination.alive], put)
        return accounted

    def _fail(self, destinations: Sequence[Destination], error: OcyncError) -> None:
        for destination in destinations:
            destination.fail(error)
