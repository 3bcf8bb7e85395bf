"""
What is known to be at a place, and who is bringing what there.

Most of it this pass has seen or brought; what earlier passes knew is weighed by `ocync.transfer.recall`.

One ledger per place. A claim is decided at once, with no waiting in between, so two tasks never bring the same
thing to the same repository. Nobody who waits for a claim holds a slot or a claim that another waits for: a
claim's owner only ever waits for requests, and for the parts of what it brings.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.errors import QuotaError, RegistryError
from ocync.slots import Slots
from ocync.transfer.mounts import Mounts
from ocync.transfer.recall import FIRST, First, Recall

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.endpoint import Repository, TargetRepository
    from ocync.errors import OcyncError
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Manifest
    from ocync.transfer.mounts import Unit


# Blobs that a place did not take, in a row, each with all its attempts, before no others are read for it.
_IN_VAIN = 8
# Seconds after which one is sent all the same.
_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Present:
    """The repository has it: found there, or brought by this pass."""

    believed: bool = False
    """Whether nobody has seen it there in this pass: an earlier one has, or what lists it is there."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else is bringing it, here or to another repository of the place; then claim again."""

    until: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Mount:
    """Owned: bring it, best by a mount from the repository that holds it."""

    holder: Repository


@dataclass(frozen=True, slots=True)
class Lead:
    """Owned: bring it; others of the place wait for it."""

    first: First = FIRST


BlobClaim = Present | Wait | Mount | Lead
ManifestClaim = Present | Wait | Lead


