"""
What this pass has seen at one target host, and which tasks are bringing what there.

A blob or manifest counts as present only if this pass uploaded it, mounted it, or was told of it by the host. A
claim is decided without waiting, so that no two tasks bring the same thing to one repository. A task that waits for
a claim holds no slot and no claim that others wait for: the owner of a claim waits only for requests, for slots,
and for the parts of what it brings.
"""

from __future__ import annotations

import asyncio
import time
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.cache.hints import Hints
from ocync.lib.errors import QuotaError, RegistryError
from ocync.lib.limiter import Slots
from ocync.transfer.mounts import Mounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.lib.errors import OcyncError
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Manifest
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.transfer.mounts import Unit


# Blobs in a row that a host refuses, each after all its attempts, before no more are sent to it.
_IN_VAIN = 8
# Seconds after which another one is tried.
_PAUSE = 10.0
# Seconds between checks whether the source of a claimed blob is slow.
_LOOK = 0.5
# Seconds within which the read of a claimed blob has to begin, or images of other sources stop waiting for it.
_BEGINS = 10.0


@dataclass(slots=True, eq=False)
class Flight:
    """A blob or manifest on its way to a repository; `done` is settled when its owner releases the claim."""

    source: str
    """The source's host."""
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    is_source_slow: Callable[[], bool] | None = None
    """Returns whether the source is slow; None while nothing is read."""

    def is_slow(self) -> bool:
        """Return whether a task with another source should not wait for it."""
        if self.is_source_slow is not None:
            return self.is_source_slow()
        return asyncio.get_running_loop().time() - self.begun > _BEGINS

    async def wait(self, source: str) -> bool:
        """Wait for its end, and return true; return false if its source is slow, unless that is `source` too."""
        while not self.done.done():
            await asyncio.wait([self.done], timeout=None if source == self.source else _LOOK)
            if not self.done.done() and self.is_slow():
                return False
        return True


