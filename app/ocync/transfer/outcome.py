"""From what happened to an image to its result. Pure, but for the log of an error nobody expected."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.lib import remedies
from ocync.lib.errors import OcyncError
from ocync.oci.reference import is_tag
from ocync.plan.model import Copy, Reason
from ocync.transfer.result import BlobStats, Failure, ImageResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.model import MappingConfig
    from ocync.oci.repository import TargetRepository
    from ocync.plan.model import Candidate, ImagePlan, Skip
    from ocync.transfer.destination import Destination

log = logging.getLogger(__name__)


def source_name(candidate: Candidate) -> str:
    """`cgr.dev/chainguard/static:latest`, or with `@` for a digest."""
    return candidate.source.name + _behind(candidate.tag)


def target_name(candidate: Candidate) -> str:
    """`ghcr.io/myorg/static:latest`: one name for each image at a target, so it serves as a key."""
    return candidate.target.repository.name + _behind(candidate.destination_tag)


def tag_of(candidate: Candidate) -> str | None:
    """Return the tag to set at the targets; None for an image that is copied by digest alone."""
    return candidate.destination_tag if is_tag(candidate.destination_tag) else None


def _behind(reference: str) -> str:
    return f":{reference}" if is_tag(reference) else f"@{reference}"


def skipped(
    candidate: Candidate, decision: Skip, duration: float, destination: Destination | None = None
) -> ImageResult:
    """
    Return the result of an image that needed no copy; what was sent for it all the same is counted.

    It counts as synced where something that belongs to it was brought.
    """
    digest = str(decision.digest) if decision.digest else None
    artifacts = destination.artifacts if destination else None
    reason = decision.reason
    if destination is not None and destination.repaired:
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


def synced(plan: ImagePlan, destination: Destination, duration: float) -> ImageResult:
    """Return the result of an image that was copied (or, in a dry run, would be)."""
    decision = plan.decision
    assert plan.root is not None
    assert isinstance(decision, Copy)
    return replace(
        _result(plan.candidate, destination, duration),
        status=Status.SYNCED,
        reason=decision.reason,
        digest=str(plan.root.digest),
        previous_digest=str(decision.previous) if decision.previous else None,
        unverified=destination.unverified,
    )


def failed(
    candidate: Candidate, destination: Destination | None, error: OcyncError, duration: float
) -> ImageResult:
    """Return the result of an image that failed at a target; bytes that were sent before are counted."""
    return replace(_result(candidate, destination, duration), status=Status.FAILED, error=failure_of(error))


def _result(candidate: Candidate, destination: Destination | None, duration: float) -> ImageResult:
    return ImageResult(
        mapping=candidate.mapping.name,
        source=source_name(candidate),
        target=target_name(candidate),
        target_place=candidate.target.repository.host,
        status=Status.SKIPPED,
        bytes_transferred=destination.bytes_transferred if destination else 0,
        blobs=destination.blobs if destination else BlobStats(),
        artifacts=destination.artifacts if destination else None,
        duration=duration,
    )


def unresolved(
    mapping: MappingConfig, target: TargetRepository, source: str, error: OcyncError, duration: float
) -> ImageResult:
    """Return the failed result, at one target, of a mapping whose tags could not be known."""
    return ImageResult(
        mapping=mapping.name,
        source=source,
        target=target.name,
        target_place=target.host,
        status=Status.FAILED,
        duration=duration,
        error=failure_of(error),
    )


def failure_of(error: OcyncError) -> Failure:
    """Return what the report tells of an error."""
    return Failure(kind=error.kind, message=error.message, hint=error.hint, retryable=error.retryable)


def as_ocync_error(error: Exception, what: str) -> OcyncError:
    """
    Return the error itself where it is one of ours, or of a group of ours the first.

    Anything else is a defect of this program: it is logged with its traceback (at -vv) and becomes an internal
    error that names its type.
    """
    leaves = tuple(_leaves(error))
    foreign = next((leaf for leaf in leaves if not isinstance(leaf, OcyncError)), None)
    if foreign is None:
        return next(leaf for leaf in leaves if isinstance(leaf, OcyncError))
    log.log(5, "%s: unexpected error", what, exc_info=error)
    return OcyncError(
        f"{what}: unexpected {type(foreign).__name__}",
        hint=remedies.DEFECT,
    )


def _leaves(error: Exception) -> Iterator[Exception]:
    """Yield the errors within a group, or the error itself."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
