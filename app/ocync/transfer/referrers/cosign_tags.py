"""
Signatures that were added at a target, under the tag of the source's signatures.

People who run a mirror may sign its images: cosign appends their signature to those from the source, under the same
tag. A target's tag that has all signatures of the source's is left alone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, NotFoundError, ProtocolError, VerificationError
from ocync.oci import referrers

if TYPE_CHECKING:
    from ocync.oci.manifest import Manifest
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.plan.attachments import AttachedTag

log = logging.getLogger(__name__)


class Wanted:
    """A tag of the source and its manifest, which is read once and only if needed."""

    def __init__(self, attached: AttachedTag, source: Repository) -> None:
        self.tag = attached.tag
        self.digest = attached.descriptor.digest
        self.source = source
        self.manifest = attached.manifest
        self._reading = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Wanted {self.source.name}:{self.tag}>"

    async def read(self) -> Manifest:
        """Return the manifest; raises OcyncError."""
        async with self._reading:
            if self.manifest is None:
                self.manifest = await self.source.manifest(str(self.digest))
        return self.manifest

    async def compare_with(self, target: TargetRepository) -> bool:
        """
        Return whether the target's tag has all signatures of the source's tag, and more.

        Log a warning if it has others and lacks some: these are lost when it is replaced. Raises OcyncError where
        the two cannot be compared.
        """
        if not referrers.is_signed(self.tag):
            return False
        wanted = await self.read()
        try:
            there = await target.manifest(self.tag)
        except (NotFoundError, AuthError, ProtocolError, VerificationError) as error:
            # Gone meanwhile, no manifest of signatures, or not shown.
            log.debug("%s:%s is replaced: %s", target.name, self.tag, error.message)
            return False
        own = referrers.layers_beyond(there, wanted)
        if own and not referrers.layers_beyond(wanted, there):
            log.debug("%s:%s has %d signatures more than that of %s", target.name, self.tag, own, self.source.name)
            return True
        if own:
            log.warning(
                "%s:%s is replaced by the newer signatures of %s, and signatures made only at the target are lost "
                "(%d); signatures by reference would stay",
                target.name,
                self.tag,
                self.source.name,
                own,
            )
        return False
