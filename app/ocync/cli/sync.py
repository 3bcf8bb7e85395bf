"""`ocync sync`: one pass over all mappings of a configuration."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import runner
from ocync.config.load import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

log = logging.getLogger(__name__)


def sync(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make one pass; return its exit code."""
    with runner.logging_by(options, environ) as redactor:
        config = load(Path(options.config), environ)
        runner.introduce(config, redactor)
        job = replace(runner.job_of(config), interval=_interval(options.schedule))
        return runner.once(job, options, environ, redactor)


def _interval(schedule: str | None) -> float | None:
    """Return the longest time between two passes of a schedule; an invalid schedule is only a warning."""
    if schedule is None:
        return None
    from ocync.report.schedule import longest_gap

    interval = longest_gap(schedule)
    if interval is None:
        log.warning(
            "--schedule %r is not a cron expression, or never matches: the metrics have no interval; "
            "correct or remove it",
            schedule,
        )
    return interval
