"""
Disk room for blobs that slow targets have still to take.

There is one file for each blob, in a folder of the cache. It has no name, so nothing is left if the process dies.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from typing import TYPE_CHECKING

from ocync.lib.errors import StorageError
from ocync.lib.threads import in_thread

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_MOST = 256
"""Files open at once: a process may have only so many."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Staging:
    """
    The disk room of one pass: `limit` bytes for all blobs together, 0 for none, None for no limit.

    Errors of the disk are logged once. A folder in which no file can be made is not tried again.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self._folder = folder
        self._limit = limit
        self._usable = limit != 0
        self._told = False
        self.used = 0
        """Bytes reserved at this moment."""
        self.open_files = 0

    async def open(self, size: int) -> Spool | None:
        """Reserve `size` bytes; None if there is no room."""
        if (
            not self._usable
            or self.open_files >= _MOST
            or (self._limit is not None and self.used + size > self._limit)
        ):
            return None
        spool = Spool(self, size)
        try:
            await in_thread(spool.make, self._folder)
        except OSError as error:
            spool.close()
            self._usable = False
            self.tell(error)
            return None
        except BaseException:
            spool.close()
            raise
        return spool

    def tell(self, error: OSError) -> None:
        """Log an error of the disk, the first time."""
        if not self._told:
            self._told = True
            why = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
            log.warning(
                "can't stage blobs for slow targets in %s: %s; what they lack is read from the source once more",
                self._folder,
                why,
            )


class Spool:
    """A file for one writing task and any number of readers; it must be closed."""

    def __init__(self, staging: Staging, size: int) -> None:
        self._staging = staging
        self._fd = -1
        self._is_closed = False
        self._size = size
        staging.used += size
        staging.open_files += 1
        self.length = 0
        """Bytes that can be read."""

    def make(self, folder: Path) -> None:
        """Create the unnamed file in the folder. Blocks; raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            self._fd = os.dup(file.fileno())

    async def append(self, piece: bytes) -> bool:
        """Write a piece; returns false, with nothing added, if the disk refuses it."""
        try:
            await in_thread(self._write, piece)
        except OSError as error:
            self._staging.tell(error)
            return False
        self.length += len(piece)
        return True

    def _write(self, piece: bytes) -> None:
        rest, at = memoryview(piece), self.length
        while rest:
            written = os.pwrite(self._fd, rest, at)
            rest, at = rest[written:], at + written

    async def read(self, at: int, count: int) -> bytes:
        """
        Return at most `count` bytes from the offset `at`.

        Raises a retryable StorageError.
        """
        try:
            # The memory is the loop's: the allocator keeps what is freed apart for each thread.
            data = bytearray(min(count, self.length - at))
            return bytes(memoryview(data)[: await in_thread(os.preadv, self._fd, [data], at)])
        except OSError as error:
            lost = StorageError(f"can't read what was staged on disk: {error.strerror}")
            lost.retryable = True
            raise lost from error

    def close(self) -> None:
        """Release the room; call it after the last read and write."""
        if self._is_closed:
            return
        self._is_closed = True
        self._staging.used -= self._size
        self._staging.open_files -= 1
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
