"""Our side of a registry, put together as a pass does it, but without waiting between attempts."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ocync.config.model import AuthType, MappingConfig, RegistryConfig, Secret, TagRules, Timeouts, TlsSettings
from ocync.lib.limiter import Time
from ocync.lib.shutdown import Stop
from ocync.oci import manifest as manifests
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.oci.reference import Registry
from ocync.plan.attachments import Attachments
from ocync.plan.model import Candidate, TargetState
from ocync.plan.source import SourceImage
from ocync.registry.repository import RegistryRepository
from ocync.registry.retry import GIVE_UP_AFTER, RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.run.repositories import RepositoryFactory
from ocync.transfer.engine import Pass, PassSettings
from scripted.evidence import PASSES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from ocync.cache.hints import Hints
    from ocync.oci.manifest import Manifest
    from ocync.registry.limits.aimd import Start
    from ocync.registry.limits.kinds import Kind
    from ocync.transfer.events import Event
    from ocync.transfer.result import ImageResult
    from ocync.transfer.staging import Staging
    from scripted import ScriptedRegistry
    from scripted.build import Image

IDLE = 0.5
"""Seconds without a byte after which our side gives up: registries of tests are on loopback."""


@dataclass
class Waits:
    """Stands for the sleep between two attempts: takes no time, and remembers how long it would have been."""

    seconds: list[float] = field(default_factory=list)
    _skipped: float = 0.0

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)

    @property
    def passed(self) -> float:
        """How many seconds would have been waited in all, where nothing waits beside something else."""
        return sum(self.seconds) + self._skipped

    def time(self) -> Time:
        """Give the time as it would be if it had been waited; what is to be done later is done at once."""

        def later(seconds: float, call: Callable[[], object]) -> asyncio.Handle:
            self._skipped += seconds
            return asyncio.get_running_loop().call_soon(call)

        return Time(now=lambda: time.monotonic() + self.passed, later=later)


@dataclass(kw_only=True)
class Side:
    """One client program: its settings, its retries and its places. Registries are named by their URLs."""

    connect: float = 2.0
    idle: float = IDLE
    attempts: int = 5
    give_up_after: float = GIVE_UP_AFTER
    slots: int = 8
    environ: Mapping[str, str] = field(default_factory=dict)
    account: tuple[str, str] | None = None
    """User name and password for every registry."""
    ca_file: Path | None = None
    waits: Waits = field(default_factory=Waits)
    sleep: Callable[[float], Awaitable[None]] | None = None
    """What is done instead of `waits` between two attempts."""
    starts: dict[str, dict[Kind, Start]] = field(default_factory=dict)
    """Where limits begin, as an earlier side has learned it."""
    tally: RequestTally = field(default_factory=RequestTally)
    stop: Stop = field(default_factory=lambda: Stop(grace=1))
    return_time: float = 0.5
    """Seconds that hosts which do not answer are waited for before the second try."""
    memory: Hints | None = None
    """What earlier passes have learned."""
    staging: Staging | None = None
    """Room for what slow targets have still to take."""

    def __post_init__(self) -> None:
        sleep = self.sleep or self.waits
        self.policy = RetryPolicy(
            attempts=self.attempts,
            give_up_after=self.give_up_after,
            sleep=sleep,
            stopping=self.stop.requested,
        )
        self.repositories = RepositoryFactory(
            timeouts=Timeouts(connect=self.connect, idle=self.idle),
            policy=self.policy,
            tally=self.tally,
            environ=self.environ,
            time=Time() if self.sleep else self.waits.time(),
        )
        self._by_hand = ExitStack()
        self.repositories.begin_at(lambda host: self.starts.get(host, {}))

    async def __aenter__(self) -> Self:
        await self.repositories.__aenter__()
        self._by_hand.enter_context(PASSES.by_hand())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._by_hand.close()
        await self.repositories.__aexit__(*exception)

    @property
    def requests(self) -> int:
        """How many requests have been made."""
        return sum(sum(classes.values()) for classes in self.tally.requests.values())

    def config(self, url: str) -> RegistryConfig:
        """Return the configuration of the registry at `http://host:port[/prefix]`."""
        login: dict[str, Any] = {"auth_type": AuthType.ANONYMOUS}
        if self.account is not None:
            name, password = self.account
            login = {
                "auth_type": AuthType.BASIC,
                "username": Secret(name, origin="a test"),
                "password": Secret(password, origin="a test"),
            }
        return RegistryConfig(
            name=url,
            registry=Registry.parse(url),
            max_concurrent=self.slots,
            tls=TlsSettings(ca_file=self.ca_file),
            **login,
        )

    def repository(self, url: str, name: str = "team/app", *, writable: bool = True) -> RegistryRepository:
        """Return a repository of the registry at a URL."""
        config = self.config(url)
        give = self.repositories.target if writable else self.repositories.source
        found = give(config, config.repository(name))
        assert isinstance(found, RegistryRepository)
        return found

    def mapping(
        self, source: str, *targets: str, repository: str = "team/app", tags: TagRules | None = None
    ) -> MappingConfig:
        """Map one repository from the registry at a URL to those at others."""
        return MappingConfig(
            name=repository,
            source=self.config(source),
            source_repository=self.config(source).repository(repository),
            targets=tuple((each := self.config(url), each.repository(repository)) for url in targets),
            tags=tags or TagRules(),
        )

    def candidate(
        self, source: str, reference: str, target: str, *, artifacts: bool = False, name: str = "team/app"
    ) -> Candidate:
        """Return the work of one image that is named, as `ocync copy` does it."""
        mapping = self.mapping(source, target, repository=name)
        origin = self.repository(source, name, writable=False)
        return Candidate(
            mapping=mapping,
            image=SourceImage(origin, reference),
            target=TargetState(repository=self.repository(target, name)),
            attachments=Attachments(origin, mapping.artifacts) if artifacts else None,
        )

    async def sync(
        self,
        *work: MappingConfig | Candidate,
        within: float = 20.0,
        **settings: Any,
    ) -> dict[str, ImageResult]:
        """Make one pass, which has to end within so many seconds; the results by the name of the target."""
        async with asyncio.timeout(within):
            results = await self.run(work, **settings)
        assert len({(r.source, r.target) for r in results}) == len(results)
        return {result.target: result for result in results}

    async def run(
        self,
        work: Sequence[MappingConfig | Candidate],
        *,
        at_once: int = 10,
        audit: float | None = None,
        audit_every: float | None = None,
        dry_run: bool = False,
        now: Callable[[], float] = time.time,
        sink: Callable[[Event], None] = lambda _event: None,
    ) -> tuple[ImageResult, ...]:
        """Make one pass, which registries of this process judge as one (`scripted.evidence`)."""
        before = self.requests
        engine = Pass(
            repositories=self.repositories,
            settings=PassSettings(
                images_at_once=at_once,
                dry_run=dry_run,
                return_time=self.return_time,
                audit=audit,
                audit_every=audit_every,
            ),
            policy=self.policy,
            stop=self.stop,
            sink=sink,
            now=now,
            requests=lambda: self.requests - before,
            memory=self.memory,
            staging=self.staging,
        )
        with PASSES.one():
            return await engine.run(work)


@asynccontextmanager
async def repository_of(
    url: str, name: str = "team/app", *, writable: bool = True, within: float = 15.0, **settings: Any
) -> AsyncIterator[RegistryRepository]:
    """Give one repository; what is done with it has to be done within so many seconds."""
    async with Side(**settings) as side, asyncio.timeout(within):
        yield side.repository(url, name, writable=writable)


def asked(registry: ScriptedRegistry) -> int:
    """Count all requests to a registry but the first look at /v2/."""
    return registry.count("*", r"^/(?!v2/?$)")


def descriptor(data: bytes, algorithm: str = "sha256") -> Descriptor:
    """Return the descriptor of a blob."""
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(data, algorithm), size=len(data))


def manifest_of(image: Image) -> Manifest:
    """Return the root of an image as it is read from a registry."""
    raw = image.root.raw
    return manifests.parse(
        raw, content_type=image.root.media_type, digest=Digest.parse(image.digest), where="a test"
    )


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
