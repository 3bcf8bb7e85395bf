"""A pass with its log, progress, signals and results, for `sync`, `copy` and `watch`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.cache.store import CacheStore
from ocync.cli import output, streams
from ocync.config.credentials import secrets_of
from ocync.lib.log import configured, level_of
from ocync.lib.redaction import Redactor
from ocync.lib.shutdown import Stop, stopped_by_signals
from ocync.report.progress.display import progress
from ocync.run.compose import PassOptions, run_pass

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ocync.config.model import Config, GlobalSettings, MappingConfig, MetricsConfig
    from ocync.plan.discover import Repositories, Resolved
    from ocync.plan.model import Candidate
    from ocync.report.summary import RunReport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The work of a pass, and where its results go besides the terminal."""

    settings: GlobalSettings
    work: Callable[[Repositories], Sequence[MappingConfig | Candidate]]
    metrics: MetricsConfig | None = None
    interval: float | None = None
    """Seconds from one pass to the next, for the metrics; None if unknown."""
    cache_dir: Path | None = None
    """The folder of the cache; None without a configuration."""


def job_of(config: Config) -> Job:
    """Return the job of a whole configuration."""
    return Job(
        settings=config.settings,
        work=lambda _repositories: config.mappings,
        metrics=config.metrics,
        cache_dir=config.settings.cache_dir,
    )


@contextmanager
def logging_by(options: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Redactor]:
    """Set up the log by the options while the context lasts; yield the redactor of the log."""
    redactor = Redactor()
    level = level_of(options.verbose, options.quiet, environ)
    with configured(level=level, form=options.log_format, redactor=redactor, environ=environ):
        yield redactor


def hide_secrets(config: Config, redactor: Redactor) -> None:
    """Redact the secrets of a configuration from now on."""
    for secret, username in secrets_of(config):
        redactor.add(secret, username=username)


def introduce(config: Config, redactor: Redactor) -> None:
    """Redact the secrets of a configuration, and log its warnings."""
    hide_secrets(config, redactor)
    log_warnings(config)


def log_warnings(config: Config) -> None:
    """Log the warnings about a configuration."""
    for warning in config.warnings:
        log.warning("%s", warning)


def once(job: Job, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor) -> int:
    """Make one pass, deliver its results and return the exit code."""
    return asyncio.run(_once(job, options, environ, redactor))


async def _once(job: Job, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor) -> int:
    stop = Stop(grace=options.grace_period)
    with stopped_by_signals(stop):
        report = await perform(job, options, environ, stop, redactor)
        await output.deliver(report, job.metrics, options, environ, stop=stop, interval=job.interval)
    return report.exit_code


async def perform(
    job: Job,
    options: argparse.Namespace,
    environ: Mapping[str, str],
    stop: Stop,
    redactor: Redactor,
    *,
    cache: CacheStore | None = None,
) -> RunReport:
    """
    Make one pass and show its progress; a dry run also shows how tags were selected.

    The report is redacted, since a registry's message may hold a secret. `cache` is shared by the passes of a
    program that makes several.
    """
    dry_run = getattr(options, "dry_run", False)
    shown = dry_run and not options.json and not options.quiet

    def resolved(mapping: Resolved) -> None:
        if shown:
            lines = output.selection(mapping, verbose=options.verbose > 0)
            streams.show("".join(f"{line}\n" for line in lines))

    with progress(quiet=options.quiet, environ=environ) as sink:
        report = await run_pass(
            job.settings,
            job.work,
            environ=environ,
            stop=stop,
            sink=sink,
            options=PassOptions(
                dry_run=dry_run,
                audit=getattr(options, "audit", None),
                resolved=resolved,
                secret=redactor.add,
                cache_dir=job.cache_dir,
                cache=cache or CacheStore(),
            ),
        )
    return report.redacted(redactor)
