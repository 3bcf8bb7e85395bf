"""Our side of a registry, put together as a pass does it, but without waiting between attempts."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from ocync.config.model import MappingConfig, RegistryConfig, TagRules, Timeouts, TlsSettings
from ocync.http.pool import Pool
from ocync.http.trust import context
from ocync.interrupt import Stop
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.oci.reference import Registry
from ocync.registry.client import RegistryClient, RequestTally
from ocync.registry.repository import RegistryRepository
from ocync.registry.waiting import RetryPolicy
from ocync.slots import Slots
from ocync.transfer.engine import Pass, PassSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence

    from ocync.plan.model import Candidate
    from ocync.transfer.events import Event
    from ocync.transfer.result import ImageResult

IDLE = 0.5
"""Seconds without a byte after which our side gives up: registries of tests are on loopback."""


@dataclass
class Waits:
    """Stands for the sleep between two attempts: takes no time, and remembers how long it would have been."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@dataclass(kw_only=True)
class Side:
    """One client program: its retries, its connections, and its clients of several registries."""

    idle: float = IDLE
    attempts: int = 5
    slots: int = 8
    trust: ssl.SSLContext | None = None
    waits: Waits = field(default_factory=Waits)
    tally: RequestTally = field(default_factory=RequestTally)
    stop: Stop = field(default_factory=lambda: Stop(grace=1))

    def __post_init__(self) -> None:
        self.policy = RetryPolicy(attempts=self.attempts, sleep=self.waits, stopping=self.stop.requested)
        self._clients: dict[str, RegistryClient] = {}
        self._repositories: dict[tuple[str, str, bool], RegistryRepository] = {}
        self._closing = AsyncExitStack()
        self._pool = Pool(trust=lambda: self.trust or context(TlsSettings()))
        self._closing.push_async_callback(self._pool.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._closing.aclose()

    def client(self, url: str) -> RegistryClient:
        """Return the client of the registry at `http://host:port`."""
        if url not in self._clients:
            registry = Registry.parse(url)
            self._clients[url] = RegistryClient(
                registry=registry,
                pool=self._pool,
                slots=Slots(registry.host, self.slots),
                policy=self.policy,
                timeouts=Timeouts(connect=2.0, idle=self.idle),
                tally=self.tally,
            )
        return self._clients[url]

    def repository(self, url: str, name: str = "team/app", *, writable: bool = True) -> RegistryRepository:
        """Return a repository; the same one for the same arguments."""
        key = (url, name, writable)
        if key not in self._repositories:
            self._repositories[key] = RegistryRepository(self.client(url), name, writable=writable)
        return self._repositories[key]

    # As ocync.plan.discover.Places.

    def source(self, registry: RegistryConfig, repository: str) -> RegistryRepository:
        assert registry.registry is not None
        return self.repository(registry.registry.api, repository, writable=False)

    def target(self, registry: RegistryConfig, repository: str) -> RegistryRepository:
        assert registry.registry is not None
        return self.repository(registry.registry.api, repository)

    async def sync(
        self,
        *work: MappingConfig | Candidate,
        within: float = 20.0,
        at_once: int = 10,
        sink: Callable[[Event], None] = lambda _event: None,
    ) -> dict[str, ImageResult]:
        """Make one pass, which has to end within so many seconds; the results by the name of the target."""
        engine = Pass(
            places=self,
            settings=PassSettings(images_at_once=at_once),
            policy=self.policy,
            stop=self.stop,
            sink=sink,
        )
        async with asyncio.timeout(within):
            results = await engine.run(work)
        assert len({(r.source, r.target) for r in results}) == len(results)
        return {result.target: result for result in results}


@asynccontextmanager
async def repository_of(
    url: str, name: str = "team/app", *, writable: bool = True, within: float = 15.0, **options: object
) -> AsyncIterator[RegistryRepository]:
    """Give one repository; what is done with it has to be done within so many seconds."""
    async with Side(**options) as side, asyncio.timeout(within):  # type: ignore[arg-type]
        yield side.repository(url, name, writable=writable)


def mapping(
    source: str, *targets: str, repository: str = "team/app", tags: TagRules | None = None
) -> MappingConfig:
    """Map one repository from the registry at a URL to those at others."""
    return MappingConfig(
        name=repository,
        source=config_of(source),
        source_repository=repository,
        targets=tuple((config_of(url), repository) for url in targets),
        tags=tags or TagRules(),
    )


def config_of(url: str) -> RegistryConfig:
    """Return the configuration of the registry at a URL."""
    return RegistryConfig(name=url, registry=Registry.parse(url))


def descriptor(data: bytes, algorithm: str = "sha256") -> Descriptor:
    """Return the descriptor of a blob."""
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(data, algorithm), size=len(data))


async def read(repository: RegistryRepository, blob: Descriptor) -> bytes:
    """Read a blob once, unverified."""
    async with repository.slots.hold(), repository.blob(blob) as pieces:
        return b"".join([piece async for piece in pieces])


async def write(repository: RegistryRepository, data: bytes, *, blob: Descriptor | None = None) -> None:
    """Upload a blob once."""
    upload = await repository.open_upload(blob or descriptor(data))
    assert upload is not None
    async with repository.slots.hold():
        await upload.send(cut(data))


async def cut(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """Give bytes in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def seconds_of(waits: Sequence[float]) -> list[int]:
    """Return waits in whole seconds, downwards."""
    return [int(wait) for wait in waits]
