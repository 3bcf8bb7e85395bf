"""The part of one blob that is on disk while targets take it at different speeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError

if TYPE_CHECKING:
    from ocync.oci.digest import Verifier
    from ocync.transfer.staging import Spool, Staging

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a blob, its offset, and the verifier's state before it."""

    data: bytes
    start: int
    before: Verifier


class StagedBlob:
    """The pieces of a blob from one byte on, up to the first that the disk refused."""

    def __init__(self, staging: Staging | None, size: int) -> None:
        self._staging = staging
        self._size = size
        self._spool: Spool | None = None
        self._start = 0
        self._is_unreadable = False
        self.refused: Piece | None = None
        """The first piece that the disk refused; none are stored after it."""

    @property
    def is_open(self) -> bool:
        """Whether pieces have to be appended."""
        return self._spool is not None

    def is_intact(self, start: int) -> bool:
        """Return whether the disk has, or will have, everything from the byte `start` on."""
        is_whole = self._start == start and self.refused is None and not self._is_unreadable
        return self._spool is not None and is_whole

    def will_have(self, offset: int) -> bool:
        """Return whether the disk has, or will have, the piece at this offset."""
        if self._spool is None or offset < self._start:
            return False
        return self.refused is None or offset < self.refused.start

    async def open(self, start: int) -> None:
        """Reserve room for everything from the byte `start` on; stays closed if there is none."""
        if self._staging is not None:
            self._spool = await self._staging.open(self._size - start)
            self._start = start

    async def append(self, piece: Piece) -> None:
        """Store the next piece, unless the disk refused one."""
        if self._spool is None or self.refused is not None:
            return
        is_stored = False
        try:
            is_stored = await self._spool.append(piece.data)
        finally:
            # Only now, since branches look at it meanwhile; but also after a cancellation.
            if not is_stored:
                self.refused = piece

    async def read(self, offset: int) -> bytes:
        """Return bytes from this offset on, b"" if none are stored yet; raises StorageError."""
        at = offset - self._start
        if self._spool is None or not 0 <= at < self._spool.length:
            return b""
        try:
            return await self._spool.read(at, _PIECE)
        except OcyncError:
            # The upload's next attempt has to read from the source.
            self._is_unreadable = True
            raise

    def close(self) -> None:
        """Give the room back."""
        if self._spool is not None:
            self._spool.close()
