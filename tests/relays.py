"""One blob from a scripted registry to others over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clients import Side
from ocync.lib.errors import OcyncError
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.plan.source import SourceImage
from ocync.transfer.blob_reads import BlobReads, Delivery
from scripted import GeneratedBlob, ScriptedRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.registry.repository import RegistryRepository
    from ocync.transfer.staging import Staging
    from scripted.content import Content

GET, UPLOADS = r"/blobs/sha256:", r"/uploads/"
CONTENT = GeneratedBlob(1_500_000, 11)
BLOB = Descriptor(media_type="x", digest=Digest.parse(CONTENT.digest()), size=CONTENT.size)


@dataclass
class Sent:
    """What became of the blob at one target."""

    done: bool = False
    error: OcyncError | None = None


@dataclass
class Course:
    """A source, some targets, and what came of a blob between them, which all targets need at the same time."""

    side: Side
    source: ScriptedRegistry
    targets: tuple[ScriptedRegistry, ...]
    deliveries: list[Sent] = field(default_factory=list)
    arrived: list[Sent] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)

    def put(self, content: Content, blob: Descriptor = BLOB) -> None:
        self.source.seed_blob("team/app", str(blob.digest), content)

    async def run(
        self,
        blob: Descriptor = BLOB,
        *,
        nearer: RegistryRepository | None = None,
        within: float = 10,
        staging: Staging | None = None,
        alone: bool = True,
    ) -> list[Sent]:
        source = self.side.repository(self.source.url, writable=False)
        repositories = [self.side.repository(target.url) for target in self.targets]
        held: set[str] = set()
        reads = BlobReads(self.side.policy, staging=staging, holds=lambda host, _digest: host in held)
        image = SourceImage(source, "1", hosts=[each.host for each in repositories], finished=reads.changed)

        async def bring(repository: RegistryRepository, sent: Sent) -> None:
            upload = await repository.open_upload(blob)
            assert upload is not None
            delivery = Delivery(blob, repository, upload, image=image, moved=self.moved.append)
            try:
                await reads.send(delivery, source, nearer=nearer)
            except OcyncError as error:
                sent.error = error
            else:
                sent.done = True
                held.add(repository.host)
                self.arrived.append(sent)
            finally:
                image.finish(repository.host)

        self.deliveries = [Sent() for _ in repositories]
        try:
            async with asyncio.timeout(within), asyncio.TaskGroup() as group:
                for repository, sent in zip(repositories, self.deliveries, strict=True):
                    group.create_task(bring(repository, sent))
        finally:
            await reads.close()
        assert all(sent.done or sent.error is not None for sent in self.deliveries)
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
