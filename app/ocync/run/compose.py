"""One pass, from a configuration to a report: assembles the engine, and keeps the deadline."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ocync.cache.store import CacheStore, StateLocation
from ocync.registry.limits.aimd import starts_in, text_of
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.registry.upload_strategy import form_in, text_of_form
from ocync.report.summary import RunReport
from ocync.run.repositories import RepositoryFactory
from ocync.transfer.engine import RETURN_TIME, Pass, PassSettings
from ocync.transfer.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ocync.cache.hints import Hints
    from ocync.config.model import GlobalSettings, MappingConfig
    from ocync.lib.shutdown import Stop
    from ocync.plan.discover import Repositories, Resolved
    from ocync.plan.model import Candidate
    from ocync.transfer.events import Sink

log = logging.getLogger(__name__)

_LIMITS = "limits"
_UPLOADS = "uploads"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOptions:
    """The options of a pass besides its configuration."""

    dry_run: bool = False
    audit: float | None = None
    """Check everything below the tags at targets, and read and hash this share of the blobs (0 to 1)."""
    resolved: Callable[[Resolved], None] = lambda _resolved: None
    """Called with the tags of each mapping as soon as they are known."""
    secret: Callable[..., None] = lambda _secret, username="": None
    """Called with each password that is sent to a registry, and its user name."""
    cache_dir: Path | None = None
    """The folder of the cache; None to keep nothing."""
    cache: CacheStore = field(default_factory=CacheStore)
    """Shared by the passes of a program that makes several."""


async def run_pass(
    settings: GlobalSettings,
    work: Callable[[Repositories], Sequence[MappingConfig | Candidate]],
    *,
    environ: Mapping[str, str],
    stop: Stop,
    sink: Sink,
    options: PassOptions,
) -> RunReport:
    """
    Make one pass and return its report. Raises only ConfigError, for settings that can't be used.

    `work` returns the mappings or images, made with the repositories of the pass.
    """
    tally = RequestTally()

    def count_retry(error: BaseException) -> None:
        tally.retries += 1
        log.debug("trying again: %s", error)

    policy = RetryPolicy(
        attempts=settings.retry.attempts,
        max_delay=settings.retry.max_delay,
        stopping=stop.requested,
        on_retry=count_retry,
    )
    started_at, started = datetime.now(UTC), time.monotonic()
    repositories = RepositoryFactory(
        timeouts=settings.timeouts, policy=policy, tally=tally, environ=environ, secret=options.secret
    )
    async with (
        repositories,
        options.cache.open(
            kept(settings, repositories, stop, folder=options.cache_dir, keep=not options.dry_run),
            ttl=settings.cache_ttl,
        ) as memory,
    ):
        begin_as_learned(repositories, memory)
        with kept_deadline(stop, settings.deadline):
            items = work(repositories)
            results = await Pass(
                repositories=repositories,
                settings=PassSettings(
                    images_at_once=settings.max_concurrent_transfers,
                    return_time=min(RETURN_TIME, settings.retry.max_delay),
                    dry_run=options.dry_run,
                    audit=options.audit,
                    audit_every=settings.audit_every,
                ),
                policy=policy,
                stop=stop,
                sink=sink,
                resolved=options.resolved,
                requests=lambda: sum(sum(classes.values()) for classes in tally.requests.values()),
                memory=memory,
                staging=Staging(settings.cache_dir / "tmp", settings.staging_size_limit),
            ).run(items)
        for host, starts in repositories.learned().items():
            if starts:
                memory.learn_hint(_LIMITS, host, text_of(starts))
            elif memory.hint(_LIMITS, host) is not None:
                memory.forget_hint(_LIMITS, host)
        for host, single in repositories.single_posts().items():
            if form_in(memory.hint(_UPLOADS, host), time.time()) is not single:
                memory.learn_hint(_UPLOADS, host, text_of_form(single, time.time()))
    # A stop that comes after the last image has interrupted nothing.
    interrupted = any(result.error is not None and result.error.kind == "interrupted" for result in results)
    return RunReport(
        run_id=str(uuid.uuid4()),
        started_at=started_at,
        duration=time.monotonic() - started,
        images=results,
        dry_run=options.dry_run,
        interrupted=stop.reason if interrupted else None,
        requests={host: dict(classes) for host, classes in tally.requests.items()},
        retries=tally.retries,
        mappings=len(items),
        discovery_cache_hits=memory.counts.hits,
        discovery_cache_misses=memory.counts.misses,
        discovery_target_stale=memory.counts.stale,
    )


def kept(
    settings: GlobalSettings, repositories: RepositoryFactory, stop: Stop, *, folder: Path | None, keep: bool
) -> StateLocation:
    """Return the location of the cache, in `folder` if one is given; without `keep` it is only read."""
    state = settings.state
    return StateLocation(
        folder=folder,
        repository=repositories.target(state.registry, state.repository) if state is not None else None,
        tag=state.tag if state is not None else "",
        keep=keep,
        in_a_hurry=stop.requested,
    )


def begin_as_learned(repositories: RepositoryFactory, memory: Hints) -> None:
    """Begin at each host with the limits and the form of uploads that earlier passes learned."""
    repositories.begin_at(
        lambda host: starts_in(memory.hint(_LIMITS, host)),
        lambda host: form_in(memory.hint(_UPLOADS, host), time.time()),
    )


@contextmanager
def kept_deadline(stop: Stop, seconds: float | None) -> Iterator[None]:
    """Request the stop after so many seconds, unless the context ends first."""
    if seconds is None:
        yield
        return
    timer = asyncio.get_running_loop().call_later(seconds, stop.expire, f"deadline of {seconds:g} s")
    try:
        yield
    finally:
        timer.cancel()
