"""How a pass is shown while it runs: as bars, as lines in the log, or not at all."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import TextIO

    from ocync.transfer.events import Event, Sink

HEARTBEAT = 15.0
"""Seconds between two lines in the log; a pass that is shorter has none."""


def progress(
    *,
    quiet: bool,
    environ: Mapping[str, str],
    stream: TextIO | None = None,
    interval: float = HEARTBEAT,
) -> AbstractContextManager[Sink]:
    """
    Return a context that gives a sink for a pass's events; it is entered where a loop runs.

    `quiet` shows nothing. A terminal (`stream`, by default stderr) gets bars; anything else a line in the log
    every `interval` seconds.
    """
    if quiet:
        return _silence()
    stream = sys.stderr if stream is None else stream
    if stream.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        # rich takes some 50 ms to import: only for who looks at it.
        from ocync.report.progress.bars import bars  # noqa: PLC0415

        return bars(stream, environ)
    from ocync.report.progress.heartbeat import heartbeats  # noqa: PLC0415

    return heartbeats(interval=interval)


@contextmanager
def _silence() -> Iterator[Sink]:
    def ignore(_event: Event) -> None:
        return

    yield ignore
