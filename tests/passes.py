"""Passes between places in memory, with no waiting between attempts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ocync.config.model import MappingConfig, RegistryConfig, TagRules
from ocync.lib.shutdown import Stop
from ocync.oci.reference import Registry
from ocync.registry.retry import RetryPolicy
from ocync.transfer.engine import Pass, PassSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from memory import MemoryRepository, Place
    from ocync.lib.errors import OcyncError
    from ocync.oci.reference import RepositoryName
    from ocync.transfer.events import Event
    from ocync.transfer.result import ImageResult
    from ocync.transfer.staging import Staging


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


class MemoryPlaces:
    """Gives repositories of places in memory, by the registry's name."""

    def __init__(self, *repositories: Place) -> None:
        self._places = {host.name: host for host in repositories}

    def source(self, registry: RegistryConfig, repository: RepositoryName) -> MemoryRepository:
        return self._places[registry.name].repository(repository.path)

    def target(self, registry: RegistryConfig, repository: RepositoryName) -> MemoryRepository:
        return self._places[registry.name].repository(repository.path)


def mapping(path: str, *targets: str, tags: TagRules | None = None, source: str = "source") -> MappingConfig:
    return MappingConfig(
        name=path,
        source=registry(source),
        source_repository=registry(source).repository(path),
        targets=tuple((each := registry(name), each.repository(path)) for name in targets or ("a",)),
        tags=tags or TagRules(),
    )


def registry(name: str) -> RegistryConfig:
    return RegistryConfig(name=name, registry=Registry(f"{name}.example"))


def made(
    repositories: MemoryPlaces,
    *,
    stop: Stop | None = None,
    sink: Callable[[Event], None] = lambda _event: None,
    at_once: int = 4,
    dry_run: bool = False,
    staging: Staging | None = None,
) -> Pass:
    """Return a pass that is ready to run."""
    stop = stop or Stop(grace=1)
    return Pass(
        repositories=repositories,
        settings=PassSettings(images_at_once=at_once, dry_run=dry_run),
        policy=RetryPolicy(attempts=2, sleep=no_sleep, stopping=stop.requested),
        stop=stop,
        sink=sink,
        staging=staging,
    )


async def run(repositories: MemoryPlaces, *mappings: MappingConfig, **settings: Any) -> dict[str, ImageResult]:
    """Make one pass, which has to end within ten seconds; the results by the name of the target."""
    engine = made(repositories, **settings)
    async with asyncio.timeout(10):
        results = await engine.run(mappings)
    assert_at_rest(engine)
    assert len({(r.source, r.target) for r in results}) == len(results)
    return {result.target: result for result in results}


def assert_at_rest(engine: Pass, *repositories: Place) -> None:
    """Nothing is left behind by a pass that has ended: no claim, no manifest on its way, no read and no slot."""
    for claims in engine._attempts.claims.values():
        assert not claims._flights
        assert not claims._leads
        assert not claims.mounts._units
        for sessions in claims._sessions.values():
            assert (sessions.statistics.held, sessions.statistics.waiting) == (0, 0)
    assert repr(engine._reads) == "<BlobReads: 0 of them, 0 kept on disk>"
    assert repr(engine._attempts._sync._reader._flights) == "<Flights: 0 under way>"
    assert not engine._attempts._gate.locked()
    for host in repositories:
        assert (host.slots.statistics.held, host.slots.statistics.waiting) == (0, 0)


def failing(operation: str, error: OcyncError, *, times: int = 10**9, path: str = "") -> Callable[..., object]:
    """Return a step of a place that fails so many calls of an operation."""
    remaining = [times]

    def step(called: str, where: str, _subject: str) -> tuple[int, OcyncError | None]:
        if called == operation and path in where and remaining[0] > 0:
            remaining[0] -= 1
            return 1, error
        return 1, None

    return step