class Ledger:
    """The state of one place; used from one event loop, never across an await."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, recall: Recall | None = None) -> None:
        self.recall = recall or Recall()
        self.mounts = Mounts()
        # What nobody has seen in this pass; among the holders, or the manifests, it is too.
        self._believed: set[tuple[str, Digest]] = set()
        # Blobs that were lost, so that a mount may be what did not last: these are sent.
        self._to_send: set[tuple[str, Digest]] = set()
        self._holders: dict[Digest, dict[str, TargetRepository]] = {}
        self._manifests: set[tuple[str, Digest]] = set()
        self._blob_flights: dict[tuple[str, Digest], asyncio.Future[None]] = {}
        self._leads: dict[Digest, tuple[str, asyncio.Future[None]]] = {}
        self._manifest_flights: dict[tuple[str, Digest], asyncio.Future[None]] = {}
        self._failures: dict[tuple[str, str, Digest], OcyncError] = {}
        self._sessions: dict[str, Slots] = {}
        self._clock = clock
        self._sent_in_vain = 0
        self._refusal: RegistryError | None = None
        self._next_try = 0.0

    def __repr__(self) -> str:
        return (
            f"<Ledger: {len(self._holders)} blobs and {len(self._manifests)} manifests present, "
            f"{len(self._blob_flights)} blobs and {len(self._manifest_flights)} manifests on their way>"
        )

    def sessions(self, source: Repository, repository: TargetRepository) -> Slots:
        """
        Return what limits the upload sessions that are open for blobs of a source's place.

        Registries forget sessions that wait for long, and who waits for a target that takes few holds a slot of the
        source meanwhile. Twice as many as can be sent at once are enough for the next ones to be ready.
        """
        if source.place not in self._sessions:
            reads, sends = source.blob_slots, repository.upload_slots
            self._sessions[source.place] = Slots(
                f"sessions {source.place} {repository.place}", lambda: 2 * min(reads.limit, sends.limit)
            )
        return self._sessions[source.place]

    def claim_blob(self, repository: TargetRepository, digest: Digest, unit: Unit | None = None) -> BlobClaim:
        """
        Decide who brings the blob; an owner (Mount, Lead) has to call `release_blob`, whatever happens.

        `unit` is the manifest that needs it: it may have to wait for another one before the blob can be mounted.
        """
        holders = self._holders.get(digest, {})
        key = (repository.path, digest)
        if repository.path in holders:
            return Present(believed=key in self._believed)
        if key in self._blob_flights:
            return Wait(self._blob_flights[key])
        if self.recall.believes_blob(repository, digest):
            self._believed.add(key)
            self._holders.setdefault(digest, {})[repository.path] = repository
            return Present(believed=True)
        others = [] if key in self._to_send else holders.values()
        holder = self.mounts.choose(others, repository.path, digest)
        if holder is None and digest in self._leads:
            return Wait(self._leads[digest][1])
        until = self.mounts.until(holder.path, digest, unit) if holder is not None else None
        if until is not None:
            return Wait(until)
        flight: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        first = FIRST if key in self._to_send else self.recall.first_for_blob(repository, digest)
        claim = Mount(holder) if holder is not None else Lead(first)
        # Last, so that nobody waits for a claim that was never given.
        self._blob_flights[key] = flight
        if isinstance(claim, Lead):
            self._leads[digest] = (repository.path, flight)
        return claim

    def blob_arrived(self, repository: TargetRepository, digest: Digest, *, is_new: bool = False) -> None:
        """Record that the repository holds the blob; `is_new` says that this pass has brought it."""
        if is_new:
            self.mounts.brought(repository.path, digest)
        self._believed.discard((repository.path, digest))
        self.recall.blob_found(repository, digest)
        self._holders.setdefault(digest, {})[repository.path] = repository

    def release_blob(self, repository: TargetRepository, digest: Digest) -> None:
        """Give a claim back, brought or not; who waits claims again. Does nothing the second time."""
        flight = self._blob_flights.pop((repository.path, digest), None)
        lead = self._leads.get(digest)
        if lead is not None and lead[0] == repository.path:
            del self._leads[digest]
        _wake(flight)

    def failed(self, source: Repository, repository: TargetRepository, digest: Digest, error: OcyncError) -> None:
        """Record that a blob or manifest of a source could not be brought: the next image need not try it again."""
        self._failures[source.name, repository.path, digest] = error

    def failure(self, source: Repository, repository: TargetRepository, digest: Digest) -> OcyncError | None:
        """Return why a blob or manifest of a source could not be brought, if that was tried."""
        return self._failures.get((source.name, repository.path, digest))

    def refused(self, error: OcyncError) -> None:
        """Count a blob that the place did not take, whatever was tried; one of a source's errors is none."""
        # Harbor says only when all bytes have come that the project is full (goharbor/harbor#17390).
        if isinstance(error, RegistryError) and (error.retryable or isinstance(error, QuotaError)):
            self._sent_in_vain += 1
            self._refusal = error

    def took(self) -> None:
        """Say that the place has taken a blob."""
        self._sent_in_vain = 0

    def refusal(self) -> OcyncError | None:
        """
        Return why no blob is to be sent: so many in a row were sent in vain, as to a disk that is full.

        Now and then there is none, so that one is sent and shows whether that has changed.
        """
        last = self._refusal
        if last is None or self._sent_in_vain < _IN_VAIN or self._clock() >= self._next_try:
            self._next_try = self._clock() + _PAUSE
            return None
        return type(last)(
            f"{last.host} takes no blobs; of the last one: {last.message}",
            host=last.host,
            status=last.status,
            code=last.code,
            hint=last.hint,
        )

    def forget_failures(self) -> None:
        """Let everything be tried again."""
        self._failures.clear()
        self._sent_in_vain = 0

    def claim_manifest(self, repository: TargetRepository, digest: Digest) -> ManifestClaim:
        """Decide who brings the manifest; an owner (Lead) has to call `release_manifest`, whatever happens."""
        key = (repository.path, digest)
        if key in self._manifests:
            return Present(believed=key in self._believed)
        if key in self._manifest_flights:
            return Wait(self._manifest_flights[key])
        claim = Lead(self.recall.first_for_manifest(repository, digest))
        self._manifest_flights[key] = asyncio.get_running_loop().create_future()
        return claim

    def manifest_arrived(self, repository: TargetRepository, digest: Digest) -> None:
        """Record that the repository holds the manifest, and with it all that it lists."""
        self.recall.manifest_found(repository, digest)
        self._believed.discard((repository.path, digest))
        self._manifests.add((repository.path, digest))

    def whole(self, repository: TargetRepository, manifest: Manifest) -> None:
        """Record that the repository holds a manifest, and so, unseen, all that it lists."""
        self.manifest_arrived(repository, manifest.digest)
        if not self.recall.may_believe(repository):
            return
        for blob in manifest.blobs:
            if repository.path not in self._holders.setdefault(blob.digest, {}):
                self._holders[blob.digest][repository.path] = repository
                self._believed.add((repository.path, blob.digest))
                self.recall.blob_found(repository, blob.digest)
        for child in manifest.children:
            key = (repository.path, child.digest)
            if key not in self._manifests:
                self._manifests.add(key)
                self._believed.add(key)
                self.recall.manifest_found(repository, child.digest)

    def disbelieve(self, repository: TargetRepository) -> None:
        """
        Believe nothing more of a repository: it has refused a manifest whose parts it was believed to hold.

        All that was only believed to be there can be claimed again, and is looked for.
        """
        self.recall.doubt(repository)
        self.drop_beliefs(repository)

    def drop_beliefs(self, repository: TargetRepository) -> None:
        """Have all claimed again that was only believed to be at a repository."""
        for path, digest in [key for key in self._believed if key[0] == repository.path]:
            self._believed.discard((path, digest))
            self._manifests.discard((path, digest))
            self._holders.get(digest, {}).pop(path, None)

    def unbelieved(self, repository: TargetRepository, digest: Digest) -> None:
        """Let a manifest be claimed that was only believed to be there."""
        self._believed.discard((repository.path, digest))
        self._manifests.discard((repository.path, digest))

    def lost(self, repository: TargetRepository, digest: Digest, *, is_new: bool = False) -> None:
        """
        Record that the repository does not hold a manifest or blob, whatever it was thought to hold.

        `is_new` says that this pass has brought it or seen it: it is not mounted again.
        """
        if is_new:
            self._to_send.add((repository.path, digest))
        self.disbelieve(repository)
        self.recall.blob_missed(repository, digest)
        self.recall.manifest_missed(repository, digest)
        self._manifests.discard((repository.path, digest))
        self._holders.get(digest, {}).pop(repository.path, None)

    def release_manifest(self, repository: TargetRepository, digest: Digest) -> None:
        """Give a claim back, brought or not; who waits claims again. Does nothing the second time."""
        _wake(self._manifest_flights.pop((repository.path, digest), None))


def _wake(flight: asyncio.Future[None] | None) -> None:
    if flight is not None and not flight.done():
        flight.set_result(None)
