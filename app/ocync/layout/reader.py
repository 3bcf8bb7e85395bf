"""Reading files of a layout, which may be anything: huge, growing, or no files at all."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.errors import StorageError
from ocync.layout.problem import told

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells two contents of a file apart without reading them."""

    inode: int
    size: int
    modified: int
    changed: int


class Reader:
    """
    A file that is read once from its start; everything here blocks and raises StorageError.

    A context manager which opens and closes; `open` and `close` are there for those that can't use one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.stamp = Stamp(0, 0, 0, 0)
        self._fd = -1

    def __enter__(self) -> Reader:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the file; anything but a regular file is refused."""
        with told("read", self.path):
            # Without O_NONBLOCK a pipe would be waited for.
            self._fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError(f"can't read {self.path}: it is not a file", hint="remove it")
        self.size = status.st_size
        self.stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def read(self, count: int) -> bytes:
        """Return the next bytes, `count` at most; none at the end."""
        with told("read", self.path):
            return os.read(self._fd, count)

    def skip(self, count: int) -> None:
        """Go on behind so many bytes."""
        with told("read", self.path):
            os.lseek(self._fd, count, os.SEEK_CUR)

    def read_all(self, limit: int) -> bytes:
        """Return all bytes; raises StorageError when there are more than `limit`."""
        pieces = bytearray()
        while piece := self.read(min(limit + 1 - len(pieces), 1024 * 1024)):
            pieces += piece
            if len(pieces) > limit:
                raise StorageError(f"can't read {self.path}: it is longer than {limit} bytes")
        return bytes(pieces)

    def close(self) -> None:
        """Close the file, if it is open."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
