"""
What earlier passes knew of a place, as far as a pass may rely on it.

It only ever decides what is asked. A mount from a repository that no longer holds the blob is refused by the
registry itself. That a repository still holds a blob is believed only where the registry is known to refuse
manifests whose blobs are missing (`ocync.transfer.trust`): then the pass notices, and brings the image again
without memory. And at a repository that only this program writes to, what is not known to be there is not looked
for: if it is there all the same, it is sent once more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ocync.memory.facts import Belief
from ocync.memory.memory import Memory

if TYPE_CHECKING:
    from ocync.endpoint import TargetRepository
    from ocync.oci.digest import Digest

_MOUNTS = "mounts"
_CHECKS = "checks-references"


@dataclass(frozen=True, slots=True)
class First:
    """What a leader does first."""

    look: bool = True
    """Look whether it is there already."""
    holder: str | None = None
    """Have the blob mounted from this repository, which held it in an earlier pass."""


FIRST = First()


class Recall:
    """What is known of one place; used from one event loop, never across an await."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._given = memory
        self._is_trusted: bool | None = None
        self._doubted: set[str] = set()
        self._emptied: set[str] = set()
        self.asking = asyncio.Lock()
        """Held by who asks whether references are checked."""
        self.was_asked = False
        self._mounts = True

    @cached_property
    def _memory(self) -> Memory:
        return Memory() if self._given is None else self._given

    def begin(self, repository: TargetRepository, *, is_empty: bool) -> None:
        """Say that something is to be brought to a repository, and whether it held nothing before the pass."""
        if is_empty and repository.path not in self._emptied:
            self._emptied.add(repository.path)
            self._memory.learn_owned(repository.place, repository.path)

    # Whether anything is believed at all

    def checks_references(self, place: str) -> bool | None:
        """Tell whether a place is known to refuse manifests whose blobs are missing; None where it is not known."""
        known = self._memory.hint(_CHECKS, place)
        return None if known is None else known == "yes"

    def learn_checks_references(self, place: str, *, checks: bool) -> None:
        """Remember whether a place refuses manifests whose blobs are missing."""
        self._memory.learn_hint(_CHECKS, place, "yes" if checks else "no")

    def knows(self, repository: TargetRepository) -> bool:
        """Tell whether anything is remembered of a repository."""
        return self._memory.knows(repository.place, repository.path)

    @property
    def is_decided(self) -> bool:
        """Whether it is known whether repositories are believed."""
        return self._is_trusted is not None

    def decide(self, *, trust: bool) -> None:
        """Say whether the place refuses manifests whose blobs are missing, so that repositories are believed."""
        self._is_trusted = trust

    def may_believe(self, repository: TargetRepository) -> bool:
        """Tell whether nothing speaks against it that what a repository's manifests list is there as well."""
        return self._is_trusted is not False and repository.path not in self._doubted

    def doubt(self, repository: TargetRepository) -> None:
        """Say that something was missing at a repository: nothing is believed of it for the rest of the pass."""
        self._doubted.add(repository.path)

    def _believes(self, repository: TargetRepository) -> bool:
        return self._is_trusted is True and repository.path not in self._doubted

    # Blobs

    def believes_blob(self, repository: TargetRepository, digest: Digest) -> bool:
        """Tell whether a repository is to be taken to hold a blob, unseen."""
        if not self._believes(repository):
            return False
        is_there = self._memory.blob(repository.place, repository.path, digest) is Belief.FRESH
        self._memory.counts.hits += is_there
        return is_there

    def first_for_blob(self, repository: TargetRepository, digest: Digest) -> First:
        """Return what to do first about a blob that nobody of this pass has seen at the place."""
        if repository.path in self._doubted:
            return FIRST
        known = self._memory.blob(repository.place, repository.path, digest)
        others = self._memory.holders(repository.place, digest) if self._mounts else []
        holder = next((path for path in others if path != repository.path), None)
        alone = self._memory.is_owned(repository.place, repository.path)
        return First(look=known is not Belief.NONE or (holder is None and not alone), holder=holder)

    def blob_found(self, repository: TargetRepository, digest: Digest) -> None:
        """Remember that a repository holds a blob."""
        self._memory.learn_blob(repository.place, repository.path, digest)

    def blob_missed(self, repository: TargetRepository, digest: Digest) -> None:
        """Forget a blob that a repository was asked for and does not hold."""
        if self._memory.blob(repository.place, repository.path, digest) is not Belief.NONE:
            self._memory.forget_blob(repository.place, repository.path, digest, stale=True)

    def mounted(self, repository: TargetRepository, holder: str, digest: Digest) -> None:
        """Remember that a blob was mounted from where an earlier pass had seen it."""
        self._memory.learn_hint(_MOUNTS, repository.place, "granted")
        self._memory.learn_blob(repository.place, holder, digest)

    def mount_refused(self, repository: TargetRepository, holder: str, digest: Digest) -> None:
        """
        Take note that a blob was not mounted from where an earlier pass had seen it.

        At a place that has granted such mounts the blob is gone from there; at others no more are tried.
        """
        if self._memory.hint(_MOUNTS, repository.place) == "granted":
            self._memory.forget_blob(repository.place, holder, digest, stale=True)
        else:
            self._mounts = False

    # Manifests

    def first_for_manifest(self, repository: TargetRepository, digest: Digest) -> First:
        """Return what to do first about a manifest that nobody of this pass has seen at the repository."""
        if repository.path in self._doubted:
            return FIRST
        known = self._memory.manifest(repository.place, repository.path, digest)
        return First(look=known is not Belief.NONE or not self._memory.is_owned(repository.place, repository.path))

    def manifest_found(self, repository: TargetRepository, digest: Digest) -> None:
        """Remember that a repository holds a manifest and all that it lists."""
        self._memory.learn_manifest(repository.place, repository.path, digest)

    def manifest_missed(self, repository: TargetRepository, digest: Digest) -> None:
        """Forget a manifest that a repository was asked for and does not hold."""
        if self._memory.manifest(repository.place, repository.path, digest) is not Belief.NONE:
            self._memory.forget_manifest(repository.place, repository.path, digest, stale=True)

    def spared(self, *, asked: bool) -> None:
        """Count a look that was not needed, or (`asked`) was."""
        if asked:
            self._memory.counts.misses += 1
        else:
            self._memory.counts.hits += 1
