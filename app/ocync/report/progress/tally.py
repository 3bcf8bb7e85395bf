"""The progress of a pass, counted from its events. Nothing is shown here."""

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
    """The progress of one image, in bytes."""

    __slots__ = ("expected", "moved")

    def __init__(self) -> None:
        self.expected = 0
        self.moved = 0

    def __repr__(self) -> str:
        return f"<ImageProgress {self.moved} of {self.expected}>"


class Tally:
    """
    Counts events; `tally.take` is a Sink.

    Thousands of BytesMoved events come in a second, so one must cost less than a microsecond.
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
        """Images in flight, by target, in the order they began."""

    def __repr__(self) -> str:
        return f"<Tally {self.images_done} of {self.images} images, {self.bytes_moved} bytes>"

    @property
    def images_done(self) -> int:
        """How many images are done, in whatever way."""
        return self.synced + self.skipped + self.failed

    @property
    def images(self) -> int:
        """How many images are known so far; those of `copy` are not announced by a mapping."""
        return max(self.images_announced, self.images_done + len(self.flights))

    @property
    def mappings_pending(self) -> int:
        """How many mappings have tags that are not known yet."""
        unannounced = max(0, self.images_done + len(self.flights) - self.images_announced)
        return max(0, self.mappings - self.mappings_resolved - unannounced)

    @property
    def bytes_left(self) -> int:
        """The bytes of images in flight that have not moved yet; at least 0, also after bytes were sent twice."""
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
                # An image that is tried again moves to the end.
                self.flights.pop(key, None)
                self.flights[key] = ImageProgress()
            case ImageFinished(result=result):
                self.flights.pop(result.target, None)
                self.synced += result.status is Status.SYNCED
                self.skipped += result.status is Status.SKIPPED
                self.failed += result.status is Status.FAILED
            case MappingResolved(images=images):
                self.mappings_resolved += 1
                self.images_announced += images
            case MappingsCounted(total=total):
                self.mappings += total


class Pace:
    """The speed of the transfer: a mean over the last `window` seconds, from samples of the tally."""

    def __init__(self, started: float, *, window: float = 10.0) -> None:
        self._started = started
        self._window = window
        self._looks: deque[tuple[float, int]] = deque([(started, 0)])

    def look(self, now: float, moved: int) -> float:
        """Add a sample of the bytes moved so far, and return the bytes per second."""
        self._looks.append((now, moved))
        while len(self._looks) > 2 and self._looks[1][0] <= now - self._window:
            self._looks.popleft()
        since, before = self._looks[0]
        # In the first second a single chunk would look like an enormous speed.
        return (moved - before) / max(now - since, 1.0)

    def elapsed(self, now: float) -> float:
        """Return the seconds since the start."""
        return now - self._started


def seconds_left(tally: Tally, *, rate: float, elapsed: float) -> float | None:
    """
    Return how long the rest may take: bytes in flight at the present rate, or other images at the rate so far.

    The result is None while tags are listed, while nothing moves, and in the first 3 seconds.
    """
    if elapsed < 3 or tally.mappings_pending or not tally.images:
        return None
    bytes_left, waiting = tally.bytes_left, tally.images - tally.images_done - len(tally.flights)
    if (bytes_left and rate <= 0) or (waiting and not tally.images_done):
        return None
    for_bytes = bytes_left / rate if bytes_left else 0.0
    for_images = waiting * elapsed / tally.images_done if waiting else 0.0
    return max(for_bytes, for_images)
