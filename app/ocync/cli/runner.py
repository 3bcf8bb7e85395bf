"""What `sync`, `copy` and `watch` have in common: a pass with its log, progress, signals and results."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.cache.store import Keeper
from ocync.cli import output, streams
from ocync.config.secrets import secrets_of
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
    """What a pass is to do, and where its results go besides the terminal."""

    settings: GlobalSettings
    work: Callable[[Repositories], Sequence[MappingConfig | Candidate]]
    metrics: MetricsConfig | None = None
    interval: float | None = None
    """Seconds from one pass to the next, for the metrics, where that is known."""
    cache_dir: Path | None = None
    """Where what passes learn is kept; None without a configuration, which says where."""


def job_of(config: Config) -> Job:
    """Return the job of a whole configuration."""
    return Job(
        settings=config.settings,
        work=lambda _places: config.mappings,
        metrics=config.metrics,
        cache_dir=config.settings.cache_dir,
    )


@contextmanager
def logging_as_asked(options: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Redactor]:
    """Log as the command line says while the context lasts; gives what keeps secrets out of it."""
    redactor = Redactor()
    level = level_of(options.verbose, options.quiet, environ)
    with configured(level=level, form=options.log_format, redactor=redactor, environ=environ):
        yield redactor


def hide_secrets(config: Config, redactor: Redactor) -> None:
    """Keep a configuration's secrets out of whatever is said from now on."""
    for secret, username in secrets_of(config):
        redactor.add(secret, username=username)


def say(lines: tuple[str, ...]) -> None:
    """Log the remarks about a configuration."""
    for line in lines:
        log.warning("%s", line)


def introduce(config: Config, redactor: Redactor) -> None:
    """Hide a configuration's secrets, and say once what is odd about it."""
    hide_secrets(config, redactor)
    say(config.warnings)


def once(job: Job, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor) -> int:
    """Make one pass, deliver its results and return its exit code."""
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
    keeper: Keeper | None = None,
) -> RunReport:
    """
    Make one pass, showing its progress; a dry run shows how tags were selected.

    What registries say ends up in the report, and some say secrets: they are taken out of it. `keeper` is the
    program's, where it makes several passes.
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
                keeper=keeper or Keeper(),
            ),
        )
    return report.redacted(redactor)
