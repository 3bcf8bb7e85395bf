"""
What this pass has seen at one target host, and who is bringing what there.

Only what was uploaded, mounted, or answered for by the host in this pass counts as there. A claim is decided at
once, with no waiting in between, so two tasks do not bring the same thing to the same repository. Nobody who waits
for a claim holds a slot or a claim that another waits for: a claim's owner only ever waits for requests, for slots,
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


# Blobs that a host did not take, in a row, each with all its attempts, before no others are read for it.
_IN_VAIN = 8
# Seconds after which one is sent all the same.
_PAUSE = 10.0
# Seconds between two looks at whether the source of a blob that others wait for is slow.
_LOOK = 0.5
# Seconds within which a blob that is waited for by images of other sources has to be on its way.
_BEGINS = 10.0


@dataclass(slots=True, eq=False)
class Flight:
    """A blob or manifest on its way to a repository; `done` is settled when its owner gives the claim back."""

    source: str
    """The host that it comes from."""
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    is_source_slow: Callable[[], bool] | None = None
    """Return whether the source gives next to nothing; None while nothing is asked of it."""

    def is_slow(self) -> bool:
        """Return whether who has another source need not wait for it."""
        if self.is_source_slow is not None:
            return self.is_source_slow()
        return asyncio.get_running_loop().time() - self.begun > _BEGINS

    async def wait(self, source: str) -> bool:
        """Wait for its end; False where that may take long for the sake of another source than this one."""
        while not self.done.done():
            await asyncio.wait([self.done], timeout=None if source == self.source else _LOOK)
            if not self.done.done() and self.is_slow():
                return False
        return True


@dataclass(frozen=True, slots=True)
class Present:
    """The repository has it: seen there, or brought there, in this pass."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else is bringing it, here or to another repository of the host; then claim again."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class Commit:
    """It can be mounted from where another manifest is about to be put; then claim again."""

    until: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Lead:
    """Owned: bring it; best by a mount from `holder`, which has it, or from `hint`, which had it once."""

    flight: Flight
    holder: Repository | None = None
    hint: str | None = None
    is_known: bool = False
    """Whether an earlier pass saw it in this very repository: it is worth a look."""


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
        """`arrived` is called for each blob that is seen at the host for the first time."""
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
        # Blobs that were lost, so that a mount may be what did not last: these are sent.
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
        Return what limits the upload sessions that are open for blobs of a source's host.

        Registries forget sessions that wait for long, and who waits for a target that takes few holds a slot of the
        source meanwhile. Twice as many as can be sent at once are enough for the next ones to be ready.
        """
        if source.host not in self._sessions:
            reads, sends = source.blob_slots, repository.upload_slots
            self._sessions[source.host] = Slots(
                f"sessions {source.host} {repository.host}", lambda: 2 * min(reads.limit, sends.limit)
            )
        return self._sessions[source.host]

    # Repositories

    def found_empty(self, repository: TargetRepository) -> None:
        """Record that the repository lists no tag: small things are brought without a look."""
        if repository.path not in self._touched:
            self._empty.add(repository.path)

    def is_empty(self, repository: TargetRepository) -> bool:
        """Return whether nothing speaks for it that the repository held anything before this pass."""
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
        Decide who brings the blob; who gets a Lead has to call `release`, whatever happens.

        `unit` is the manifest that needs it: it may have to wait for another one before the blob can be mounted.
        With `alone` nobody is waited for: the blob may then come twice.
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
            # It was there before us, whatever the list of tags has told.
            self._empty.discard(repository.path)
        self._touched.add(repository.path)
        self.memory.learn_blob(self.host, repository.path, digest)
        self._holders.setdefault(digest, {})[repository.path] = repository
        self._arrived(digest)

    def hint_was_right(self, hint: str, digest: Digest) -> None:
        """Record that a blob was mounted from where an earlier pass had seen it."""
        self._has_granted_hint = True
        self.memory.counts.hits += 1
        self.memory.learn_blob(self.host, hint, digest)

    def hint_was_wrong(self, hint: str, digest: Digest) -> None:
        """
        Record that a blob was not mounted from where an earlier pass had seen it.

        At a host that has granted such mounts the blob is gone from there; at others no more are tried.
        """
        self.memory.counts.misses += 1
        if self._has_granted_hint:
            self.memory.forget_blob(self.host, hint, digest)
        else:
            self._asks_hints = False

    def release(self, repository: TargetRepository, digest: Digest, flight: Flight) -> None:
        """Give a claim back, brought or not; who waits claims again. Does nothing the second time."""
        key = (repository.path, digest)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if self._leads.get(digest) is flight:
            del self._leads[digest]
        if not flight.done.done():
            flight.done.set_result(None)

    # Failures

    def failed(self, source: Repository, repository: TargetRepository, digest: Digest, error: OcyncError) -> None:
        """Record that a blob or manifest of a source could not be brought: the next image need not try it again."""
        # A copy, which does not keep the frames that the error comes through, with all that is in them.
        self._failures[source.name, repository.path, digest] = copy(error)

    def check_failure(self, source: Repository, repository: TargetRepository, digest: Digest) -> None:
        """Raise what a blob or manifest of a source has failed with, if it has."""
        error = self._failures.get((source.name, repository.path, digest))
        if error is not None:
            raise copy(error)

    def refused(self, error: OcyncError) -> None:
        """Count a blob that the host did not take, whatever was tried; one of a source's errors is none."""
        # Harbor says only when all bytes have come that the project is full (goharbor/harbor#17390).
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
        Raise where no blob is to be sent: so many in a row were sent in vain, as to a disk that is full.

        Now and then it lets one through, which shows whether that has changed.
        """
        last = self._refusal
        if last is None or self._sent_in_vain < _IN_VAIN or self._clock() >= self._next_try:
            self._next_try = self._clock() + _PAUSE
            return
        raise type(last)(
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

    # Manifests

    def has_manifest(self, repository: TargetRepository, digest: Digest) -> bool:
        """Return whether the repository was seen to hold the manifest, and all below it, in this pass."""
        return (repository.path, digest) in self._manifests

    def is_absent(self, repository: TargetRepository, digest: Digest) -> bool:
        """Return whether the repository was seen to lack the manifest, and nobody has brought it since."""
        return (repository.path, digest) in self._absent

    def manifest_absent(self, repository: TargetRepository, digest: Digest) -> None:
        """Record that the repository lacks the manifest."""
        self._absent.add((repository.path, digest))

    def manifest_seen(self, repository: TargetRepository, digest: Digest) -> None:
        """Record that the repository holds the manifest and all below it."""
        self._absent.discard((repository.path, digest))
        self._manifests.add((repository.path, digest))

    def lacking(self, repository: TargetRepository, manifest: Manifest) -> list[Digest]:
        """Return the parts of a manifest that were not seen at the repository in this pass: it must not be put."""
        blobs = [blob.digest for blob in manifest.copied_blobs if not self.has_blob(repository, blob.digest)]
        children = [child.digest for child in manifest.copied_children]
        return [*blobs, *(digest for digest in children if not self.has_manifest(repository, digest))]

    def claim_manifest(self, repository: TargetRepository, digest: Digest) -> Present | Wait | Lead:
        """Decide who puts the manifest; who gets a Lead has to call `release`, whatever happens."""
        key = (repository.path, digest)
        if key in self._manifests:
            return Present()
        if key in self._flights:
            return Wait(self._flights[key])
        self._flights[key] = Flight("")
        return Lead(self._flights[key])

    def lost(self, repository: TargetRepository, digest: Digest) -> None:
        """
        Record that the repository has lost a manifest or blob that it was seen to hold: it is not mounted again.
        """
        self._to_send.add((repository.path, digest))
        if (repository.path, digest) in self._manifests:
            self._manifests.discard((repository.path, digest))
            self.manifest_absent(repository, digest)
        if self._holders.get(digest, {}).pop(repository.path, None) is not None:
            self.memory.forget_blob(self.host, repository.path, digest)
