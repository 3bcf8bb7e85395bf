"""
The cache of earlier passes in memory, used from one event loop.

No entry says what a target holds: a repository is still asked for a blob, limits are found again, and entries about
tags only say when something was done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING

from ocync.cache.entries import MAX_AGE, MAX_ENTRIES, MAX_TEXT, CacheEntry, EntryKind, Key, latest, merged
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocync.cache.entries import CacheEntries

_HOLDERS = 8
"""Repositories that are returned for a blob: if none of these has it, others are unlikely to."""
_DAY = 86400.0
"""Seconds after which an entry that still holds is written again, so that it does not expire."""


@dataclass(slots=True)
class Counts:
    """How useful the hints were in this pass; the caller that mounts blobs counts `hits` and `misses`."""

    hits: int = 0
    """Blobs that were mounted from a repository that a hint named."""
    misses: int = 0
    """Blobs for which no hint named a repository."""
    stale: int = 0
    """Repositories that a hint named and that did not have the blob."""


class Hints:
    """
    Hints by subject. Entries may be wrong: a caller that finds one wrong calls `forget_*`.

    `ttl` is for how many seconds a repository counts as a holder of a blob; 0 means 30 days, as for all entries.
    `clock` returns seconds since 1970.
    """

    def __init__(self, *, ttl: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self.counts = Counts()
        self.has_news = False
        """Whether this pass has learned something worth pushing to others; a new time alone is not."""
        self._ttl = min(ttl or MAX_AGE, MAX_AGE)
        self._clock = clock
        self._entries: CacheEntries = {}
        self._changed: set[Key] = set()
        self._holders: dict[str, list[Key]] = {}
        self._filled: set[tuple[str, str]] = set()
        """Repositories in which an earlier pass set a tag."""

    # Blobs

    def holders(self, host: str, digest: Digest) -> list[str]:
        """Return at most eight repositories of a host that held a blob, those learned last first."""
        since = self._clock() - self._ttl
        found = ((self._entries[key], key) for key in self._holders.get(str(digest), ()) if key[1] == host)
        valid = (
            (entry.learned, key[2]) for entry, key in found if entry.value is not None and entry.learned >= since
        )
        return [path for _, path in nlargest(_HOLDERS, valid)]

    def learn_blob(self, host: str, path: str, digest: Digest) -> None:
        """Record that a repository holds a blob."""
        self._learn((EntryKind.BLOB, host, path, str(digest)), "", renewed_after=min(_DAY, self._ttl / 2))

    def forget_blob(self, host: str, path: str, digest: Digest) -> None:
        """Record that a repository was asked for a blob and did not have it."""
        self._forget((EntryKind.BLOB, host, path, str(digest)))
        self.counts.stale += 1

    # Anything else

    def hint(self, kind: str, name: str) -> str | None:
        """Return a hint on the subject `kind` for the host or pair `name`; None if there is none."""
        entry = self._entries.get((EntryKind.HINT, kind, "", name))
        return entry.value if entry is not None else None

    def learn_hint(self, kind: str, name: str, value: str) -> None:
        """Record a hint of at most 4 KiB; longer ones are dropped. A changed value is not news."""
        had_news, is_new = self.has_news, self.hint(kind, name) is None
        self._learn((EntryKind.HINT, kind, "", name), value)
        # A limit that each pass finds again is not worth a push after each.
        self.has_news = had_news or (is_new and self.has_news)

    def forget_hint(self, kind: str, name: str) -> None:
        """Drop a hint."""
        self._forget((EntryKind.HINT, kind, "", name))

    # Times; all are in seconds since 1970

    def first_seen(self, host: str, path: str, tag: str, digest: Digest) -> float | None:
        """Return when a source's tag was first seen with the digest that it has."""
        entry = self._find(EntryKind.SEEN, host, path, tag, digest)
        return entry.since if entry is not None else None

    def learn_seen(self, host: str, path: str, tag: str, digest: Digest) -> None:
        """Record that a source's tag has the digest; the time of the first record is kept."""
        self._learn((EntryKind.SEEN, host, path, tag), str(digest))

    def has_moved(self, host: str, path: str) -> bool:
        """Return whether an earlier pass set any tag of a target's repository."""
        return (host, path) in self._filled

    def moved(self, host: str, path: str, tag: str) -> tuple[Digest, float] | None:
        """Return the digest that this program last set a target's tag to, and when."""
        entry = self._entries.get((EntryKind.MOVED, host, path, tag))
        try:
            return (Digest.parse(entry.value), entry.learned) if entry is not None and entry.value else None
        except ValueError:
            return None

    def learn_moved(self, host: str, path: str, tag: str, digest: Digest) -> None:
        """Record that a target's tag was set to the digest now."""
        self._learn((EntryKind.MOVED, host, path, tag), str(digest), renewed_after=0.0)

    def looked_below(self, host: str, path: str, tag: str, digest: Digest) -> float | None:
        """Return when a target's tag with this digest last passed an audit."""
        entry = self._find(EntryKind.BELOW, host, path, tag, digest)
        return entry.learned if entry is not None else None

    def learn_looked_below(self, host: str, path: str, tag: str, digest: Digest) -> None:
        """Record that a target's tag passed an audit now; this is news once a day."""
        self._learn((EntryKind.BELOW, host, path, tag), str(digest), renewed_after=0.0, news_after=_DAY)

    # Reading and saving

    @property
    def has_changes(self) -> bool:
        """Whether there are changes that `take_changes` has not returned yet."""
        return bool(self._changed)

    def take_changes(self) -> CacheEntries:
        """Return the entries that changed since the last call."""
        changed, self._changed = self._changed, set()
        return {key: self._entries[key] for key in changed if key in self._entries}

    def give_back(self, changes: CacheEntries) -> None:
        """Take back changes that could not be saved; later ones win."""
        self.add(changes)
        self._changed |= changes.keys()

    def all(self) -> CacheEntries:
        """Return all entries."""
        return dict(self._entries)

    def copied(self) -> Hints:
        """Return an independent copy without counts and changes."""
        other = Hints(ttl=self._ttl, clock=self._clock)
        other.add(self._entries)
        return other

    def add(self, others: CacheEntries) -> None:
        """Add entries from elsewhere, which are not changes; of two entries the later one counts."""
        for key, entry in others.items():
            self._put(key, merged(self._entries.get(key), entry))
            if key[0] == EntryKind.MOVED:
                self._filled.add((key[1], key[2]))

    def _find(self, kind: EntryKind, host: str, path: str, tag: str, digest: Digest) -> CacheEntry | None:
        entry = self._entries.get((kind, host, path, tag))
        return entry if entry is not None and entry.value == str(digest) else None

    def _learn(self, key: Key, value: str, *, renewed_after: float = _DAY, news_after: float = MAX_AGE / 2) -> None:
        """
        Record a value, unless it was recorded in the last `renewed_after` seconds.

        It is news if it is new, or older than `news_after` seconds, as it would expire elsewhere.
        """
        now, known = self._clock(), self._entries.get(key)
        if known is not None and known.value == value:
            if now - known.learned < renewed_after:
                return
            self.has_news |= now - known.learned > news_after
            self._change(key, CacheEntry(value, known.since, now))
        elif sum(map(len, (*key, value))) <= MAX_TEXT:
            self.has_news = True
            self._change(key, CacheEntry(value, now, now))

    def _forget(self, key: Key) -> None:
        known = self._entries.get(key)
        if known is not None and known.value is not None:
            self.has_news = True
            self._change(key, CacheEntry(None, self._clock(), self._clock()))

    def _change(self, key: Key, entry: CacheEntry) -> None:
        self._put(key, entry)
        self._changed.add(key)

    def _put(self, key: Key, entry: CacheEntry) -> None:
        if key not in self._entries:
            if len(self._entries) >= MAX_ENTRIES:
                self._drop_oldest()
            self._index((key,))
        self._entries[key] = entry

    def _drop_oldest(self) -> None:
        # A quarter of them, so that this is rare.
        self._entries = latest(self._entries, MAX_ENTRIES * 3 // 4)
        self._changed &= self._entries.keys()
        self._holders = {}
        self._index(self._entries)

    def _index(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key[0] is EntryKind.BLOB:
                self._holders.setdefault(key[3], []).append(key)
