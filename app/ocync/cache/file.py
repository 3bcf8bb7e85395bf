"""
The file that holds the facts between passes. Everything here blocks, and is called in a thread of its own.

What is new is added to its end, under a lock, so that passes at once lose nothing; now and then all is written anew
and put in its place as a whole. Whenever a process is killed, nothing but its last lines is missing.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.cache import entries
from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from ocync.cache.entries import Facts

NAME = "memory-2.txt"
"""The name of the file within `cache_dir`; other formats have files of their own."""
_LOCKED_FOR = 5.0
"""Seconds that are waited for another pass, which holds the lock only while it writes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file holds."""

    facts: Facts = field(default_factory=dict)
    damage: str = ""
    """What is wrong with the file; the next `save` puts it right."""
    is_wasteful: bool = False
    """Whether much of the file is of no use any more."""


def load(path: Path, now: float) -> Opened:
    """
    Return what a file holds at `now` (seconds since 1970), nothing where there is none; changes nothing.

    Raises StorageError where it can't be read, or is not ours.
    """
    with _said():
        try:
            found, lines = _read(path, now)
        except FileNotFoundError:
            return Opened()
        except ValueError as error:
            return Opened(damage=str(error))
    return Opened(found, is_wasteful=lines > 2 * len(found) + 100)


def save(path: Path, new: Facts, now: float, *, tidy: bool = False) -> None:
    """
    Add facts to the file, which is made where there is none and made anew where it is damaged.

    With `tidy`, what is of no use any more is dropped. Raises StorageError.
    """
    with _said():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if tidy or not _append(path, entries.lines_of(new)):
                _rewrite(path, new, now)


def _read(path: Path, now: float) -> tuple[Facts, int]:
    with _opened(path, os.O_RDONLY) as stream:
        return entries.read(stream, now)


def _append(path: Path, lines: bytes) -> bool:
    """Add lines to the end; False where the file has to be written anew."""
    if not path.exists():
        return False
    with _opened(path, os.O_RDWR | os.O_APPEND) as stream:
        size = os.fstat(stream.fileno()).st_size
        if stream.readline(len(entries.HEADER)) != entries.HEADER or size + len(lines) >= entries.MAX_READ:
            return False
        os.fchmod(stream.fileno(), 0o600)
        # Somebody may have been killed in the middle of a line.
        stream.write(b"\n" + lines)
        return True


def _rewrite(path: Path, new: Facts, now: float) -> None:
    known: Facts = {}
    try:
        known, _ = _read(path, now)
    except FileNotFoundError:
        pass
    except ValueError:
        # It may be somebody else's.
        path.replace(path.with_suffix(".damaged"))
    for key, fact in new.items():
        known[key] = entries.merged(known.get(key), fact)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    try:
        with _opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL) as stream:
            stream.write(entries.HEADER + entries.lines_of(entries.latest(known, entries.MAX_FACTS)))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[BinaryIO]:
    """Open a file that is ours; raises StorageError for a link, a pipe or one of another user."""
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
        until = time.monotonic() + _LOCKED_FOR
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
def _said() -> Iterator[None]:
    """Raise StorageError in place of OSError."""
    try:
        yield
    except OSError as error:
        raise StorageError((error.strerror or str(error)).lower()) from error
