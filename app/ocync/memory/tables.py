"""
The tables, in a file as in memory.

A file is copied into memory as a whole, in one go, so that the event loop never waits for a disk; what changes is
written back row by row, so that two passes at once add to the same file.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ocync.memory.facts import Row

VERSION = 1
"""The `user_version` of a file."""
APPLICATION = 0x6F63796E
"""The `application_id` of a file: "ocyn"."""
MAX_ROWS = 400_000
"""Rows that are kept at most: those of twenty thousand images and more."""
MAX_BYTES = 64 * 1024 * 1024
MAX_AGE = 30 * 86400
"""Seconds after which a fact that nobody has learned or used again is dropped."""
_PAGE = 4096
_ROW_COST = 80
"""Bytes that a row takes besides its key and value, roughly."""
_LAYOUT = """
CREATE TABLE fact (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    repository INTEGER NOT NULL,
    value BLOB NOT NULL,
    learned INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (kind, key, repository)
) WITHOUT ROWID;
CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    place TEXT NOT NULL,
    path TEXT NOT NULL,
    since INTEGER NOT NULL
);
"""


ERRORS = (sqlite3.Error, UnicodeError)
"""What SQLite raises: the second when what it has to say holds damaged names."""


class ForeignFileError(Exception):
    """The file is a database of another program, or of a later version of this one; it is to be left alone."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that facts are about; those learned before `since` (milliseconds) are void."""

    place: str
    path: str
    since: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What a pass has learned: rows to put, and (None) rows to remove; repositories by their numbers."""

    facts: Mapping[tuple[int, bytes, int], Row | None]
    repositories: Mapping[int, Repository]


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of it or nothing, beside others that write; raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def opened(name: str | Path, *, timeout: float = 0.0, uri: bool = False) -> sqlite3.Connection:
    """
    Open a database with no transaction but those that are begun; raises sqlite3.Error.

    It may be filled in one thread and used in another. Text that is damaged is text all the same.
    """
    connection = sqlite3.connect(name, timeout=timeout, isolation_level=None, check_same_thread=False, uri=uri)
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def in_memory() -> sqlite3.Connection:
    """Return empty tables in memory."""
    connection = opened(":memory:")
    connection.execute(f"PRAGMA max_page_count = {MAX_BYTES // _PAGE}")
    prepare(connection)
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """
    Make the tables where there are none, and anew where they are of an earlier version.

    Raises ForeignFileError for those of others, sqlite3.Error for what SQLite can't do.
    """
    with _transaction(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if tables and application != APPLICATION:
            raise ForeignFileError("it is a database of another program")
        if version > VERSION:
            raise ForeignFileError(f"a later version of ocync has written it (format {version}, not {VERSION})")
        if tables and version < VERSION:
            for name in tables:
                connection.execute(f'DROP TABLE "{name}"')
        if not tables or version < VERSION:
            for statement in _LAYOUT.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")


def copied(source: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in memory of a whole database; raises sqlite3.DatabaseError where it is damaged."""
    connection = opened(":memory:")
    try:
        source.backup(connection)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        connection.execute(f"PRAGMA max_page_count = {MAX_BYTES // _PAGE}")
        # A table of another shape is damage too.
        connection.execute("SELECT kind, key, repository, value, learned, mark FROM fact LIMIT 1").fetchone()
        connection.execute("SELECT id, place, path, since FROM repository LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def apply(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write changes in one transaction; raises sqlite3.Error."""
    with _transaction(connection):
        connection.executemany(
            "INSERT INTO repository VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET since = max(since, excluded.since)",
            [(number, r.place, r.path, r.since) for number, r in changes.repositories.items()],
        )
        connection.executemany(
            "DELETE FROM fact WHERE kind = ? AND key = ? AND repository = ?",
            [key for key, row in changes.facts.items() if row is None],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO fact VALUES (?, ?, ?, ?, ?, ?)",
            # In the order in which they are stored: each page is touched once.
            sorted(row.fields for row in changes.facts.values() if row is not None),
        )


def merge(connection: sqlite3.Connection, others: Changes) -> None:
    """Add what was learned elsewhere, of two facts the later one, in one go; raises sqlite3.Error."""
    with _transaction(connection):
        connection.executemany(
            "INSERT INTO repository VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET since = max(since, excluded.since)",
            [(number, r.place, r.path, r.since) for number, r in others.repositories.items()],
        )
        connection.executemany(
            "INSERT INTO fact VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, key, repository) DO UPDATE SET "
            "value = excluded.value, learned = excluded.learned, mark = excluded.mark "
            "WHERE excluded.learned > fact.learned",
            [row.fields for row in others.facts.values() if row is not None],
        )


def prune(connection: sqlite3.Connection, now: int) -> None:
    """Drop what is too old, and the oldest where there is too much; `now` in milliseconds. Raises sqlite3.Error."""
    with _transaction(connection):
        connection.execute("DELETE FROM fact WHERE learned < ?", (now - 1000 * MAX_AGE,))
        connection.execute(
            "DELETE FROM fact WHERE repository != 0 AND learned < "
            "(SELECT since FROM repository WHERE repository.id = fact.repository)"
        )
        rows, weight = connection.execute(
            "SELECT count(*), coalesce(sum(length(key) + length(value) + ?), 0) FROM fact", (_ROW_COST,)
        ).fetchone()
        excess = max(rows / MAX_ROWS, weight / (MAX_BYTES * 0.75))
        if excess > 1:
            # Down to three quarters, so that not every pass has to do it.
            surplus = int(rows * (1 - 0.75 / excess))
            connection.execute(
                "DELETE FROM fact WHERE learned <= (SELECT learned FROM fact ORDER BY learned LIMIT 1 OFFSET ?)",
                (surplus,),
            )
            # What is not known any more may still be there.
            connection.execute("DELETE FROM fact WHERE kind = 6")
        connection.execute(
            "DELETE FROM repository WHERE since = 0 AND id NOT IN (SELECT DISTINCT repository FROM fact)"
        )
