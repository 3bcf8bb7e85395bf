"""Files of a layout: reading what may be huge, growing or no file at all, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPACE = "free some space there, or use another folder"
_ACCESS = "give user id {uid} access to it (in Kubernetes: securityContext.fsGroup), or use another folder"

# The reason and the hint.
_KNOWN: dict[int, tuple[str, str | None]] = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EFBIG: (
        "the file would be larger than allowed",
        "raise the limit (ulimit -f), or use a filesystem that takes large files",
    ),
    errno.EROFS: ("the filesystem is read-only", "mount a writable volume there, or use another folder"),
    errno.EACCES: ("permission denied", _ACCESS),
    errno.EPERM: ("permission denied", _ACCESS),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "use another folder"),
    errno.EEXIST: ("a file is where a folder should be", "use another folder"),
    errno.EISDIR: ("it is a folder where a file should be", "remove it, or use another folder"),
    errno.ENAMETOOLONG: ("the path is too long for the filesystem", "use another folder"),
    errno.ELOOP: ("its symbolic links lead in a circle", "remove them"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
    errno.EIO: ("the disk does not work (input/output error)", "look at the disk, or use another folder"),
}


def storage_error(action: str, path: Path | str, error: OSError) -> StorageError:
    """Return the error that says what could not be done (`action` is an infinitive), where, why, and what to do."""
    reason, hint = _KNOWN.get(error.errno or 0, (error.strerror or type(error).__name__, None))
    if hint is not None:
        hint = hint.format(uid=os.geteuid())
    return StorageError(f"can't {action} {path}: {reason}", hint=hint)


@contextmanager
def storage_errors(action: str, path: Path | str) -> Iterator[None]:
    """Raise `storage_error` in place of an OSError of the block."""
    try:
        yield
    except OSError as error:
        raise storage_error(action, path, error) from error


@dataclass(frozen=True, slots=True)
class Stamp:
    """The metadata that changes with the content of a file; times are in nanoseconds since 1970."""

    device: int
    inode: int
    owner: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of a file with this status."""
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
        """Return the stamp of the regular file at a path, None if there is none; raises StorageError."""
        with storage_errors("read", path):
            try:
                status = path.lstat()
            except FileNotFoundError:
                return None
        return cls.of(status) if stat.S_ISREG(status.st_mode) else None

    def is_as(self, other: Stamp) -> bool:
        """Return whether both are of the same file and content; a hard link in between makes no difference."""
        return self == replace(other, changed=self.changed)


class Reader:
    """
    A file that is read once from its start; all methods block and raise StorageError.

    A context manager that opens and closes it, with `open` and `close` for callers that can't use one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.stamp = Stamp(0, 0, 0, 0, 0, 0)
        self._fd = -1

    def __enter__(self) -> Reader:
        self.open()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the file; raises StorageError for anything but a regular file."""
        with storage_errors("read", self.path):
            # Without O_NONBLOCK this would wait for the writer of a pipe.
            self._fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError(f"can't read {self.path}: it is not a file", hint="remove it")
        self.size = status.st_size
        self.stamp = Stamp.of(status)

    def read(self, count: int) -> bytes:
        """Return at most `count` bytes; none at the end."""
        with storage_errors("read", self.path):
            return os.read(self._fd, count)

    def skip(self, count: int) -> None:
        """Skip bytes."""
        with storage_errors("read", self.path):
            os.lseek(self._fd, count, os.SEEK_CUR)

    def read_all(self, limit: int) -> bytes:
        """Return all bytes; raises StorageError if there are more than `limit`."""
        pieces = bytearray()
        while piece := self.read(min(limit + 1 - len(pieces), 1024 * 1024)):
            pieces += piece
            if len(pieces) > limit:
                raise StorageError(f"can't read {self.path}: it is longer than {limit} bytes")
        return bytes(pieces)

    def stamp_now(self) -> Stamp:
        """Return the current stamp of the open file."""
        with storage_errors("read", self.path):
            return Stamp.of(os.fstat(self._fd))

    def close(self) -> None:
        """Close the file if it is open."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
