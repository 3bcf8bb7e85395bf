"""The file that holds the tables between passes. Everything here blocks, and is called in a thread of its own."""

from __future__ import annotations

import os
import sqlite3
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.memory import tables

if TYPE_CHECKING:
    from pathlib import Path

NAME = "memory.sqlite"
"""The name of the file within `cache_dir`."""
# Another pass holds the file only while it writes some rows.
_LOCKED_FOR = 5.0
# SQLITE_ERROR is said of statements that do not fit the tables.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class UnusableFileError(Exception):
    """The file can't be used; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was read."""

    connection: sqlite3.Connection
    """The copy in memory."""
    remark: str = ""
    """What was wrong with the file; it is right now."""
    unwritable: str = ""
    """Why nothing can be written to it; empty where it can."""


def load(path: Path) -> Opened:
    """
    Read a file, which is made where there is none and made anew where it is damaged.

    Raises UnusableFileError where it can't be read, or is to be left alone.
    """
    try:
        try:
            return Opened(_read(path))
        except tables.ERRORS as error:
            if not _is_damage(error):
                raise
            _remove(path)
            return Opened(_read(path), remark=f"was damaged ({error}) and has been started anew")
    except (OSError, *tables.ERRORS) as error:
        unwritable = _reason(error)
    except tables.ForeignFileError as error:
        raise UnusableFileError(str(error)) from error
    try:
        return Opened(_read_only(path), unwritable=unwritable)
    except (OSError, *tables.ERRORS):
        raise UnusableFileError(unwritable) from None


def peek(path: Path) -> Opened:
    """Read a file without writing to it; raises UnusableFileError. Where there is none, nothing is known."""
    try:
        return Opened(_read_only(path))
    except FileNotFoundError:
        return Opened(tables.in_memory())
    except (OSError, *tables.ERRORS) as error:
        raise UnusableFileError(_reason(error)) from error


def save(path: Path, changes: tables.Changes, *, tidy_at: int | None = None) -> None:
    """
    Add changes to the file; raises UnusableFileError where that is not possible.

    With `tidy_at`, which is now in milliseconds, what is too old or too much is dropped.
    """
    try:
        try:
            _apply(path, changes, tidy_at)
        except tables.ERRORS as error:
            if not _is_damage(error):
                raise
            # What earlier passes knew is lost; what this one has learned is not.
            _remove(path)
            _apply(path, changes, tidy_at)
    except (OSError, *tables.ERRORS) as error:
        raise UnusableFileError(_reason(error)) from error
    except tables.ForeignFileError as error:
        raise UnusableFileError(str(error)) from error


def _read(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    try:
        return tables.copied(connection)
    finally:
        connection.close()


def _apply(path: Path, changes: tables.Changes, tidy_at: int | None) -> None:
    connection = _connect(path)
    try:
        tables.apply(connection, changes)
        if tidy_at is not None:
            tables.prune(connection, tidy_at)
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check(path)
    connection = tables.opened(path, timeout=_LOCKED_FOR)
    try:
        # A log beside the file needs memory that all processes share, which network file systems do not have.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA max_page_count = {tables.MAX_BYTES // 4096}")
        tables.prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: Path) -> None:
    """Make the file where there is none; refuse what somebody else has put there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(path, flags, 0o600))
        return
    if not stat.S_ISREG(found.st_mode):
        raise UnusableFileError("it is not a file")
    if found.st_uid != os.geteuid():
        raise UnusableFileError("it belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o600)


def _read_only(path: Path) -> sqlite3.Connection:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is not a file")
    connection = tables.opened(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_LOCKED_FOR)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if (application, version) != (tables.APPLICATION, tables.VERSION):
            raise sqlite3.OperationalError("of another format")
        return tables.copied(connection)
    finally:
        connection.close()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _is_damage(error: sqlite3.Error | UnicodeError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    # Without a code it is what was found in a copy, or what can't even be said.
    return code is None or code & 0xFF in _DAMAGED


def _reason(error: OSError | sqlite3.Error | UnicodeError) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)
