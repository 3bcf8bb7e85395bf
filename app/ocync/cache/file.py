"""
The file that holds the cache between passes. Everything here blocks, and runs in a thread of its own.

New entries are appended under a lock, so that concurrent passes lose nothing. Now and then the whole file is
replaced atomically. A process that is killed loses at most its last lines.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.cache import entries
from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from ocync.cache.entries import CacheEntries

NAME = "memory-2.txt"
"""The name of the file within `cache_dir`; each format has its own."""
_LOCK_TIMEOUT = 5.0
"""Seconds to wait for another pass, which holds the lock only while it writes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file holds."""

    entries: CacheEntries = field(default_factory=dict)
    damage: str = ""
    """What is wrong with the file; the next `save` replaces it."""
    is_wasteful: bool = False
    """Whether much of the file is obsolete."""


def load(path: Path, now: float) -> Opened:
    """
    Return the content of a file at `now` (seconds since 1970), empty if there is none.

    Raises StorageError if it can't be read or belongs to another user.
    """
    with _storage_errors():
        try:
            found, lines = _read(path, now)
        except FileNotFoundError:
            return Opened()
        except ValueError as error:
            return Opened(damage=str(error))
    return Opened(found, is_wasteful=lines > 2 * len(found) + 100)


def save(path: Path, new: CacheEntries, now: float, *, tidy: bool = False) -> None:
    """
    Append entries to the file, which is created if missing and replaced if damaged; raises StorageError.

    `tidy` drops obsolete entries.
    """
    with _storage_errors():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if tidy or not _append(path, entries.lines_of(new)):
                _rewrite(path, new, now)


def _read(path: Path, now: float) -> tuple[CacheEntries, int]:
    with _opened(path, os.O_RDONLY) as stream:
        return entries.read(stream, now)


def _append(path: Path, lines: bytes) -> bool:
    """Append lines; return False if the file has to be rewritten."""
    if not path.exists():
        return False
    with _opened(path, os.O_RDWR | os.O_APPEND) as stream:
        size = os.fstat(stream.fileno()).st_size
        if stream.readline(len(entries.HEADER)) != entries.HEADER or size + len(lines) >= entries.MAX_READ:
            return False
        os.fchmod(stream.fileno(), 0o600)
        # A process may have been killed in the middle of a line.
        stream.write(b"\n" + lines)
        return True


def _rewrite(path: Path, new: CacheEntries, now: float) -> None:
    known: CacheEntries = {}
    try:
        with suppress(FileNotFoundError):
            known, _ = _read(path, now)
    except ValueError:
        # It may be another program's.
        path.replace(path.with_suffix(".damaged"))
    for key, entry in new.items():
        known[key] = entries.merged(known.get(key), entry)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    try:
        with _opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL) as stream:
            stream.write(entries.HEADER + entries.lines_of(entries.latest(known, entries.MAX_ENTRIES)))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[BinaryIO]:
    """Open a regular file of this user; raises StorageError for anything else."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise StorageError(f"{path.name} is not a file of this user")
    with os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b") as stream:
        yield stream


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _opened(path, os.O_RDWR | os.O_CREAT) as stream:
        until = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise StorageError("it is locked by another process") from None
                time.sleep(0.02)
        yield


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError((error.strerror or str(error)).lower()) from error
