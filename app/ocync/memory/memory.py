"""
What is known from earlier passes, asked and told by name; lives in memory, used from one event loop.

All of it are hints: who acts on one has to notice when it was wrong, and call `forget_…` then. Facts about places
are believed for as long as `ttl` says.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.memory import tables
from ocync.memory.facts import (
    MAX_VALUE,
    Belief,
    Kind,
    Row,
    digest_key,
    digest_set,
    digests_in,
    hint_key,
    repository_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocync.oci.digest import Digest

_SKEW = 300_000
"""Milliseconds by which other clocks may be ahead; what was learned later than that was not."""
_MAX_HINT = 4096
_DRAW = 600
"""Seconds for which a repository's sample is the same: an analysis foretells the pass that follows it."""
_FIND = "SELECT value, learned, mark FROM fact WHERE kind = ? AND key = ? AND repository = ?"


@dataclass(slots=True)
class Counts:
    """What the facts were good for in this pass."""

    hits: int = 0
    """Questions that memory answered and a registry was therefore spared."""
    misses: int = 0
    """Questions that memory had no answer to."""
    stale: int = 0
    """Facts that turned out to be wrong."""


class Memory:
    """
    Facts by name. Lookups are point queries of microseconds, and nothing here waits for a disk.

    `ttl` are the seconds that a fact about a place is believed; 0 means until it is proved wrong. `clock` gives
    seconds since 1970.
    """

    def __init__(
        self,
        *,
        ttl: float = 0.0,
        clock: Callable[[], float] = time.time,
        connection: sqlite3.Connection | None = None,
    ) -> None:
        self.counts = Counts()
        self._ttl = int(ttl * 1000)
        self._clock = clock
        self._connection = connection or tables.in_memory()
        self._facts: dict[tuple[int, bytes, int], Row | None] = {}
        self._changed_repositories: dict[int, tables.Repository] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._samples: dict[int, Row] | None = None
        self._is_full = False
        self._has_news = False
        rows = self._connection.execute("SELECT id, place, path, since FROM repository").fetchall()
        self._repositories = {
            number: tables.Repository(place, path, since)
            for number, place, path, since in rows
            if isinstance(place, str)
            and isinstance(path, str)
            and isinstance(since, int)
            and repository_key(place, path) == number
        }
        self._earlier = frozenset(self._repositories)

    def __repr__(self) -> str:
        (rows,) = self._connection.execute("SELECT count(*) FROM fact").fetchone()
        return f"<Memory: {rows} facts of {len(self._repositories)} repositories>"

    def counted(self, *, known: bool) -> None:
        """Count a question that a registry was spared, or (not `known`) that it has to be asked."""
        if known:
            self.counts.hits += 1
        else:
            self.counts.misses += 1

    # Artifacts

    def has_artifacts(self, place: str, repository: str, subject: Digest, artifacts: Iterable[Digest]) -> bool:
        """
        Tell whether a target's repository is believed to have exactly these artifacts of a subject.

        Never without a `ttl`: a pass that relies on it asks next to nothing that could prove it wrong.
        """
        if not self._ttl:
            return False
        row = self._believed(Kind.ARTIFACT_SET, digest_key(subject), place, repository)
        return row is not None and row.value == digest_set(artifacts)

    def some_artifacts(self, place: str, repository: str) -> tuple[Digest, tuple[Digest, ...]] | None:
        """
        Return a subject, and the artifacts of it that a target's repository had, as far as earlier passes know.

        It is any of the subjects: by chance, but the same one for ten minutes.
        """
        row = self._since(self._drawn().get(self._number(place, repository)))
        try:
            return None if row is None else (digests_in(row.key)[0], digests_in(row.value))
        except ValueError:
            # Learned by an earlier version.
            return None

    def _drawn(self) -> dict[int, Row]:
        """
        Draw a subject of each repository, before this pass learns or forgets anything of them.

        Of all at once, since the rows of one lie apart.
        """
        if self._samples is None:
            self._samples, lot, best = {}, int(self._clock() / _DRAW), dict[int, int]()
            for row in self._rows(
                "SELECT kind, key, repository, value, learned, mark FROM fact WHERE kind = ? AND learned >= ?",
                (Kind.ARTIFACT_SET, self._now() - self._ttl),
            ):
                if (number := zlib.crc32(row.key, lot)) >= best.get(row.repository, 0):
                    best[row.repository], self._samples[row.repository] = number, row
        return self._samples

    def learn_artifacts(self, place: str, repository: str, subject: Digest, artifacts: Iterable[Digest]) -> None:
        """Remember that a target's repository has exactly these artifacts of a subject, each of them complete."""
        self._drawn()
        self._learn_at(Kind.ARTIFACT_SET, digest_key(subject), place, repository, digest_set(artifacts))

    def forget_artifacts(self, place: str, repository: str, subject: Digest, *, stale: bool = False) -> None:
        """Forget which artifacts of a subject there are; `stale` says that it was believed and wrong."""
        self._drawn()
        self._forget(Kind.ARTIFACT_SET, subject, place, repository, stale=stale)

    def has_no_referrers(self, place: str, repository: str, digest: Digest) -> bool:
        """Tell whether nothing is believed to refer to a manifest of a source; never without a `ttl`, as above."""
        if not self._ttl:
            return False
        row = self._believed(Kind.BARE, digest_key(digest), place, repository)
        self.counted(known=row is not None)
        return row is not None

    def learn_no_referrers(self, place: str, repository: str, digest: Digest) -> None:
        """Remember that nothing refers to a manifest of a source's repository."""
        self._learn_at(Kind.BARE, digest_key(digest), place, repository)

    # What targets hold

    def blob(self, place: str, repository: str, digest: Digest) -> Belief:
        """Return how well a repository is known to hold a blob."""
        return self._belief(Kind.BLOB, digest, place, repository)

    def learn_blob(self, place: str, repository: str, digest: Digest) -> None:
        """Remember that a repository holds a blob."""
        self._learn_at(Kind.BLOB, digest_key(digest), place, repository)

    def forget_blob(self, place: str, repository: str, digest: Digest, *, stale: bool = False) -> None:
        """Forget that a repository holds a blob."""
        self._forget(Kind.BLOB, digest, place, repository, stale=stale)

    def manifest(self, place: str, repository: str, digest: Digest) -> Belief:
        """Return how well a repository is known to hold a manifest and all that it lists."""
        return self._belief(Kind.MANIFEST, digest, place, repository)

    def learn_manifest(self, place: str, repository: str, digest: Digest) -> None:
        """Remember that a repository holds a manifest and all that it lists."""
        self._learn_at(Kind.MANIFEST, digest_key(digest), place, repository)

    def forget_manifest(self, place: str, repository: str, digest: Digest, *, stale: bool = False) -> None:
        """Forget that a repository holds a manifest."""
        self._forget(Kind.MANIFEST, digest, place, repository, stale=stale)

    def holders(self, place: str, digest: Digest) -> list[str]:
        """
        Return the repositories of a place that hold a blob as far as is known, those learned last first.

        However long ago that was: the registry that mounts a blob from one of them looks itself.
        """
        key = digest_key(digest)
        rows = self._rows(
            "SELECT kind, key, repository, value, learned, mark FROM fact WHERE kind = ? AND key = ?",
            (Kind.BLOB, key),
        )
        rows = sorted(filter(self._since, rows), key=lambda row: row.learned, reverse=True)
        found = (self._repositories[row.repository] for row in rows)
        return [repository.path for repository in found if repository.place == place]

    def learn_owned(self, place: str, repository: str) -> None:
        """Remember that a repository held nothing before this program wrote to it, and forget what it held."""
        self.forget_repository(place, repository)
        self._learn_at(Kind.OWNED, b"", place, repository)

    def is_owned(self, place: str, repository: str) -> bool:
        """Tell whether a repository holds what is known of it and, unless others write to it too, nothing else."""
        number = self._number(place, repository)
        return number in self._repositories and self._since(self._find(Kind.OWNED, b"", number)) is not None

    def knows(self, place: str, repository: str) -> bool:
        """Tell whether anything was learned of a repository before this pass."""
        return self._number(place, repository) in self._earlier

    def forget_repository(self, place: str, repository: str) -> None:
        """Forget all that is known of a repository: it is empty or gone."""
        number = self._number(place, repository)
        if number not in self._repositories:
            return
        self._has_news = True
        self._know(number, tables.Repository(place, repository, self._now()))
        self._changed_repositories[number] = self._repositories[number]

    # Anything else

    def hint(self, kind: str, name: str) -> str | None:
        """Return a hint about anything (`kind` says what, `name` of which host or pair), however old it is."""
        row = self._find(Kind.HINT, hint_key(kind, name), 0)
        return row.value.decode(errors="replace") if row is not None else None

    def learn_hint(self, kind: str, name: str, value: str) -> None:
        """Remember a hint of 4 KiB at most; longer ones are not kept. One that only changes is no news."""
        encoded, known, had_news = value.encode(), self.hint(kind, name), self._has_news
        if len(encoded) <= _MAX_HINT and len(name) <= _MAX_HINT and known != value:
            self._learn(Kind.HINT, hint_key(kind, name), 0, encoded)
            # A level that was found anew in each pass is not worth a push after each.
            self._has_news = had_news or known is None

    def forget_hint(self, kind: str, name: str) -> None:
        """Forget a hint."""
        self._drop(Kind.HINT, hint_key(kind, name), 0)

    # What is to be kept

    @property
    def has_news(self) -> bool:
        """Whether a pass after this one would ask otherwise for what this one has learned."""
        return self._has_news

    @property
    def has_changes(self) -> bool:
        """Whether something was learned or forgotten that `take_changes` has not given yet."""
        return bool(self._facts or self._changed_repositories)

    def take_changes(self) -> tables.Changes:
        """Return what was learned and forgotten since the last time."""
        facts, self._facts = self._facts, {}
        repositories, self._changed_repositories = self._changed_repositories, {}
        return tables.Changes(facts, repositories)

    def give_back(self, changes: tables.Changes) -> None:
        """Take changes back that could not be written; later ones win."""
        self._facts = {**changes.facts, **self._facts}
        self._changed_repositories = {**changes.repositories, **self._changed_repositories}

    def all(self) -> tables.Changes:
        """Return all that is known."""
        rows = self._rows("SELECT kind, key, repository, value, learned, mark FROM fact", ())
        return tables.Changes({(row.kind, row.key, row.repository): row for row in rows}, dict(self._repositories))

    def release(self) -> sqlite3.Connection:
        """Give the tables to another memory; this one is not to be asked any more."""
        connection, self._connection = self._connection, sqlite3.connect(":memory:")
        self._connection.close()
        return connection

    def __del__(self) -> None:
        # Made before the first error that __init__ can raise.
        with suppress(AttributeError):
            self._connection.close()

    # Below

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _number(self, place: str, path: str) -> int:
        number = self._numbers.get((place, path))
        if number is None:
            number = self._numbers[place, path] = repository_key(place, path)
        return number

    def _know(self, number: int, repository: tables.Repository) -> None:
        self._repositories[number] = repository
        self._write(
            "INSERT OR REPLACE INTO repository VALUES (?, ?, ?, ?)",
            (number, repository.place, repository.path, repository.since),
        )

    def _find(self, kind: int, key: bytes, repository: int) -> Row | None:
        """Return the row, if it is whole. This is what a pass asks for each image, so it takes a short way."""
        try:
            found = self._connection.execute(_FIND, (int(kind), key, repository)).fetchone()
        except tables.ERRORS:
            return None
        if found is None:
            return None
        row = Row.read((int(kind), key, repository, *found))
        return row if row is not None and row.learned <= self._now() + _SKEW else None

    def _rows(self, statement: str, values: tuple[object, ...]) -> list[Row]:
        """Return the rows that are whole; to those that are not nobody listens."""
        try:
            found = [Row.read(fields) for fields in self._connection.execute(statement, values)]
        except tables.ERRORS:
            return []
        latest = self._now() + _SKEW
        return [row for row in found if row is not None and row.learned <= latest]

    def _since(self, row: Row | None) -> Row | None:
        """Return the row unless its repository was emptied after that was learned."""
        if row is None:
            return None
        repository = self._repositories.get(row.repository)
        return row if repository is not None and row.learned >= repository.since else None

    def _believed(self, kind: Kind, key: bytes, place: str, path: str) -> Row | None:
        row = self._since(self._find(kind, key, self._number(place, path)))
        return row if row is not None and self._is_fresh(row) else None

    def _is_fresh(self, row: Row) -> bool:
        return not self._ttl or self._now() - row.learned <= self._ttl

    def _belief(self, kind: Kind, digest: Digest, place: str, path: str) -> Belief:
        number = self._number(place, path)
        if number not in self._repositories:
            return Belief.NONE
        row = self._since(self._find(kind, digest_key(digest), number))
        if row is None:
            return Belief.NONE
        return Belief.FRESH if self._is_fresh(row) else Belief.AGED

    def _learn_at(self, kind: Kind, key: bytes, place: str, path: str, value: bytes = b"") -> None:
        number = self._number(place, path)
        if number not in self._repositories:
            self._know(number, tables.Repository(place, path))
            self._changed_repositories[number] = self._repositories[number]
        self._learn(kind, key, number, value)

    def _learn(self, kind: Kind, key: bytes, repository: int, value: bytes) -> None:
        if len(value) > MAX_VALUE:
            return
        row = Row.of(kind, key, repository, value, self._now())
        if not self._has_news:
            there = self._find(kind, key, repository)
            self._has_news = there is None or there.value != value or not self._is_fresh(there)
        if self._put(row):
            self._facts[kind, key, repository] = row

    def _put(self, row: Row) -> bool:
        return self._write("INSERT OR REPLACE INTO fact VALUES (?, ?, ?, ?, ?, ?)", row.fields)

    def _write(self, statement: str, values: tuple[object, ...]) -> bool:
        if self._is_full:
            return False
        try:
            self._connection.execute(statement, values)
        except tables.ERRORS:
            # As much as is kept at all: the next pass begins with less.
            self._is_full = True
            return False
        return True

    def _forget(self, kind: Kind, digest: Digest, place: str, path: str, *, stale: bool) -> None:
        self._drop(kind, digest_key(digest), self._number(place, path))
        self.counts.stale += stale

    def _drop(self, kind: int, key: bytes, repository: int) -> None:
        try:
            deleted = self._connection.execute(
                "DELETE FROM fact WHERE kind = ? AND key = ? AND repository = ?", (kind, key, repository)
            ).rowcount
        except tables.ERRORS:
            # What can't be removed can't be found either: the tables are damaged.
            return
        if deleted:
            self._facts[kind, key, repository] = None
            self._has_news = True
