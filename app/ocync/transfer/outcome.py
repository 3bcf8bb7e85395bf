"""From what happened to an image to its result, and the results of a pass."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.lib import remedies
from ocync.lib.errors import ErrorKind, OcyncError
from ocync.oci.reference import is_tag
from ocync.plan.model import Reason, Skip
from ocync.transfer.events import ImageFinished
from ocync.transfer.result import BlobStats, Failure, ImageResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.model import MappingConfig
    from ocync.oci.repository import TargetRepository
    from ocync.plan.model import Candidate, ImagePlan
    from ocync.transfer.destination import Destination
    from ocync.transfer.events import Sink

log = logging.getLogger(__name__)


def source_name(candidate: Candidate) -> str:
    """Return the image at the source: `cgr.dev/chainguard/static:latest`, or with `@` for a digest."""
    return candidate.source.name + _suffix(candidate.tag)


def target_name(candidate: Candidate) -> str:
    """Return the image at the target: `ghcr.io/myorg/static:latest`; unique in a pass, so it serves as a key."""
    return candidate.target.repository.name + _suffix(candidate.destination_tag)


def tag_of(candidate: Candidate) -> str | None:
    """Return the tag to set at the target; None for an image that is copied by digest alone."""
    return candidate.destination_tag if is_tag(candidate.destination_tag) else None


def _suffix(reference: str) -> str:
    return f":{reference}" if is_tag(reference) else f"@{reference}"


def done(plan: ImagePlan, destination: Destination, duration: float) -> ImageResult:
    """Return the result of a plan that was carried out, or in a dry run would be."""
    decision = plan.decision
    if isinstance(decision, Skip):
        return skipped(plan.candidate, decision, duration, destination)
    assert plan.root is not None
    return replace(
        _result(plan.candidate, destination, duration),
        status=Status.SYNCED,
        reason=decision.reason,
        digest=str(plan.root.digest),
        previous_digest=str(decision.previous) if decision.previous else None,
        unverified=destination.unverified,
    )


def skipped(
    candidate: Candidate, decision: Skip, duration: float, destination: Destination | None = None
) -> ImageResult:
    """Return the result of a tag that stayed as it was; it counts as synced if something below it was copied."""
    digest = str(decision.digest) if decision.digest else None
    artifacts = destination.artifacts if destination else None
    reason = decision.reason
    # Parts that the target refuses to show are copied in an audit too, and were perhaps not lost.
    if destination is not None and destination.lost and destination.repaired:
        reason = Reason.REPAIRED
    elif artifacts is not None and artifacts.transferred:
        reason = Reason.ARTIFACTS
    return replace(
        _result(candidate, destination, duration),
        status=Status.SKIPPED if reason is decision.reason else Status.SYNCED,
        reason=reason,
        digest=digest,
        previous_digest=digest,
    )


def failed(
    candidate: Candidate, destination: Destination | None, error: OcyncError, duration: float
) -> ImageResult:
    """Return the result of an image that failed at a target, with the bytes sent before."""
    return replace(_result(candidate, destination, duration), status=Status.FAILED, error=failure_of(error))


def _result(candidate: Candidate, destination: Destination | None, duration: float) -> ImageResult:
    return ImageResult(
        mapping=candidate.mapping.name,
        source=source_name(candidate),
        target=target_name(candidate),
        target_host=candidate.target.repository.host,
        status=Status.SKIPPED,
        bytes_transferred=destination.bytes_transferred if destination else 0,
        blobs=destination.blobs if destination else BlobStats(),
        artifacts=destination.artifacts if destination else None,
        duration=duration,
    )


def unresolved(
    mapping: MappingConfig, target: TargetRepository, source: str, error: OcyncError, duration: float
) -> ImageResult:
    """Return the failed result, at one target, of a mapping whose tags could not be listed."""
    return ImageResult(
        mapping=mapping.name,
        source=source,
        target=target.name,
        target_host=target.host,
        status=Status.FAILED,
        duration=duration,
        error=failure_of(error),
    )


def failure_of(error: OcyncError) -> Failure:
    """Return an error as the report shows it."""
    return Failure(kind=error.kind, message=error.message, hint=error.hint, retryable=error.retryable)


def as_ocync_error(error: Exception, what: str) -> OcyncError:
    """
    Return an OcyncError itself, or the first of a group that contains no other errors.

    Anything else is a defect of ocync: it is logged with its traceback (at -vv) and returned as an internal error
    that names its type.
    """
    leaves = tuple(_leaves(error))
    foreign = next((leaf for leaf in leaves if not isinstance(leaf, OcyncError)), None)
    if foreign is None:
        return next(leaf for leaf in leaves if isinstance(leaf, OcyncError))
    log.log(5, "%s: unexpected error", what, exc_info=error)
    return OcyncError(f"{what}: unexpected {type(foreign).__name__}", hint=remedies.DEFECT)


def _leaves(error: Exception) -> Iterator[Exception]:
    """Yield the errors within a group, or the error itself."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


class Results:
    """The results of a pass, in the order in which the images ended; each is logged."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._results: list[ImageResult] = []

    def __repr__(self) -> str:
        return f"<Results of {len(self._results)} images>"

    def all(self) -> tuple[ImageResult, ...]:
        """Return all results."""
        return tuple(self._results)

    def add(self, result: ImageResult) -> None:
        """Add the result of an image that is done."""
        _log(result)
        self._results.append(result)
        self._sink(ImageFinished(result))

    def correct(self, result: ImageResult) -> None:
        """Replace the result that the image had before its audit, and add the costs of both."""
        for position, earlier in enumerate(self._results):
            if (earlier.target, earlier.source) == (result.target, result.source):
                self._results[position] = replace(
                    result,
                    artifacts=earlier.artifacts if result.artifacts is None else result.artifacts,
                    bytes_transferred=earlier.bytes_transferred + result.bytes_transferred,
                    duration=earlier.duration + result.duration,
                )
        if result.status is Status.FAILED or result.reason is Reason.REPAIRED:
            _log(result)


def _log(result: ImageResult) -> None:
    if result.status is Status.FAILED and result.error is not None:
        log.log(
            logging.INFO if result.error.kind is ErrorKind.INTERRUPTED else logging.WARNING,
            "%s -> %s failed: %s",
            result.source,
            result.target,
            result.error.message,
        )
    elif result.reason is Reason.REPAIRED:
        log.warning("%s had lost parts of the image; they have been copied again", result.target)
    else:
        log.debug("%s -> %s: %s", result.source, result.target, result.reason or result.status)
