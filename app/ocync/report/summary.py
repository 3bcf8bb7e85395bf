"""The report of a finished pass, and the exit code that follows from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ocync.lib.errors import ErrorKind, ExitCode
from ocync.plan.model import Reason
from ocync.transfer.result import ArtifactCounts, BlobStats, Failure, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ocync.lib.errors import OcyncError
    from ocync.transfer.result import ImageResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """When a copy or an audit last saw everything below the tags at the targets, for many images."""

    known: int = 0
    """The number of images for which that is known."""
    unknown: int = 0
    """The number of images that were never audited, or whose time is forgotten."""
    oldest: float | None = None
    """The earliest of the known times, in Unix seconds; None if none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The results of a pass; text, JSON, metrics and the exit code are made from it alone."""

    run_id: str
    started_at: datetime
    """In UTC."""
    duration: float
    images: tuple[ImageResult, ...]
    dry_run: bool = False
    interrupted: str | None = None
    """Why the pass ended early (`signal SIGTERM`, `deadline of 3300 s`); None for a complete pass."""
    requests: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Requests by host and class of the status code: `2xx`, `3xx`, `4xx`, `5xx`, `none` without an answer."""
    retries: int = 0
    mappings: int = 0
    failure: Failure | None = None
    """Why there was no pass: the configuration can't be read or used."""
    discovery_cache_hits: int = 0
    """Look-ups that the cache answered in place of a registry."""
    discovery_cache_misses: int = 0
    """Look-ups that the cache could not answer."""
    discovery_head_failures: int = 0
    """Sources that refused HEAD, so that GET was used."""
    discovery_target_stale: int = 0
    """Entries of the cache about targets that proved wrong."""

    @classmethod
    def of_failure(cls, error: OcyncError, *, run_id: str, started_at: datetime, duration: float) -> RunReport:
        """Return the report of a pass that could not begin."""
        failure = Failure(kind=error.kind, message=error.message, hint=error.hint, retryable=error.retryable)
        return cls(run_id=run_id, started_at=started_at, duration=duration, images=(), failure=failure)

    def redacted(self, redact: Callable[[str], str]) -> RunReport:
        """Return the report with the messages and hints of all failures put through `redact`."""

        def clean(failure: Failure | None) -> Failure | None:
            if failure is None:
                return None
            return replace(
                failure, message=redact(failure.message), hint=redact(failure.hint) if failure.hint else None
            )

        images = tuple(
            replace(image, error=clean(image.error)) if image.error is not None else image for image in self.images
        )
        return replace(self, images=images, failure=clean(self.failure))

    @property
    def exit_code(self) -> ExitCode:
        """
        The exit code of the pass.

        5 if the pass was interrupted; 0 if nothing failed; 3 if all failures are about the configuration (such as a
        broken docker config), 4 if all are about authentication; otherwise 2 if everything failed, else 1.
        """
        if self.interrupted and self.failure is None:
            return ExitCode.INTERRUPTED
        failures = [self.failure] if self.failure is not None else [image.error for image in self.failures]
        if not failures:
            return ExitCode.OK
        kinds = {failure.kind if failure is not None else None for failure in failures}
        if kinds == {ErrorKind.CONFIG}:
            return ExitCode.CONFIG
        if kinds == {ErrorKind.AUTH}:
            return ExitCode.AUTH
        return ExitCode.PARTIAL if len(failures) < len(self.images) else ExitCode.FAILED

    @property
    def succeeded(self) -> bool:
        """Whether everything is at its targets now; never true for a dry run."""
        return self.exit_code is ExitCode.OK and not self.dry_run

    @property
    def ended_at(self) -> datetime:
        """When the pass ended, in UTC."""
        return self.started_at + timedelta(seconds=self.duration)

    @property
    def failures(self) -> tuple[ImageResult, ...]:
        """The images that failed."""
        return tuple(image for image in self.images if image.status is Status.FAILED)

    def count(self, status: Status) -> int:
        """Return how many images have the status."""
        return sum(image.status is status for image in self.images)

    @property
    def unverified(self) -> int:
        """How many images were copied although they are not signed as `verify` requires."""
        return sum(image.unverified for image in self.images)

    @property
    def repaired(self) -> int:
        """How many images had lost something at a target whose tag was right."""
        return sum(image.reason is Reason.REPAIRED for image in self.images)

    @property
    def evidence(self) -> Evidence | None:
        """The evidence for all images that did not fail; None for a dry run."""
        if self.dry_run:
            return None
        looked = [image.looked_below for image in self.images if image.status is not Status.FAILED]
        times = [each for each in looked if each is not None]
        return Evidence(known=len(times), unknown=len(looked) - len(times), oldest=min(times, default=None))

    @property
    def evidence_age(self) -> float | None:
        """
        Seconds from the earliest time of `evidence` to the end of the pass; None if there is none.

        It is 0 for a time in the future, which comes from a machine whose clock is ahead.
        """
        evidence = self.evidence
        if evidence is None or evidence.oldest is None:
            return None
        return max(0.0, self.ended_at.timestamp() - evidence.oldest)

    @property
    def bytes_transferred(self) -> int:
        """Bytes of blobs sent to targets."""
        return sum(image.bytes_transferred for image in self.images)

    @property
    def blobs(self) -> BlobStats:
        """The counts of blobs of all images."""
        return sum((image.blobs for image in self.images), BlobStats())

    @property
    def artifacts(self) -> ArtifactCounts:
        """The counts of artifacts of all images; one that several images share counts for each."""
        return sum((image.artifacts for image in self.images if image.artifacts is not None), ArtifactCounts())

    @property
    def bytes_by_target(self) -> Mapping[str, int]:
        """Bytes of blobs sent, by target."""
        counter: Counter[str] = Counter()
        for image in self.images:
            counter[image.target_host] += image.bytes_transferred
        return counter
