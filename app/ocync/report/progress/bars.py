"""Progress on a terminal. The only module that knows rich."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ocync.lib.redaction import printable
from ocync.report.humanize import counted, rate, size, span
from ocync.report.progress.tally import Pace, Tally, seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from rich.console import RenderableType

    from ocync.report.progress.tally import ImageProgress
    from ocync.transfer.events import Sink

_SHOWN = 6
"""Images in flight that have a bar; the others are counted."""
_BAR = 16
_BESIDE_NAME = 2 + 1 + _BAR + 1 + len("999.9 MB of 999.9 MB") + 1
_FRAME = 0.2
"""Seconds from one frame to the next; drawing one takes some 3 ms."""


@contextmanager
def bars(stream: TextIO, environ: Mapping[str, str]) -> Iterator[Sink]:
    """
    Draw bars on the terminal while the context lasts, then erase them; needs a running loop.

    Text that is written to stderr meanwhile (and to stdout, if it is a terminal too) appears above the bars. The
    cursor is shown again however the context ends.
    """
    loop = asyncio.get_running_loop()
    console = Console(file=stream, force_terminal=True, no_color=bool(environ.get("NO_COLOR")), soft_wrap=True)
    frame = Frame(started=loop.time())
    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        vertical_overflow="crop",
    )

    timer: asyncio.Handle

    def draw() -> None:
        nonlocal timer
        live.update(frame.at(loop.time(), console.width), refresh=True)
        timer = loop.call_later(_FRAME, draw)

    timer = loop.call_soon(draw)
    try:
        with live:
            yield frame.tally.take
    finally:
        timer.cancel()


class Frame:
    """The frames that show one pass."""

    def __init__(self, *, started: float) -> None:
        self.tally = Tally()
        self._pace = Pace(started)
        self._moved: dict[str, tuple[int, float]] = {}
        """For each image in flight, the bytes moved so far, and when that number last changed."""

    def at(self, now: float, width: int) -> RenderableType:
        """Return the frame at this moment, for a terminal of `width` columns."""
        tally = self.tally
        speed = self._pace.look(now, tally.bytes_moved)
        shown = self._busiest(now)
        lines: list[RenderableType] = [self._whole(width), _line(self._figures(now, speed))]
        if shown:
            lines.append(self._images(shown, width))
        hidden = len(tally.flights) - len(shown)
        if hidden > 0:
            lines.append(_line(f"  and {hidden:,} more in flight", style="dim"))
        return Group(*lines)

    def _whole(self, width: int) -> RenderableType:
        tally = self.tally
        row = Table.grid(padding=(0, 1))
        done = _line(f"{tally.images_done:,} of {counted(tally.images, 'image')}")
        if tally.failed:
            done.append(f"  {tally.failed:,} failed", style="red")
        pulse = not tally.images
        bar = ProgressBar(
            total=max(1, tally.images), completed=tally.images_done, width=min(40, width // 4), pulse=pulse
        )
        row.add_row(bar, done)
        return row

    def _figures(self, now: float, speed: float) -> str:
        tally, elapsed = self.tally, self._pace.elapsed(now)
        parts = [f"{size(tally.bytes_moved)} sent", rate(speed, 1)]
        if tally.bytes_left:
            parts.append(f"{size(tally.bytes_left)} to go")
        if tally.mappings_pending:
            parts.append(f"{counted(tally.mappings_pending, 'mapping')} to list")
        parts.append(span(elapsed))
        left = seconds_left(tally, rate=speed, elapsed=elapsed)
        if left is not None:
            parts.append(f"about {span(left)} left")
        return "  ".join(parts)

    def _images(self, shown: list[tuple[str, ImageProgress]], width: int) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        name_width = max(8, width - _BESIDE_NAME)
        for name, flight in shown:
            # With retries, more bytes move than were announced.
            total = max(flight.expected, flight.moved)
            rows.add_row(
                _line("  " + _end(printable(name), name_width)),
                ProgressBar(total=max(1, total), completed=flight.moved, width=_BAR),
                _line(f"{size(flight.moved)} of {size(total)}"),
            )
        return rows

    def _busiest(self, now: float) -> list[tuple[str, ImageProgress]]:
        """Return the images to show, in the order they began; those that moved in the last 5 seconds come first."""
        flights = self.tally.flights
        moved: dict[str, tuple[int, float]] = {}
        for name, flight in flights.items():
            before = self._moved.get(name)
            moved[name] = before if before is not None and before[0] == flight.moved else (flight.moved, now)
        self._moved = moved
        idle = {name: now - since > 5 for name, (_, since) in moved.items()}
        return sorted(flights.items(), key=lambda item: idle[item[0]])[:_SHOWN]


def _line(text: str, *, style: str = "") -> Text:
    # Not an option of the console, since log lines that pass through it must be neither wrapped nor cropped.
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _end(name: str, width: int) -> str:
    """Cut the beginning of a long name, since the tag matters more than the registry."""
    return name if len(name) <= width else "..." + name[-(width - 3) :]
