"""
Atomic writes: a file appears at its destination complete, or not at all.

Everything here blocks. A draft is locked (flock(2)) while its writer lives, so that other processes can tell it
from one that a crash has left.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ocync.layout.files import Stamp, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_AGE = 24 * 3600.0
"""Seconds after its last write when a draft counts as abandoned, whatever its lock says."""
_PREFIX = "draft-"
_logger = logging.getLogger(__name__)


class Draft:
    """
    An unfinished file: `open`, `write` any number of times, then `commit`; `discard` at any time.

    Its `folder` must be on the filesystem of the destination. All methods raise StorageError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._fd = -1

    def open(self) -> None:
        """Create the draft, with the permissions of the process's umask."""
        while self._path is None:
            path = self._folder / f"{_PREFIX}{secrets.token_hex(8)}"
            with storage_errors("write into", self._folder):
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
                if _lock(self._fd):
                    self._path = path
                else:
                    self._close()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append the pieces."""
        with storage_errors("write", self._path or self._folder):
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._fd, rest) :]

    def commit(self, destination: Path, *, mode: int | None = None) -> Stamp:
        """
        Replace the destination by the draft, durably, and return the stamp of the file.

        `mode` sets its permission bits, instead of the umask.
        """
        assert self._path is not None
        with storage_errors("write", destination):
            if mode is not None:
                os.fchmod(self._fd, mode)
            os.fsync(self._fd)
            self._path.replace(destination)
            self._path = None
            # Of what was written here, even if another program replaces it now.
            stamp = Stamp.of(os.fstat(self._fd))
            self._close()
            sync(destination.parent)
        return stamp

    def discard(self) -> None:
        """Remove the draft unless it was committed."""
        path, self._path = self._path, None
        try:
            if path is not None:
                with storage_errors("remove", path):
                    path.unlink(missing_ok=True)
        finally:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def sweep(folder: Path, *, now: float) -> int:
    """
    Remove abandoned drafts and return how many; `now` is in seconds since 1970.

    A draft that can't be removed is logged and stays.
    """
    removed = 0
    for path in list(folder.glob(f"{_PREFIX}*")):
        try:
            removed += _remove_if_abandoned(path, now)
        except FileNotFoundError:
            continue
        except OSError as error:
            _logger.warning("can't remove an abandoned draft", extra={"path": str(path), "why": str(error)})
    return removed


def sync(path: Path) -> None:
    """Ensure that a file, or the names in a folder, survive a power cut; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network and FUSE filesystems can't sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    """Lock a new draft; return False if a sweep has removed it as abandoned."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Without locks, only the age tells which drafts are abandoned.
        _logger.debug("the filesystem has no locks")
    return os.fstat(fd).st_nlink > 0


def _remove_if_abandoned(path: Path, now: float) -> bool:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return False
        abandoned = now - status.st_mtime > MAX_AGE
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            abandoned = True
        if abandoned:
            path.unlink()
        return abandoned
    finally:
        os.close(fd)
