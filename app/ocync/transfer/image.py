"""
The copy of one image (or artifact) to one target: its blobs, then its manifests from the lowest up, then the tag.

A manifest is put only after this pass has seen all that it lists, so that a tag never leads to an incomplete image.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from ocync.lib.errors import NotFoundError, OcyncError, ProtocolError, RegistryError
from ocync.lib.looks import unless_refused
from ocync.lib.tasks import each_of
from ocync.oci import media
from ocync.plan.budget import Budget
from ocync.transfer.blob import bring_blob
from ocync.transfer.claims import Lead, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.destination import Destination
    from ocync.transfer.mounts import Unit
    from ocync.transfer.tree import ManifestReader, Tree

log = logging.getLogger(__name__)

# Attempts to put a manifest: a clean-up may delete its parts while it is copied.
_ROUNDS = 3
_CODES = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})


def is_about_parts(error: OcyncError) -> bool:
    """
    Return whether the refusal of a manifest may be caused by missing blobs or children.

    Registries do not agree on status and code: 404 or 400, MANIFEST_BLOB_UNKNOWN or just MANIFEST_INVALID.
    """
    return isinstance(error, NotFoundError) or (
        isinstance(error, RegistryError) and (error.status in (400, 404, 422) or error.code in _CODES)
    )


class ImageCopier:
    """Copies images and artifacts from one source to one target; `close` must be called in the end."""

    def __init__(
        self,
        source: Repository,
        destination: Destination,
        *,
        mover: BlobMover,
        reader: ManifestReader,
        budget: Budget,
        is_artifact: bool = False,
    ) -> None:
        self._source = source
        self._destination = destination
        self._repository = destination.repository
        self._claims = destination.claims
        self._mover = mover
        self._reader = reader
        self._budget = budget
        self._is_artifact = is_artifact
        self._units: dict[Digest, Unit] = {}
        """Manifests on their way that others may wait for."""

    def close(self) -> None:
        """End the waits for manifests that will not be put."""
        for unit in self._units.values():
            self._claims.mounts.end(unit, committed=False)
        self._units.clear()

    async def contents(self, root: Manifest, *, is_immediate: bool = False, is_there: bool = False) -> Tree:
        """
        Ensure that everything below the manifest is at the target; raises OcyncError.

        `is_immediate` says that the manifest itself is put right afterwards, as those below it always are.
        `is_there` says that the target has the manifest itself.
        """
        await self._budget.take(1, root.size)
        tree = await self._reader.tree(root, self._source, self._destination, self._budget)
        if is_there:
            tree.present.add(root.digest)
        await self.bring(tree, is_immediate=is_immediate)
        return tree

    async def bring(self, tree: Tree, *, is_immediate: bool = False) -> None:
        """Ensure that everything below the tree's root is at the target; raises OcyncError."""
        # Without an await in between: an image's manifests get consecutive numbers, so that no images wait in a
        # circle.
        for manifest in tree.manifests:
            self._begin_unit(manifest, is_immediate=is_immediate or manifest is not tree.root)
        needing: dict[Digest, list[Manifest]] = defaultdict(list)
        left: dict[Digest, int] = {}
        blobs: dict[Digest, Descriptor] = {}
        for manifest in tree.manifests:
            own = manifest.copied_blobs
            left[manifest.digest] = len(own)
            for blob in own:
                blobs[blob.digest] = blob
                needing[blob.digest].append(manifest)

        async def bring(blob: Descriptor) -> None:
            unit = self._units.get(needing[blob.digest][0].digest)
            is_likely = any(self._is_likely(blob, manifest, tree) for manifest in needing[blob.digest])
            await bring_blob(blob, self._source, self._destination, self._mover, unit, is_likely=is_likely)
            for manifest in needing[blob.digest]:
                left[manifest.digest] -= 1
                if not left[manifest.digest] and manifest is not tree.root and not manifest.children:
                    # As early as possible: blobs that a manifest lists are safe from clean-ups and can be mounted.
                    await self._put_child(manifest, tree)

        await each_of(_in_order(blobs.values()), bring)
        for level in reversed(tree.levels):
            await each_of(level, lambda manifest: self._put_child(manifest, tree))

    def _is_likely(self, blob: Descriptor, manifest: Manifest, tree: Tree) -> bool:
        """
        Return whether the target probably has a blob that a manifest lists.

        The config of a missing manifest is as new as the manifest, and so are the blobs of an artifact, except the
        empty config.
        """
        there = self._destination.there
        listed = there is not None and any(blob.digest == each.digest for each in there.blobs)
        if listed or manifest.digest in tree.present or self._destination.is_audited:
            return True
        if self._is_artifact:
            return blob.media_type == media.OCI_EMPTY
        return blob.digest != manifest.config and (there is None or there.is_index)

    async def _put_child(self, manifest: Manifest, tree: Tree) -> None:
        """Ensure that a manifest below the root is at the target; raises OcyncError."""
        if manifest.digest in tree.present and not self._claims.lacking(self._repository, manifest):
            self._claims.manifest_seen(self._repository, manifest.digest)
            self._end_unit(manifest, committed=True)
            return
        await self.put_once(manifest)

    async def put_once(self, manifest: Manifest) -> None:
        """Ensure that a manifest is at the target under its digest; raises OcyncError."""
        self._claims.check_failure(self._source, self._repository, manifest.digest)
        while not isinstance(claim := self._claims.claim_manifest(self._repository, manifest.digest), Lead):
            if not isinstance(claim, Wait):
                self._end_unit(manifest, committed=True)
                return
            await asyncio.wait([claim.flight.done])
        try:
            await self.put(manifest)
            self._destination.repaired += self._destination.is_audited
        finally:
            self._claims.release(self._repository, manifest.digest, claim.flight)

    async def put(self, manifest: Manifest, tag: str | None = None) -> bool:
        """
        Store the manifest under a tag or its digest; raises OcyncError.

        Returns whether the host links the manifest to its subject by itself. Parts that a clean-up has deleted
        meanwhile are copied again.
        """
        try:
            is_linked = await self._put(manifest, tag)
        except OcyncError as error:
            if tag is None:
                self._claims.failed(self._source, self._repository, manifest.digest, error)
            raise
        else:
            self._claims.manifest_seen(self._repository, manifest.digest)
            self._end_unit(manifest, committed=True)
            return is_linked
        finally:
            self._end_unit(manifest, committed=False)

    async def _put(self, manifest: Manifest, tag: str | None) -> bool:
        for left in reversed(range(_ROUNDS)):
            if self._claims.lacking(self._repository, manifest):
                # Lost meanwhile, as another image has found.
                await self._again(manifest)
            if self._claims.lacking(self._repository, manifest):
                continue
            try:
                return await self._repository.put_manifest(manifest, tag=tag)
            except OcyncError as error:
                if not left or not is_about_parts(error) or not await self._find_lost(manifest):
                    raise
        losing = ProtocolError(
            f"{self._repository.name} loses parts of {manifest.digest} as fast as they are copied",
            host=self._repository.host,
            hint="run no clean-up while images are copied",
        )
        losing.retryable = True
        raise losing

    async def _again(self, manifest: Manifest) -> None:
        # A budget without a gate: this task may hold a claim that others wait for.
        budget = Budget(self._repository.name, self._source.host)
        await self.bring(await self._reader.tree(manifest, self._source, self._destination, budget))

    async def _find_lost(self, manifest: Manifest) -> bool:
        """Return whether the target does not show parts of the manifest, and record them as lost."""
        lost: list[Descriptor] = []

        async def look(part: Descriptor) -> None:
            if part in manifest.copied_children:
                found = await unless_refused(self._repository.head(str(part.digest))) is not None
            else:
                found = bool(await self._repository.has_blob(part))
            if not found:
                lost.append(part)

        await each_of((*manifest.copied_children, *manifest.copied_blobs), look)
        for part in lost:
            self._claims.lost(self._repository, part.digest)
        if lost:
            log.warning(
                "%s has lost %d parts of an image; they are copied again",
                self._repository.name,
                len(lost),
            )
        return bool(lost)

    # Mounts

    def _begin_unit(self, manifest: Manifest, *, is_immediate: bool) -> None:
        # An index also waits for its children, so no manifest waits for an index.
        if manifest.is_index or manifest.digest in self._units:
            return
        blobs = [blob.digest for blob in manifest.copied_blobs]
        unit = self._claims.mounts.begin(self._repository, blobs, is_immediate=is_immediate)
        if unit is not None:
            self._units[manifest.digest] = unit

    def _end_unit(self, manifest: Manifest, *, committed: bool) -> None:
        unit = self._units.pop(manifest.digest, None)
        if unit is not None:
            self._claims.mounts.end(unit, committed=committed)
        elif committed:
            self._claims.mounts.committed(self._repository.path, (blob.digest for blob in manifest.copied_blobs))


def _in_order(parts: Iterable[Descriptor]) -> list[Descriptor]:
    """
    Return the parts, largest first, since the longest transfer should not begin last.

    The smallest goes before all: it quickly shows how the target takes uploads.
    """
    largest_first = sorted(parts, key=lambda part: part.size, reverse=True)
    return largest_first[-1:] + largest_first[:-1]
