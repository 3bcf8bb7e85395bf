"""
What a target has lost below tags that are as they should be: found by looking at everything, then brought again.

A registry's clean-up, a bucket's lifecycle rule or a broken disk takes manifests and blobs and leaves the tag, and
its digest, as they were; no comparison of digests ever shows that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.concurrency import each_of
from ocync.errors import NotFoundError, VerificationError
from ocync.flights import Flights
from ocync.oci import media
from ocync.oci.digest import Verifier
from ocync.slots import reserve
from ocync.transfer.image import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocync.endpoint import TargetRepository
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor
    from ocync.registry.waiting import RetryPolicy


@dataclass(slots=True)
class Lost:
    """What is not there, though something that is there lists it."""

    manifests: list[Descriptor] = field(default_factory=list)
    """Each with all that it lists: what is below it was not looked at."""
    blobs: list[Descriptor] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.manifests or self.blobs)


class Audit:
    """Looks at targets, at each manifest and blob of a repository once; made for one pass."""

    def __init__(
        self, policy: RetryPolicy, *, share: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        """`share` (0 to 1) of the blobs are read and hashed; of the others their presence and length count."""
        self._policy = policy
        self._share = share
        self._chance = chance
        self._flights: Flights[tuple[str, Digest], tuple[Descriptor, ...] | None] = Flights()
        self._sound: dict[tuple[str, Digest], tuple[Descriptor, ...]] = {}
        """What was found to be there, with what it lists: each image walks over it, and asks for nothing twice."""

    def __repr__(self) -> str:
        return f"<Audit: {len(self._sound)} manifests and blobs are sound>"

    async def of(self, repository: TargetRepository, parts: Iterable[Descriptor]) -> Lost:
        """
        Return what the repository has lost of these manifests and blobs, and of all that is below them.

        Raises VerificationError for content that is there and wrong: registries do not take a digest a second time,
        so only a person can mend that; and what keeps it from being looked at.
        """
        lost = Lost()
        level = list(parts)
        for _ in range(MAX_DEPTH):
            if not level:
                break
            below: list[Descriptor] = []

            async def look(part: Descriptor, below: list[Descriptor] = below) -> None:
                await self._look(repository, part, lost, below)

            wanted = {descriptor.digest: descriptor for descriptor in level if not descriptor.is_foreign}
            await each_of(wanted.values(), look)
            level = below
        return lost

    async def _look(
        self, repository: TargetRepository, part: Descriptor, lost: Lost, below: list[Descriptor]
    ) -> None:
        key = (repository.name, part.digest)
        if key not in self._sound:
            listed = await self._flights.run(key, lambda: self._listed(repository, part))
            if listed is None:
                (lost.manifests if media.is_manifest_like(part.media_type) else lost.blobs).append(part)
                return
            self._sound[key] = listed
        below += self._sound[key]

    async def _listed(self, repository: TargetRepository, part: Descriptor) -> tuple[Descriptor, ...] | None:
        """Return what a part lists, nothing for a blob; None where the part is not there."""
        if media.is_manifest_like(part.media_type):
            try:
                manifest = await repository.manifest(str(part.digest), size=part.size)
            except NotFoundError:
                return None
            return (*manifest.children, *manifest.blobs)
        if not await repository.has_blob(part):
            return None
        if self._chance() < self._share:
            await self._read(repository, part)
        return ()

    async def _read(self, repository: TargetRepository, blob: Descriptor) -> None:
        async for attempt in self._policy.retrying():
            with attempt:
                await _hash(repository, blob)


async def _hash(repository: TargetRepository, blob: Descriptor) -> None:
    verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=repository.name)
    try:
        async with reserve([repository.slots]), repository.blob(blob) as pieces:
            async for piece in pieces:
                verifier.update(piece)
        verifier.finish()
    except VerificationError as error:
        error.retryable = False
        error.hint = "the target's storage is damaged: delete that blob there, and let the next pass bring it"
        raise
