"""The manifests below an image, fetched from the source and kept as digests and sizes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ocync.analyze.facts import Parts, copied_parts
from ocync.errors import ProtocolError
from ocync.transfer.image import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.analyze.counted import Counted
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest

# Children of one image that are asked for at once; slots decide what runs.
_AT_ONCE = 16


class Contents:
    """Manifests of all images; each is fetched once, whichever images list it."""

    def __init__(self) -> None:
        self.parts: dict[Digest, Parts] = {}
        self.sizes: dict[Digest, int] = {}
        """The blobs, in bytes."""
        self.subjects: dict[Digest, Digest] = {}
        """What artifacts say that they belong to."""
        self._lengths: dict[Digest, int] = {}
        """What indexes say of their children's length, in bytes; lists of referrers may say it wrong."""
        self._digests: dict[Digest, Digest] = {}
        """The one object for all equal digests: a layer is listed by many."""
        self._flights: dict[Digest, asyncio.Future[None]] = {}

    def __repr__(self) -> str:
        return (
            f"<Contents: {len(self.parts)} manifests, {len(self.sizes)} blobs, {len(self._flights)} on their way>"
        )

    async def complete(self, source: Counted, root: Manifest) -> None:
        """Hold afterwards everything below the image; raises OcyncError, perhaps in a group."""
        self._keep(root)
        await self._complete(source, root.digest)

    async def fetch(self, source: Counted, artifact: Descriptor) -> None:
        """Hold afterwards an artifact and everything below it; raises OcyncError, perhaps in a group."""
        await self._bring(source, artifact.digest)
        await self._complete(source, artifact.digest)

    async def _complete(self, source: Counted, root: Digest) -> None:
        below = self.parts[root].manifests
        seen: set[Digest] = set()
        depth = 0
        while below:
            depth += 1
            if depth > MAX_DEPTH:
                raise ProtocolError(f"an index of {source.name} is nested too deep")
            await self._fetch(source, below)
            seen.update(below)
            deeper = dict.fromkeys(part for child in below for part in self.parts[child].manifests)
            below = tuple(part for part in deeper if part not in seen)

    async def _fetch(self, source: Counted, children: Iterable[Digest]) -> None:
        remaining = iter(children)

        async def work() -> None:
            for child in remaining:
                await self._bring(source, child)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())

    async def _bring(self, source: Counted, child: Digest) -> None:
        while (flight := self._flights.get(child)) is not None:
            # Shielded: one who is cancelled must not take the flight from the others that wait for it.
            await asyncio.shield(flight)
        if child in self.parts:
            return
        flight = self._flights[child] = asyncio.get_running_loop().create_future()
        try:
            self._keep(await source.manifest_below(child, size=self._lengths.get(child)))
        finally:
            del self._flights[child]
            flight.set_result(None)

    def _keep(self, manifest: Manifest) -> None:
        if manifest.subject is not None:
            self.subjects[manifest.digest] = manifest.subject.digest
        manifests: list[Digest] = []
        blobs: list[Digest] = []
        for part, as_manifest in copied_parts(manifest):
            digest = self._digests.setdefault(part.digest, part.digest)
            (manifests if as_manifest else blobs).append(digest)
            (self._lengths if as_manifest else self.sizes).setdefault(digest, part.size)
        self.parts[manifest.digest] = Parts(manifests=tuple(manifests), blobs=tuple(blobs))
