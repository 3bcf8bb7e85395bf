"""The blobs in a folder whose bytes match their digests."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.layout.files import Reader, Stamp
from ocync.lib.errors import StorageError, VerificationError
from ocync.lib.singleflight import Flights
from ocync.lib.threads import in_thread
from ocync.oci.digest import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor

_PIECE = 1024 * 1024
# More readers gain nothing on a disk, and each holds a piece.
_READERS = 4
_logger = logging.getLogger(__name__)


class HashedBlobs:
    """
    The results of hashing blobs: each file is hashed once, and again if its stamp has changed.

    One object serves all layouts of a folder, which may share files by hard links, during one pass: damage by the
    disk changes no stamp.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, Digest], tuple[Stamp, bool]] = {}
        self._flights: Flights[tuple[Stamp, Digest], Stamp | None] = Flights()
        self._readers = asyncio.Semaphore(_READERS)

    def __repr__(self) -> str:
        return f"<HashedBlobs: {len(self._known)}>"

    def learn(self, stamp: Stamp, digest: Digest, *, is_sound: bool = True) -> None:
        """Record whether the bytes of a file hash to the digest."""
        self._known[stamp.device, stamp.inode, digest] = stamp, is_sound

    def is_damaged(self, stamp: Stamp, digest: Digest) -> bool:
        """Return whether a file was hashed and does not match the digest."""
        return self._known.get((stamp.device, stamp.inode, digest)) == (stamp, False)

    async def check(self, path: Path, blob: Descriptor) -> Stamp | None:
        """
        Return the stamp of a file that holds the blob; None for any other, with a warning if it is damaged.

        A file that was not hashed before is read to its end. Raises StorageError if not even its size can be read.
        """
        stamp = await in_thread(Stamp.at, path)
        if stamp is None or stamp.size != blob.size:
            return None
        known = self._known.get((stamp.device, stamp.inode, blob.digest))
        if known is not None and known[0] == stamp:
            return stamp if known[1] else None
        return await self._flights.run((stamp, blob.digest), lambda: self._hash(path, stamp, blob))

    async def _hash(self, path: Path, before: Stamp, blob: Descriptor) -> Stamp | None:
        verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=str(path))
        try:
            async with self._readers:
                stamp = await _read(path, verifier)
            verifier.finish()
        except (StorageError, VerificationError) as error:
            _logger.warning("unusable blob: %s", error)
            if isinstance(error, VerificationError):
                self.learn(before, blob.digest, is_sound=False)
            return None
        if not stamp.is_as(before):
            return None
        self.learn(stamp, blob.digest)
        return stamp


async def _read(path: Path, verifier: Verifier) -> Stamp:
    reader = Reader(path)

    def read() -> bool:
        piece = reader.read(_PIECE)
        verifier.update(piece)
        return bool(piece)

    try:
        await in_thread(reader.open)
        while await in_thread(read):
            pass
        return await in_thread(reader.stamp_now)
    finally:
        reader.close()