@dataclass(frozen=True, slots=True)
class Present:
    """The repository has it, as seen in this pass."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Another task is bringing it to this or another repository of the host: wait, then claim again."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class Commit:
    """It can be mounted once another manifest is put: wait, then claim again."""

    until: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Lead:
    """The claim: bring it, if possible by a mount from `holder`, which has it, or `hint`, which had it once."""

    flight: Flight
    holder: Repository | None = None
    hint: str | None = None
    is_known: bool = False
    """Whether an earlier pass saw it in this very repository, so that a look-up is worth its request."""


class Claims:
    """The state of one host; used from one event loop, never across an await."""

    def __init__(
        self,
        host: str = "",
        *,
        memory: Hints | None = None,
        arrived: Callable[[Digest], None] = lambda _digest: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`arrived` is called for each blob that is seen in a repository of the host."""
        self.host = host
        self.mounts = Mounts()
        # A look at a folder costs no request.
        self.memory = Hints() if memory is None or host.startswith("oci:") else memory
        self._arrived = arrived
        self._holders: dict[Digest, dict[str, TargetRepository]] = {}
        self._manifests: set[tuple[str, Digest]] = set()
        self._absent: set[tuple[str, Digest]] = set()
        self._empty: set[str] = set()
        self._touched: set[str] = set()
        # Blobs that were lost: a mount may have been the reason, so these are sent.
        self._to_send: set[tuple[str, Digest]] = set()
        self._flights: dict[tuple[str, Digest], Flight] = {}
        self._leads: dict[Digest, Flight] = {}
        self._failures: dict[tuple[str, str, Digest], OcyncError] = {}
        self._sessions: dict[str, Slots] = {}
        self._asks_hints = True
        self._has_granted_hint = False
        self._clock = clock
        self._sent_in_vain = 0
        self._refusal: RegistryError | None = None
        self._next_try = 0.0

    def __repr__(self) -> str:
        return (
            f"<Claims of {self.host}: {len(self._holders)} blobs and {len(self._manifests)} manifests seen, "
            f"{len(self._flights)} on their way>"
        )

    def sessions(self, source: Repository, repository: TargetRepository) -> Slots:
        """
        Return the slots of upload sessions for blobs of a source's host.

        Registries drop sessions that are idle for long. Twice as many as can be sent at once are enough for the
        next ones to be ready.
        """
        if source.host not in self._sessions:
            reads, sends = source.blob_slots, repository.upload_slots
            self._sessions[source.host] = Slots(
                f"sessions {source.host} {repository.host}", lambda: 2 * min(reads.limit, sends.limit)
            )
        return self._sessions[source.host]

    # Repositories

    def found_empty(self, repository: TargetRepository) -> None:
        """Record that the repository lists no tag: small blobs are sent without a look-up."""
        if repository.path not in self._touched:
            self._empty.add(repository.path)

    def is_empty(self, repository: TargetRepository) -> bool:
        """Return whether the repository was probably empty before this pass."""
        return repository.path in self._empty

    # Blobs

    def has_anywhere(self, digest: Digest) -> bool:
        """Return whether any repository of the host was seen to hold the blob."""
        return bool(self._holders.get(digest))

    def has_blob(self, repository: TargetRepository, digest: Digest) -> bool:
        """Return whether the repository was seen to hold the blob in this pass."""
        return repository.path in self._holders.get(digest, ())

    def claim_blob(
        self,
        repository: TargetRepository,
        digest: Digest,
        *,
        source: str,
        unit: Unit | None = None,
        alone: bool = False,
    ) -> Present | Wait | Commit | Lead:
        """
        Return how the blob gets to the repository; the caller that gets a Lead must call `release` in any case.

        `unit` is the manifest that needs the blob: it may have to wait for another one before the blob can be
        mounted. With `alone` the caller does not wait for other tasks, and the blob may be sent twice.
        """
        holders = self._holders.get(digest, {})
        key = (repository.path, digest)
        if repository.path in holders:
            return Present()
        if not alone and key in self._flights:
            return Wait(self._flights[key])
        holder = self.mounts.choose(() if key in self._to_send else holders.values(), repository.path, digest)
        if holder is not None:
            until = self.mounts.until(holder.path, digest, unit)
            if until is not None:
                return Commit(until)
        elif not alone and digest in self._leads:
            return Wait(self._leads[digest])
        flight = Flight(source)
        self._flights.setdefault(key, flight)
        if holder is not None:
            return Lead(flight, holder=holder)
        self._leads.setdefault(digest, flight)
        if key in self._to_send:
            return Lead(flight, is_known=True)
        known = self.memory.holders(self.host, digest)
        is_known = repository.path in known
        others = [path for path in known if path != repository.path] if self._asks_hints and not is_known else []
        return Lead(flight, hint=others[0] if others else None, is_known=is_known)

    def blob_seen(self, repository: TargetRepository, digest: Digest, *, is_new: bool = False) -> None:
        """Record that the repository holds the blob; `is_new` says that this pass has brought it."""
        if is_new:
            self.mounts.brought(repository.path, digest)
        else:
            # The repository was not empty, although it listed no tags.
            self._empty.discard(repository.path)
        self._touched.add(repository.path)
        self.memory.learn_blob(self.host, repository.path, digest)
        self._holders.setdefault(digest, {})[repository.path] = repository
        self._arrived(digest)

    def hint_was_right(self, hint: str, digest: Digest) -> None:
        """Record that a blob was mounted from a repository where an earlier pass saw it."""
        self._has_granted_hint = True
        self.memory.counts.hits += 1
        self.memory.learn_blob(self.host, hint, digest)

    def hint_was_wrong(self, hint: str, digest: Digest) -> None:
        """
        Record that a blob was not mounted from a repository where an earlier pass saw it.

        If the host has granted such a mount before, the blob is gone there; otherwise no more are tried.
        """
        self.memory.counts.misses += 1
        if self._has_granted_hint:
            self.memory.forget_blob(self.host, hint, digest)
        else:
            self._asks_hints = False

    def release(self, repository: TargetRepository, digest: Digest, flight: Flight) -> None:
        """Release a claim, whether the blob or manifest was brought or not; may be called twice."""
        key = (repository.path, digest)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if self._leads.get(digest) is flight:
            del self._leads[digest]
        if not flight.done.done():
            flight.done.set_result(None)

    # Failures

    def failed(self, source: Repository, repository: TargetRepository, digest: Digest, error: OcyncError) -> None:
        """Record that a blob or manifest of a source failed, so that other images do not try it again."""
        # A copy, since the original keeps the frames that it came through, and all their objects, in memory.
        self._failures[source.name, repository.path, digest] = copy(error)

    def check_failure(self, source: Repository, repository: TargetRepository, digest: Digest) -> None:
        """Raise the error that a blob or manifest of a source failed with, if it did."""
        error = self._failures.get((source.name, repository.path, digest))
        if error is not None:
            raise copy(error)

    def refused(self, error: OcyncError) -> None:
        """Count a blob that the host refused; errors of sources do not count."""
        # Harbor reports a full project only after it has received all bytes (goharbor/harbor#17390).
        if (
            isinstance(error, RegistryError)
            and error.host == self.host
            and (error.retryable or isinstance(error, QuotaError))
        ):
            self._sent_in_vain += 1
            self._refusal = error

    def took(self) -> None:
        """Record that the host has taken a blob."""
        self._sent_in_vain = 0

    def check_refusal(self) -> None:
        """
        Raise RegistryError if the host has refused too many blobs in a row, as with a full disk.

        One blob in every few seconds is let through, to find out whether that has changed.
        """
        last = self._refusal
        if last is None or self._sent_in_vain < _IN_VAIN or self._clock() >= self._next_try:
            self._next_try = self._clock() + _PAUSE
            return
        raise type(last)(
            f"{last.host} refuses all blobs; the last one failed with: {last.message}",
            host=last.host,
            status=last.status,
            code=last.code,
            hint=last.hint,
        )

    def forget_failures(self) -> None:
        """Ensure that everything that failed is tried again."""
        self._failures.clear()
        self._sent_in_vain = 0

    # Manifests

    def has_manifest(self, repository: TargetRepository, digest: Digest) -> bool:
        """Return whether the repository was seen to hold the manifest, and all below it, in this pass."""
        return (repository.path, digest) in self._manifests

    def is_absent(self, repository: TargetRepository, digest: Digest) -> bool:
        """Return whether the repository was seen to lack the manifest, and it has not been put since."""
        return (repository.path, digest) in self._absent

    def manifest_absent(self, repository: TargetRepository, digest: Digest) -> None:
        """Record that the repository lacks the manifest."""
        self._absent.add((repository.path, digest))

    def manifest_seen(self, repository: TargetRepository, digest: Digest) -> None:
        """Record that the repository holds the manifest and all below it."""
        self._absent.discard((repository.path, digest))
        self._manifests.add((repository.path, digest))

    def lacking(self, repository: TargetRepository, manifest: Manifest) -> list[Digest]:
        """Return the parts of a manifest that this pass has not seen there; it may be put only if none are left."""
        blobs = [blob.digest for blob in manifest.copied_blobs if not self.has_blob(repository, blob.digest)]
        children = [child.digest for child in manifest.copied_children]
        return [*blobs, *(digest for digest in children if not self.has_manifest(repository, digest))]

    def claim_manifest(self, repository: TargetRepository, digest: Digest) -> Present | Wait | Lead:
        """Return how the manifest gets there; the caller that gets a Lead must call `release` in any case."""
        key = (repository.path, digest)
        if key in self._manifests:
            return Present()
        if key in self._flights:
            return Wait(self._flights[key])
        self._flights[key] = Flight("")
        return Lead(self._flights[key])

    def lost(self, repository: TargetRepository, digest: Digest) -> None:
        """Record that the repository has lost a manifest or blob that it had; such a blob is sent, not mounted."""
        self._to_send.add((repository.path, digest))
        if (repository.path, digest) in self._manifests:
            self._manifests.discard((repository.path, digest))
            self.manifest_absent(repository, digest)
        if self._holders.get(digest, {}).pop(repository.path, None) is not None:
            self.memory.forget_blob(self.host, repository.path, digest)
