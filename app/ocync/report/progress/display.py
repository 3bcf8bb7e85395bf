"""How a pass is shown while it runs: as bars on a terminal, as lines in the log, or not at all."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from ocync.report.humanize import counted, rate, size, span
from ocync.report.progress.tally import Pace, Tally, seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import TextIO

    from ocync.transfer.events import Sink

log = logging.getLogger(__name__)

HEARTBEAT = 15.0
"""Seconds between two lines in the log; a pass that is shorter logs none."""


def progress(
    *,
    quiet: bool,
    environ: Mapping[str, str],
    stream: TextIO | None = None,
    interval: float = HEARTBEAT,
) -> AbstractContextManager[Sink]:
    """
    Return a context that yields a sink for a pass's events; it must be entered in a running loop.

    With `quiet`, nothing is shown. On a terminal (`stream`, by default stderr) there are bars, otherwise a line in
    the log every `interval` seconds.
    """
    if quiet:
        return nullcontext(lambda _event: None)
    stream = sys.stderr if stream is None else stream
    if stream.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        # The import of rich takes some 50 ms.
        from ocync.report.progress.bars import bars  # noqa: PLC0415

        return bars(stream, environ)
    return _heartbeats(interval)


@contextmanager
def _heartbeats(interval: float) -> Iterator[Sink]:
    loop = asyncio.get_running_loop()
    tally, pace = Tally(), Pace(loop.time(), window=interval)
    timer: asyncio.Handle

    def beat() -> None:
        nonlocal timer
        timer = loop.call_later(interval, beat)
        now = loop.time()
        speed = pace.look(now, tally.bytes_moved)
        log.info("%s", line(tally, speed, pace.elapsed(now)), extra=_figures(tally, speed))

    timer = loop.call_later(interval, beat)
    try:
        yield tally.take
    finally:
        timer.cancel()


def line(tally: Tally, speed: float, elapsed: float) -> str:
    """Return the progress of a pass in one line."""
    parts = [f"{tally.images_done:,} of {counted(tally.images, 'image')} done"]
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.mappings_pending:
        parts.append(f"{counted(tally.mappings_pending, 'mapping')} to list")
    parts.append(f"{len(tally.flights):,} in flight with {size(tally.bytes_left)} to go")
    parts.append(f"{size(tally.bytes_moved)} sent")
    parts.append(rate(speed, 1))
    left = seconds_left(tally, rate=speed, elapsed=elapsed)
    parts.append(f"{span(elapsed)} so far" if left is None else f"about {span(left)} left")
    return ", ".join(parts)


def _figures(tally: Tally, speed: float) -> dict[str, int]:
    return {
        "images_done": tally.images_done,
        "images_known": tally.images,
        "images_failed": tally.failed,
        "images_in_flight": len(tally.flights),
        "bytes_sent": tally.bytes_moved,
        "bytes_per_second": round(speed),
    }
