"""Delivery of the results of a pass: to stdout, the termination log, the Pushgateway and a text file."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import streams
from ocync.lib.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from ocync.config.model import MetricsConfig
    from ocync.lib.shutdown import Stop
    from ocync.plan.discover import Resolved
    from ocync.report.summary import RunReport

log = logging.getLogger(__name__)

# Seconds for the delivery of metrics after a stop is requested.
_AFTER_STOP = 3.0
_AFTER_STOP_IF_FORCED = 0.5


async def deliver(
    report: RunReport,
    metrics: MetricsConfig | None,
    options: argparse.Namespace,
    environ: Mapping[str, str],
    *,
    stop: Stop,
    interval: float | None = None,
) -> None:
    """
    Show a report and send its metrics. A failure to do so neither raises nor changes the exit code.

    Once a stop is requested, the metrics have 3 seconds, or half a second if it is forced.
    """
    _show(report, options, environ)
    if options.command == "sync":
        from ocync.report import termination_log

        termination_log.write(Path(options.termination_log), termination_log.summary(report))
    if metrics is None:
        return
    from ocync.report.publish import publish

    def hurry(_seconds: float) -> None:
        seconds = _AFTER_STOP_IF_FORCED if stop.forced else _AFTER_STOP
        limit.reschedule(min(limit.when() or float("inf"), asyncio.get_running_loop().time() + seconds))

    limit = asyncio.timeout(None)
    try:
        async with limit:
            with stop.listening(hurry):
                await publish(report, metrics, environ=environ, interval=interval)
    except TimeoutError:
        if not limit.expired():
            raise
        log.warning("metrics were not sent: there was no time left (%s)", stop.reason)


def _show(report: RunReport, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    if options.json:
        from ocync.report import as_json

        # In watch mode each document is one line, so that a reader finds its end.
        streams.show(as_json.dump(report, one_line=options.command == "watch"))
        return
    from ocync.report import text

    if not options.quiet:
        streams.show(text.render(report, color=text.wants_color(sys.stdout, environ)))
    elif report.exit_code is not ExitCode.OK:
        streams.say(text.render(report, color=text.wants_color(sys.stderr, environ)).rstrip("\n"))


def selection(resolved: Resolved, *, verbose: bool) -> Iterator[str]:
    """Yield the lines that show how the tags of a mapping were selected."""
    from ocync.tags.explain import rules_in_short, selection_in_full

    mapping = resolved.mapping
    yield f"{mapping.name}: {rules_in_short(mapping.tags)}"
    if resolved.selection is None:
        names = ", ".join(image.tag for image in resolved.images)
        yield f"  named, not listed: {names or 'none'}"
    else:
        for line in selection_in_full(resolved.selection, mapping.tags, verbose=verbose):
            yield f"  {line}"
    yield ""
