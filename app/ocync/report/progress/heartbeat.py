"""Progress where nobody watches: a line in the log now and then tells a pass that works from one that hangs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ocync.report.humanize import counted, rate, size, span
from ocync.report.progress.tally import Pace, Tally, seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.transfer.events import Sink

log = logging.getLogger(__name__)


@contextmanager
def heartbeats(*, interval: float) -> Iterator[Sink]:
    """Log a line every `interval` seconds while the context lasts; needs a running loop."""
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
    """Return where a pass stands, in one line."""
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
