"""
What is known from earlier passes, asked and told by name; lives in memory, used from one event loop.

None of it says what a target holds: a repository that is said to hold a blob is asked for it, limits are found
anew, and the facts about tags tell only when something was done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING

from ocync.cache.entries import MAX_AGE, MAX_FACTS, MAX_TEXT, EntryKind, Fact, Facts, Key, latest, merged
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_HOLDERS = 8
"""Repositories that are told for a blob: if none of these has it, others hardly will."""
_DAY = 86400.0
"""Seconds after which a fact that is still so is written again, so that it does not get too old."""


@dataclass(slots=True)
class Counts:
    """What the facts were good for in this pass; who asks for mounts counts `hits` and `misses`."""

    hits: int = 0
    """Blobs that were mounted from a repository that memory named."""
    misses: int = 0
    """Blobs for which memory named no repository."""
    stale: int = 0
    """Repositories that were named and did not have the blob."""


class Memory:
    """
    Facts by name. Lookups take microseconds, and nothing here waits for a disk.

    `ttl` are the seconds for which it is remembered who held a blob; 0 means as long as anything, 30 days. `clock`
    gives seconds since 1970.
    """

    def __init__(self, *, ttl: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self.counts = Counts()
        self.has_news = False
        """Whether this pass has learned what is worth to be told to others; that a time has changed is not."""
        self._ttl = min(ttl or MAX_AGE, MAX_AGE)
        self._clock = clock
        self._facts: Facts = {}
        self._changed: set[Key] = set()
        self._holders: dict[str, list[Key]] = {}
        self._filled: set[tuple[str, str]] = set()
        """Repositories of which a tag was set before this pass."""

    # Who held blobs

    def holders(self, host: str, digest: Digest) -> list[str]:
        """Return the repositories of a place that held a blob, those learned last first, eight at most."""
        since = self._clock() - self._ttl
        found = ((self._facts[key], key) for key in self._holders.get(str(digest), ()) if key[1] == host)
        known = ((fact.learned, key[2]) for fact, key in found if fact.value is not None and fact.learned >= since)
        return [path for _, path in nlargest(_HOLDERS, known)]

    def learn_blob(self, host: str, path: str, digest: Digest) -> None:
        """Remember that a repository holds a blob."""
        self._learn((EntryKind.BLOB, host, path, str(digest)), "", renewed_after=min(_DAY, self._ttl / 2))

    def forget_blob(self, host: str, path: str, digest: Digest) -> None:
        """Forget that a repository holds a blob: it was asked for it and did not have it."""
        self._forget((EntryKind.BLOB, host, path, str(digest)))
        self.counts.stale += 1

    # What is worth a try

    def hint(self, kind: str, name: str) -> str | None:
        """Return a hint (`kind` says about what, `name` of which host or pair); None where there is none."""
        fact = self._facts.get((EntryKind.HINT, kind, "", name))
        return fact.value if fact is not None else None

    def learn_hint(self, kind: str, name: str, value: str) -> None:
        """Remember a hint of 4 KiB at most; longer ones are not kept. One that only changes is no news."""
        had_news, is_new = self.has_news, self.hint(kind, name) is None
        self._learn((EntryKind.HINT, kind, "", name), value)
        # A level that is found anew in each pass is not worth a push after each.
        self.has_news = had_news or (is_new and self.has_news)

    def forget_hint(self, kind: str, name: str) -> None:
        """Forget a hint."""
        self._forget((EntryKind.HINT, kind, "", name))

    # When something was done

    def first_seen(self, host: str, path: str, tag: str, digest: Digest) -> float | None:
        """Return when a source's tag was first seen with the digest that it has, in seconds since 1970."""
        fact = self._known(EntryKind.SEEN, host, path, tag, digest)
        return fact.since if fact is not None else None

    def learn_seen(self, host: str, path: str, tag: str, digest: Digest) -> None:
        """Remember that a source's tag has the digest; how long ago that began stays known."""
        self._learn((EntryKind.SEEN, host, path, tag), str(digest))

    def has_moved(self, host: str, path: str) -> bool:
        """Return whether any tag of a target's repository was set by an earlier pass."""
        return (host, path) in self._filled

    def moved(self, host: str, path: str, tag: str) -> tuple[Digest, float] | None:
        """Return what this program last set a target's tag to, and when, in seconds since 1970."""
        fact = self._facts.get((EntryKind.MOVED, host, path, tag))
        try:
            return (Digest.parse(fact.value), fact.learned) if fact is not None and fact.value is not None else None
        except ValueError:
            return None

    def learn_moved(self, host: str, path: str, tag: str, digest: Digest) -> None:
        """Remember that a target's tag was set to the digest now."""
        self._learn((EntryKind.MOVED, host, path, tag), str(digest), renewed_after=0.0)

    def looked_below(self, host: str, path: str, tag: str, digest: Digest) -> float | None:
        """Return when all below a target's tag was last seen with this digest, in seconds since 1970."""
        fact = self._known(EntryKind.BELOW, host, path, tag, digest)
        return fact.learned if fact is not None else None

    def learn_looked_below(self, host: str, path: str, tag: str, digest: Digest) -> None:
        """Remember that all below a target's tag was seen now; that is news once a day."""
        self._learn((EntryKind.BELOW, host, path, tag), str(digest), renewed_after=0.0, news_after=_DAY)

    # What is to be kept

    @property
    def has_changes(self) -> bool:
        """Whether something was learned or forgotten that `take_changes` has not given yet."""
        return bool(self._changed)

    def take_changes(self) -> Facts:
        """Return what was learned and forgotten since the last time."""
        changed, self._changed = self._changed, set()
        return {key: self._facts[key] for key in changed if key in self._facts}

    def give_back(self, changes: Facts) -> None:
        """Take changes back that could not be written; later ones win."""
        self.add(changes)
        self._changed |= changes.keys()

    def all(self) -> Facts:
        """Return all that is known."""
        return dict(self._facts)

    def copied(self) -> Memory:
        """Return another memory that knows the same; neither learns what the other does from then on."""
        other = Memory(ttl=self._ttl, clock=self._clock)
        other.add(self._facts)
        return other

    def add(self, others: Facts) -> None:
        """Add what was learned elsewhere, which is no change; of two facts the later one counts."""
        for key, fact in others.items():
            self._put(key, merged(self._facts.get(key), fact))
            if key[0] == EntryKind.MOVED:
                self._filled.add((key[1], key[2]))

    # Below

    def _known(self, kind: EntryKind, host: str, path: str, tag: str, digest: Digest) -> Fact | None:
        fact = self._facts.get((kind, host, path, tag))
        return fact if fact is not None and fact.value == str(digest) else None

    def _learn(self, key: Key, value: str, *, renewed_after: float = _DAY, news_after: float = MAX_AGE / 2) -> None:
        """
        Remember a fact, where it is not known for less than `renewed_after` seconds anyway.

        It is news where it was not known, or last told `news_after` seconds ago: others would lose it soon.
        """
        now, known = self._clock(), self._facts.get(key)
        if known is not None and known.value == value:
            if now - known.learned < renewed_after:
                return
            self.has_news |= now - known.learned > news_after
            self._change(key, Fact(value, known.since, now))
        elif sum(map(len, (*key, value))) <= MAX_TEXT:
            self.has_news = True
            self._change(key, Fact(value, now, now))

    def _forget(self, key: Key) -> None:
        known = self._facts.get(key)
        if known is not None and known.value is not None:
            self.has_news = True
            self._change(key, Fact(None, self._clock(), self._clock()))

    def _change(self, key: Key, fact: Fact) -> None:
        self._put(key, fact)
        self._changed.add(key)

    def _put(self, key: Key, fact: Fact) -> None:
        if key not in self._facts:
            if len(self._facts) >= MAX_FACTS:
                self._drop_the_oldest()
            self._index((key,))
        self._facts[key] = fact

    def _drop_the_oldest(self) -> None:
        # A quarter of them, so that not every new fact has to do it.
        self._facts = latest(self._facts, MAX_FACTS * 3 // 4)
        self._changed &= self._facts.keys()
        self._holders = {}
        self._index(self._facts)

    def _index(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key[0] is EntryKind.BLOB:
                self._holders.setdefault(key[3], []).append(key)
