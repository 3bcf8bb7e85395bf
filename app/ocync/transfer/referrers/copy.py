"""
What is attached to images, at their targets: compared in every pass, brought where it is missing.

Images share manifests, and so what is attached to these: each is seen to once for every target repository, and all
images that have it are told how it went.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.lib.singleflight import Memo
from ocync.transfer.referrers.attach import Attaching, Brought

if TYPE_CHECKING:
    from ocync.oci.digest import Digest
    from ocync.oci.repository import Repository
    from ocync.plan.attachments import Attached
    from ocync.plan.budget import Budget
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.destination import Destination
    from ocync.transfer.tag_conflicts import Rivals
    from ocync.transfer.tree import ManifestReader

_Key = tuple["Digest", frozenset[tuple["Digest", str]], str, str, bool]


class ArtifactCopy:
    """Brings artifacts to targets; made for one pass."""

    def __init__(self, mover: BlobMover, reader: ManifestReader, rivals: Rivals, *, dry_run: bool = False) -> None:
        """`rivals` are the sources of targets that have several."""
        self._attaching = Attaching(mover, reader, rivals, dry_run=dry_run)
        self._brought: Memo[_Key, Brought] = Memo()

    def __repr__(self) -> str:
        return f"<ArtifactCopy: {len(self._brought)} manifests seen to>"

    def forget_failures(self) -> None:
        """Let everything that failed be tried again."""
        self._brought.keep_only(lambda brought: brought.error is None)

    async def bring(
        self, attached: Attached, source: Repository, destination: Destination, budget: Budget, *, is_deep: bool
    ) -> Brought:
        """
        Bring what is attached to one manifest; the result tells how it went, and nothing is raised for that.

        With `is_deep` all is looked for that artifacts list which are there.
        """
        is_first = False

        async def bring() -> Brought:
            nonlocal is_first
            is_first = True
            # What is counted is the image's, whatever becomes of the image itself meanwhile.
            beside = destination.beside()
            try:
                return await self._attaching.bring(attached, source, beside, budget, is_deep=is_deep)
            finally:
                destination.blobs += beside.blobs
                destination.bytes_transferred += beside.bytes_transferred
                destination.lost += beside.lost
                destination.repaired += beside.repaired

        key = (attached.subject, attached.contents, source.name, destination.repository.name, is_deep)
        brought = await self._brought.get(key, bring)
        return brought if is_first else replace(brought, transferred=0)
