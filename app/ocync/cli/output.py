"""Where the results of a pass go: stdout, the termination log, the Pushgateway, a text file."""

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

# Seconds that metrics may take once the program is to end: without an answer by then there will be none.
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
    Show a report and send its metrics; nothing here changes the exit code, or raises for what can't be delivered.

    A stop leaves a Pushgateway that is silent little time.
    """
    _show(report, options, environ)
    path = getattr(options, "termination_log", None)
    if path is not None:
        from ocync.report import termination_log

        termination_log.write(Path(path), termination_log.summary(report))
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
        log.warning("metrics were not sent: there was no time left for it (%s)", stop.reason)


def _show(report: RunReport, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    # Each has its own libraries, and only one is needed.
    if options.json:
        from ocync.report import as_json

        # In watch mode a document a line, so that a reader finds its end.
        streams.show(as_json.dump(report, one_line=options.command == "watch"))
        return
    from ocync.report import text

    if not options.quiet:
        streams.show(text.render(report, color=text.wants_color(sys.stdout, environ)))
    elif report.exit_code is not ExitCode.OK:
        streams.say(text.render(report, color=text.wants_color(sys.stderr, environ)).rstrip("\n"))


def selection(resolved: Resolved, *, verbose: bool) -> Iterator[str]:
    """Yield the lines that show how a mapping's tags were selected."""
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
