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
        return asyncio.run(_Watch(first, options, environ, redactor).run())


class _Watch:
    """The state between two passes: the configuration that was valid last."""

    def __init__(
        self, first: Config, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor
    ) -> None:
        self._config = first
        self._fresh = True
        self._said: tuple[str, ...] = ()
        self._options = options
        self._environ = environ
        self._redactor = redactor
        self._stop = Stop(grace=options.grace_period)

    async def run(self) -> int:
        options, stop = self._options, self._stop
        state = HealthState(interval=options.interval)
        with stopped_by_signals(stop):
            async with HealthServer(options.health_bind, options.health_port, state):
                while True:
                    started = time.monotonic()
                    report = await self._pass()
                    state.finished(report)
                    # Of a configuration that can't be used, not even where its metrics go is known.
                    metrics = self._config.metrics
                    await delivery.deliver(report, metrics, options, self._environ, interval=options.interval)
                    if stop.requested():
                        return report.exit_code if report.interrupted else ExitCode.OK
                    elapsed = time.monotonic() - started
                    await _pause(stop, max(_SHORTEST_PAUSE, options.interval - elapsed))
                    if stop.requested():
                        return ExitCode.OK

    async def _pass(self) -> RunReport:
        """Read the configuration anew and make a pass; one that is wrong is the report of a failed pass."""
        started_at, started = datetime.now(UTC), time.monotonic()
        if not self._fresh:
            try:
                self._config = load(Path(self._options.config), self._environ)
            except ConfigError as error:
                log.error("the configuration can't be used, and no image is looked at: %s", error)
                elapsed = time.monotonic() - started
                return RunReport.of_failure(
                    error, run_id=str(uuid.uuid4()), started_at=started_at, duration=elapsed
                )
        self._fresh = False
        passes.hide_secrets(self._config, self._redactor)
        remarks = passes.remarks(self._config)
        if remarks != self._said:
            passes.say(remarks)
            self._said = remarks
        job = passes.job_of(self._config)
        return await passes.perform(job, self._options, self._environ, self._stop, self._redactor)


async def _pause(stop: Stop, seconds: float) -> None:
    """Wait for the next pass, or until a stop is requested."""
    requested = asyncio.Event()
    with stop.listening(lambda _seconds: requested.set()):
        try:
            async with asyncio.timeout(seconds):
                await requested.wait()
        except TimeoutError:
            return
