"""Reading files of a layout, which may be anything: huge, growing, or no files at all."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocync.layout.disk_errors import told
from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells two contents of a file apart without reading them; times are in nanoseconds since 1970."""

    device: int
    inode: int
    owner: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file of this status."""
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            owner=status.st_uid,
            size=status.st_size,
            modified=status.st_mtime_ns,
            changed=status.st_ctime_ns,
        )

    @classmethod
    def at(cls, path: Path) -> Stamp | None:
        """Return the stamp of the regular file in this place, None where there is none; raises StorageError."""
        with told("read", path):
            try:
                status = path.lstat()
            except FileNotFoundError:
                return None
        return cls.of(status) if stat.S_ISREG(status.st_mode) else None

    def is_as(self, other: Stamp) -> bool:
        """Return whether it is of the same file and content, whether or not the file got or lost a name since."""
        return self == replace(other, changed=self.changed)


class Reader:
    """
    A file that is read once from its start; everything here blocks and raises StorageError.

    A context manager which opens and closes; `open` and `close` are there for those that can't use one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.stamp = Stamp(0, 0, 0, 0, 0, 0)
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
        self.stamp = Stamp.of(status)

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

    def stamp_now(self) -> Stamp:
        """Return the stamp of the open file as it is now."""
        with told("read", self.path):
            return Stamp.of(os.fstat(self._fd))

    def close(self) -> None:
        """Close the file, if it is open."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
