"""`ocync watch`: passes until a signal, with endpoints for their state."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cache.store import CacheStore
from ocync.cli import output, runner
from ocync.config.load import load
from ocync.lib.errors import ConfigError, ExitCode
from ocync.lib.shutdown import Stop, stopped_by_signals
from ocync.report.summary import RunReport
from ocync.run.health import HealthServer, HealthState
from ocync.transfer.outcome import as_ocync_error

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ocync.config.model import Config
    from ocync.lib.redaction import Redactor

log = logging.getLogger(__name__)

# Seconds between two passes, if a pass takes longer than the interval.
_SHORTEST_PAUSE = 1.0


def watch(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """
    Make passes until a signal comes; return 5 if it interrupted a pass, otherwise 0.

    A configuration that is wrong at the start ends the program with 3, so that it is noticed at the installation.
    One that is wrong later is a failed pass. A failed pass does not end the program.
    """
    with runner.logging_by(options, environ) as redactor:
        first = load(Path(options.config), environ)
        return asyncio.run(_Watch(first, options, environ, redactor).run())


class _Watch:
    """The state that outlives a pass: the last valid configuration, the stop, the cache."""

    def __init__(
        self, first: Config, options: argparse.Namespace, environ: Mapping[str, str], redactor: Redactor
    ) -> None:
        self._config = first
        self._is_first = True
        self._logged: tuple[str, ...] = ()
        self._options = options
        self._environ = environ
        self._redactor = redactor
        self._stop = Stop(grace=options.grace_period)
        self._cache = CacheStore()

    async def run(self) -> int:
        options, stop = self._options, self._stop
        state = HealthState(interval=options.interval)
        with stopped_by_signals(stop):
            async with HealthServer(options.health_bind, options.health_port, state) as server:
                where = f"{options.health_bind} port {server.port}"
                log.info("a pass every %g s; /healthz, /readyz and /metrics on %s", options.interval, where)
                while not stop.requested():
                    started = time.monotonic()
                    report = await self._pass()
                    if report is None:
                        break
                    state.finished(report)
                    # The last valid configuration says where the metrics go, even if the present one is wrong.
                    metrics, environ = self._config.metrics, self._environ
                    interval = options.interval
                    await output.deliver(report, metrics, options, environ, stop=stop, interval=interval)
                    if stop.requested() and report.interrupted:
                        return report.exit_code
                    elapsed = time.monotonic() - started
                    await _pause(stop, max(_SHORTEST_PAUSE, options.interval - elapsed))
        return ExitCode.OK

    async def _pass(self) -> RunReport | None:
        """Make a pass; return None if a stop came first. Raises only ConfigError, and only for the first pass."""
        started_at, started = datetime.now(UTC), time.monotonic()
        is_first, self._is_first = self._is_first, False
        try:
            if not is_first:
                # In a thread, so that /healthz answers while a large file is parsed.
                self._config = await asyncio.to_thread(load, Path(self._options.config), self._environ)
            return None if self._stop.requested() else await self._perform(self._config)
        except Exception as error:
            if is_first and isinstance(error, ConfigError):
                raise
            failure = as_ocync_error(error, "this pass")
        for line in str(failure).splitlines():
            log.error("no image is looked at: %s", line)
        elapsed = time.monotonic() - started
        report = RunReport.of_failure(failure, run_id=str(uuid.uuid4()), started_at=started_at, duration=elapsed)
        return report.redacted(self._redactor)

    async def _perform(self, config: Config) -> RunReport:
        runner.hide_secrets(config, self._redactor)
        if config.warnings != self._logged:
            runner.log_warnings(config)
            self._logged = config.warnings
        # The deadline is that of a pass, not of the program.
        with self._stop.for_one_pass() as stop:
            return await runner.perform(
                runner.job_of(config), self._options, self._environ, stop, self._redactor, cache=self._cache
            )


async def _pause(stop: Stop, seconds: float) -> None:
    """Wait for the next pass, or until a stop is requested."""
    requested = asyncio.Event()
    with stop.listening(lambda _seconds: requested.set()):
        try:
            async with asyncio.timeout(seconds):
                await requested.wait()
        except TimeoutError:
            return
