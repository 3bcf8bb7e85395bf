"""Which blobs in a folder hold the bytes that their names promise."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.layout.reader import Reader, Stamp
from ocync.lib.errors import StorageError, VerificationError
from ocync.lib.singleflight import Flights
from ocync.lib.threads import in_thread
from ocync.oci.digest import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor

_PIECE = 1024 * 1024
# A disk gains nothing by more readers than this, and each holds a piece.
_AT_ONCE = 4
_logger = logging.getLogger(__name__)


class Sound:
    """
    What is known of the bytes of blobs: each file is hashed once, and anew where its stamp has changed.

    One for all layouts of a folder, and for one pass: what a disk damages changes no stamp. A blob that several
    layouts share is one file.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, Digest], tuple[Stamp, bool]] = {}
        self._flights: Flights[tuple[Stamp, Digest], Stamp | None] = Flights()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def __repr__(self) -> str:
        return f"<Sound: {len(self._known)} blobs are known>"

    def learn(self, stamp: Stamp, digest: Digest, *, is_sound: bool = True) -> None:
        """Record whether the bytes of a file hash to the digest."""
        self._known[stamp.device, stamp.inode, digest] = stamp, is_sound

    def is_damaged(self, stamp: Stamp, digest: Digest) -> bool:
        """Return whether a file was hashed, and not to the digest."""
        return self._known.get((stamp.device, stamp.inode, digest)) == (stamp, False)

    async def check(self, path: Path, blob: Descriptor) -> Stamp | None:
        """
        Return the stamp of a file that holds the blob; None for any other, with a warning where it is damaged.

        A file that was not hashed before is read to its end. Raises StorageError where not even its size is told.
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
            async with self._turns:
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
    """Read a file to its end; return its stamp of then."""
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
