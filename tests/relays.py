"""One blob from a scripted registry to others over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.transfer.relay import Delivery, relay

from clients import Side
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from scripted import GeneratedBlob, ScriptedRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ocync.registry.repository import RegistryRepository
    from ocync.transfer.staging import Staging
    from scripted.content import Content

GET, UPLOADS = r"/blobs/sha256:", r"/uploads/"
CONTENT = GeneratedBlob(1_500_000, 11)
BLOB = Descriptor(media_type="x", digest=Digest.parse(CONTENT.digest()), size=CONTENT.size)


@dataclass
class Course:
    """A source, some targets, and what came of a relay between them."""

    side: Side
    source: ScriptedRegistry
    targets: tuple[ScriptedRegistry, ...]
    deliveries: list[Delivery] = field(default_factory=list)
    arrived: list[Delivery] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)

    def put(self, content: Content, blob: Descriptor = BLOB) -> None:
        self.source.seed_blob("team/app", str(blob.digest), content)

    async def run(
        self,
        blob: Descriptor = BLOB,
        *,
        nearer: Sequence[RegistryRepository] = (),
        within: float = 10,
        staging: Staging | None = None,
        alone: bool = True,
    ) -> list[Delivery]:
        async with asyncio.timeout(within):
            for target in self.targets:
                repository = self.side.repository(target.url)
                upload = await repository.open_upload(blob)
                assert upload is not None
                self.deliveries.append(Delivery(repository, upload, self.moved.append))
            source = self.side.repository(self.source.url, writable=False)
            await relay(
                blob,
                [*nearer, source],
                self.deliveries,
                policy=self.side.policy,
                arrived=self.arrived.append,
                staging=staging,
            )
        assert all(delivery.done or delivery.error is not None for delivery in self.deliveries)
        assert set(map(id, self.arrived)) == {id(d) for d in self.deliveries if d.done}
        for registry in (self.source, *self.targets) if alone else ():
            statistics = self.side.repository(registry.url).slots.statistics
            assert (statistics.held, statistics.waiting) == (0, 0)
        return self.deliveries

    def held(self) -> list[bool]:
        """Which targets hold the blob."""
        return [str(BLOB.digest) in target.repository("team/app").blobs for target in self.targets]

    @property
    def reads(self) -> int:
        return self.source.count("GET", GET)


@asynccontextmanager
async def course(
    *, targets: int = 1, slots: int = 8, idle: float = 0.3, attempts: int = 5
) -> AsyncIterator[Course]:
    async with Side(slots=slots, idle=idle, attempts=attempts) as side, ScriptedRegistry() as source:
        registries = [ScriptedRegistry() for _ in range(targets)]
        for registry in registries:
            await registry.start()
        try:
            made = Course(side, source, tuple(registries))
            made.put(CONTENT)
            yield made
        finally:
            for registry in registries:
                await registry.stop()
                registry.check()
