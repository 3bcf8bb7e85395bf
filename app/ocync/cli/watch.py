"""`ocync watch`: passes for ever, with endpoints that tell how they go."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import delivery, passes
from ocync.config.load import load
from ocync.errors import ConfigError, ExitCode
from ocync.health import HealthServer, HealthState
from ocync.interrupt import Stop, stopped_by_signals
from ocync.report.summary import RunReport

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ocync.config.model import Config
    from ocync.redaction import Redactor

log = logging.getLogger(__name__)

# A pass that takes longer than the interval is not followed by the next one without a breath.
_SHORTEST_PAUSE = 1.0


def watch(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """
    Make passes until a signal comes: 0 when it came between passes or the last one was complete, else 5.

    A configuration that is wrong at the start ends the program with 3, so that whoever installed it notices; one
    that is wrong later is a failed pass.
    """
    with passes.logging_as_asked(options, environ) as redactor:
        first = load(Path(options.config), environ)
        return asyncio.run(_watch(first, options, environ, redactor))


async def _watch(first: Config, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor) -> int:
    stop = Stop(grace=options.grace_period)
    state = HealthState(interval=options.interval)
    seen: tuple[str, ...] | None = None
    config: Config | None = first
    with stopped_by_signals(stop):
        async with HealthServer(options.health_bind, options.health_port, state):
            while True:
                started = time.monotonic()
                if config is None:
                    config = _load(options, environ, state, started)
                if config is not None:
                    if (config.warnings, *config.unused) != seen:
                        passes.introduce(config, redactor)
                        seen = (config.warnings, *config.unused)
                    report = await passes.perform(passes.job_of(config), options, environ, stop)
                    state.finished(report)
                    await delivery.deliver(report, config.metrics, options, environ, interval=options.interval)
                    if stop.requested():
                        return report.exit_code if report.interrupted else ExitCode.OK
                config = None
                await _pause(stop, max(_SHORTEST_PAUSE, options.interval - (time.monotonic() - started)))
                if stop.requested():
                    return ExitCode.OK


def _load(
    options: argparse.Namespace, environ: Mapping[str, str], state: HealthState, started: float
) -> Config | None:
    """Read the configuration anew; one that is wrong is a failed pass."""
    started_at = datetime.now(UTC)
    try:
        return load(Path(options.config), environ)
    except ConfigError as error:
        log.error("the configuration can't be used, and no image is looked at: %s", error)  # noqa: TRY400
        state.finished(
            RunReport.of_failure(
                error,
                run_id=str(uuid.uuid4()),
                started_at=started_at,
                duration=time.monotonic() - started,
            )
        )
        return None


async def _pause(stop: Stop, seconds: float) -> None:
    """Wait for the next pass, or until a stop is requested."""
    requested = asyncio.Event()
    with stop.listening(lambda _seconds: requested.set()):
        try:
            async with asyncio.timeout(seconds):
                await requested.wait()
        except TimeoutError:
            return
