"""
Files in the making: they appear at their destination whole, or not at all.

Everything here blocks. A draft is locked (flock(2)) for as long as its writer lives, so that others can tell a
draft that is being written from one that a crash has left.
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

from ocync.layout.disk_errors import told
from ocync.layout.reader import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_AGE = 24 * 3600.0
"""Seconds after its last write when a draft counts as left behind, whatever its lock says."""
_PREFIX = "draft-"
_logger = logging.getLogger(__name__)


class Draft:
    """
    One file in the making: `open`, then `write` any number of times, then `commit`; `discard` at any time.

    `folder` holds the draft and has to be on the filesystem of its destination. All methods raise StorageError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._fd = -1

    def open(self) -> None:
        """Make the draft, readable for whom the process's umask lets read it."""
        while self._path is None:
            path = self._folder / f"{_PREFIX}{secrets.token_hex(8)}"
            with told("write into", self._folder):
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
                if _is_ours(self._fd):
                    self._path = path
                else:
                    self._close()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append the pieces."""
        with told("write", self._path or self._folder):
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._fd, rest) :]

    def commit(self, destination: Path, *, mode: int | None = None) -> Stamp:
        """
        Put the draft where it belongs, in place of what is there; it survives a power cut from then on.

        Returns the stamp of the file. `mode` are permission bits that it shall have instead of those of the umask.
        """
        assert self._path is not None
        with told("write", destination):
            if mode is not None:
                os.fchmod(self._fd, mode)
            os.fsync(self._fd)
            self._path.replace(destination)
            self._path = None
            # Of what was written here, whatever another program may put into its place.
            stamp = Stamp.of(os.fstat(self._fd))
            self._close()
            sync(destination.parent)
        return stamp

    def discard(self) -> None:
        """Remove the draft, if it was not committed."""
        path, self._path = self._path, None
        try:
            if path is not None:
                with told("remove", path):
                    path.unlink(missing_ok=True)
        finally:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def sweep(folder: Path, *, now: float) -> int:
    """
    Remove drafts that nobody writes any more; returns how many.

    `now` is in seconds since 1970. What can't be removed stays and is told once: it is in nobody's way.
    """
    removed = 0
    for path in list(folder.glob(f"{_PREFIX}*")):
        try:
            removed += _remove_if_abandoned(path, now)
        except FileNotFoundError:
            continue
        except OSError as error:
            _logger.warning("can't remove what an earlier run left", extra={"path": str(path), "why": str(error)})
    return removed


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network and FUSE filesystems can't sync a folder, and offer nothing else.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(fd)


def _is_ours(fd: int) -> bool:
    """Lock a new draft; False when a sweep took it for an abandoned one in between."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # No locks on this filesystem: drafts that are left behind are known by their age alone.
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
