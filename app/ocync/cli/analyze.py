"""`ocync analyze`: the cost of the next pass, and what images share; writes nothing and reads no blobs."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.analyze import as_json, rehearsal
from ocync.analyze.text import render
from ocync.cache.store import CacheStore, StateLocation
from ocync.cli import runner, streams
from ocync.config.load import load
from ocync.lib.shutdown import Stop, stopped_by_signals
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.report.progress.display import progress
from ocync.report.summary import RunReport
from ocync.report.text import render_failures, wants_color
from ocync.run.compose import begin_as_learned, kept, kept_deadline
from ocync.run.repositories import RepositoryFactory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ocync.analyze.rehearsal import AnalysisResult
    from ocync.config.model import Config
    from ocync.lib.redaction import Redactor


def analyze(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the forecast; the exit code is that of a pass with the same failures."""
    with runner.logging_by(options, environ) as redactor:
        config = load(Path(options.config), environ)
        runner.introduce(config, redactor)
        found, report = asyncio.run(_read(config, options, environ, redactor))
        _show(found, report.redacted(redactor), options, environ)
        return report.exit_code


async def _read(
    config: Config, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor
) -> tuple[AnalysisResult, RunReport]:
    settings, tally, stop = config.settings, RequestTally(), Stop(grace=0.0)
    policy = RetryPolicy(
        attempts=settings.retry.attempts, max_delay=settings.retry.max_delay, stopping=stop.requested
    )
    repositories = RepositoryFactory(
        timeouts=settings.timeouts, policy=policy, tally=tally, environ=environ, secret=redactor.add
    )
    started_at, started = datetime.now(UTC), time.monotonic()
    with stopped_by_signals(stop), progress(quiet=options.quiet, environ=environ) as sink:
        location = StateLocation()
        if not options.cold:
            location = kept(settings, repositories, stop, folder=settings.cache_dir, keep=False)
        async with repositories, CacheStore().open(location, ttl=settings.cache_ttl) as memory:
            begin_as_learned(repositories, memory)
            with kept_deadline(stop, settings.deadline):
                found = await rehearsal.analyze(
                    config.mappings,
                    repositories=repositories,
                    at_once=settings.max_concurrent_transfers,
                    stop=stop,
                    sink=sink,
                    cold=options.cold,
                    memory=memory,
                )
    report = RunReport(
        run_id=str(uuid.uuid4()),
        started_at=started_at,
        duration=time.monotonic() - started,
        images=found.results,
        dry_run=True,
        interrupted=None if found.is_whole else stop.reason,
        requests={host: dict(classes) for host, classes in tally.requests.items()},
        mappings=len(config.mappings),
    )
    return found, report


def _show(
    found: AnalysisResult, report: RunReport, options: argparse.Namespace, environ: Mapping[str, str]
) -> None:
    if options.json:
        streams.show(as_json.dump(found.analysis, report))
        return
    if not options.quiet:
        streams.show(render(found.analysis, report))
    failures = render_failures(report, color=wants_color(sys.stderr, environ))
    if failures:
        streams.say(failures.rstrip("\n"))
