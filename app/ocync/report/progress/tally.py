"""Where a pass stands, counted from its events. Nothing here shows anything."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ocync.transfer.events import (
    BytesExpected,
    BytesMoved,
    ImageFinished,
    ImageStarted,
    MappingResolved,
    MappingsCounted,
)
from ocync.transfer.result import Status

if TYPE_CHECKING:
    from ocync.transfer.events import Event


class ImageProgress:
    """One image whose bytes move, in bytes."""

    __slots__ = ("expected", "moved")

    def __init__(self) -> None:
        self.expected = 0
        self.moved = 0

    def __repr__(self) -> str:
        return f"<ImageProgress {self.moved} of {self.expected}>"


class Tally:
    """
    Counts events; `tally.take` is a Sink.

    Events of moved bytes come by the thousand each second: taking one costs less than a microsecond.
    """

    def __init__(self) -> None:
        self.mappings = 0
        self.mappings_resolved = 0
        self.images_announced = 0
        self.synced = 0
        self.skipped = 0
        self.failed = 0
        self.bytes_moved = 0
        self.flights: dict[str, ImageProgress] = {}
        """Images that have begun and not ended, by their targets' names, in the order they began."""

    def __repr__(self) -> str:
        return f"<Tally {self.images_done} of {self.images} images, {self.bytes_moved} bytes>"

    @property
    def images_done(self) -> int:
        """Images that are done, one way or another."""
        return self.synced + self.skipped + self.failed

    @property
    def images(self) -> int:
        """All images known so far; those of `copy` are announced by no mapping."""
        return max(self.images_announced, self.images_done + len(self.flights))

    @property
    def mappings_pending(self) -> int:
        """Mappings whose tags are not known yet."""
        unannounced = max(0, self.images_done + len(self.flights) - self.images_announced)
        return max(0, self.mappings - self.mappings_resolved - unannounced)

    @property
    def bytes_left(self) -> int:
        """Bytes of images in flight that have not moved; what was sent in vain does not make it less than 0."""
        return sum(max(0, flight.expected - flight.moved) for flight in self.flights.values())

    def take(self, event: Event) -> None:
        """Count one event."""
        # Not isinstance: this is the hot path, and events are not subclassed.
        if type(event) is BytesMoved:
            self.bytes_moved += event.count
            flight = self.flights.get(event.key)
            if flight is not None:
                flight.moved += event.count
            return
        match event:
            case BytesExpected(key=key, count=count):
                if key in self.flights:
                    self.flights[key].expected += count
            case ImageStarted(key=key):
                # One that is tried again begins anew, at the end of the list.
                self.flights.pop(key, None)
                self.flights[key] = ImageProgress()
            case ImageFinished(result=result):
                self.flights.pop(result.target, None)
                self._count(result.status)
            case MappingResolved(images=images):
                self.mappings_resolved += 1
                self.images_announced += images
            case MappingsCounted(total=total):
                self.mappings += total

    def _count(self, status: Status) -> None:
        match status:
            case Status.SYNCED:
                self.synced += 1
            case Status.SKIPPED:
                self.skipped += 1
            case Status.FAILED:
                self.failed += 1


class Pace:
    """How fast bytes move now: the mean of the last seconds, from looks at the tally."""

    def __init__(self, started: float, *, window: float = 10.0) -> None:
        self._started = started
        self._window = window
        self._looks: deque[tuple[float, int]] = deque([(started, 0)])

    def look(self, now: float, moved: int) -> float:
        """Take note of what has moved so far, and return the bytes per second."""
        self._looks.append((now, moved))
        while len(self._looks) > 2 and self._looks[1][0] <= now - self._window:
            self._looks.popleft()
        since, before = self._looks[0]
        # In the first second a single piece would look like an enormous rate.
        return (moved - before) / max(now - since, 1.0)

    def elapsed(self, now: float) -> float:
        """Return the seconds since the start."""
        return now - self._started


def seconds_left(tally: Tally, *, rate: float, elapsed: float) -> float | None:
    """
    Estimate how long it will take: what is in flight at today's rate, or the other images at the pace so far.

    None while nobody can tell: tags are still being listed, or nothing moves, or it has just begun.
    """
    if elapsed < 3 or tally.mappings_pending or not tally.images:
        return None
    bytes_left, waiting = tally.bytes_left, tally.images - tally.images_done - len(tally.flights)
    if (bytes_left and rate <= 0) or (waiting and not tally.images_done):
        return None
    for_bytes = bytes_left / rate if bytes_left else 0.0
    for_images = waiting * elapsed / tally.images_done if waiting else 0.0
    return max(for_bytes, for_images)
