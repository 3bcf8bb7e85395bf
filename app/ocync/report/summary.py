"""The report of a finished pass, and the exit code that follows from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.errors import ErrorKind, ExitCode
from ocync.transfer.result import BlobStats, Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ocync.transfer.result import ImageResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything that is told about a pass afterwards: text, JSON, metrics and exit code come of this alone."""

    run_id: str
    started_at: datetime
    """In UTC."""
    duration: float
    images: tuple[ImageResult, ...]
    dry_run: bool = False
    interrupted: str | None = None
    """Why the pass ended before it was complete (`signal SIGTERM`, `deadline of 55m`); None for a whole pass."""
    requests: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Requests by host and class of the answer: `2xx`, `3xx`, `4xx`, `5xx`, `none` for no answer."""
    retries: int = 0
    mappings: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """
        Return the exit code of the pass.

        5 when it was interrupted before it was complete; else 0 when nothing failed; else 4 when all failures
        are about authentication; else 2 when everything failed; else 1.
        """
        if self.interrupted:
            return ExitCode.INTERRUPTED
        failures = [image for image in self.images if image.status is Status.FAILED]
        if not failures:
            return ExitCode.OK
        if all(image.error is not None and image.error.kind is ErrorKind.AUTH for image in failures):
            return ExitCode.AUTH
        return ExitCode.FAILED if len(failures) == len(self.images) else ExitCode.PARTIAL

    def count(self, status: Status) -> int:
        """Return how many images have the status."""
        return sum(image.status is status for image in self.images)

    @property
    def bytes_transferred(self) -> int:
        """Bytes of blobs that were sent to targets."""
        return sum(image.bytes_transferred for image in self.images)

    @property
    def blobs(self) -> BlobStats:
        """The blobs of all images."""
        return sum((image.blobs for image in self.images), BlobStats())

    @property
    def bytes_by_target(self) -> Mapping[str, int]:
        """Bytes of blobs that were sent, by the target's place."""
        counter: Counter[str] = Counter()
        for image in self.images:
            counter[image.target_place] += image.bytes_transferred
        return counter
