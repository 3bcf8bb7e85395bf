"""From what happened to an image to its result. Pure, but for the log of an error nobody expected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.errors import OcyncError
from ocync.oci.reference import is_tag
from ocync.plan.model import Copy
from ocync.transfer.result import BlobStats, Failure, ImageResult, Reason, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.model import MappingConfig
    from ocync.plan.discover import Places
    from ocync.plan.model import Candidate, ImagePlan, Skip
    from ocync.transfer.destination import Destination

log = logging.getLogger(__name__)


def source_name(candidate: Candidate) -> str:
    """`cgr.dev/chainguard/static:latest`, or with `@` for a digest."""
    return candidate.source.name + _behind(candidate.tag)


def target_name(candidate: Candidate, index: int) -> str:
    """`ghcr.io/myorg/static:latest`: one name per target, so it serves as a key."""
    return candidate.targets[index].repository.name + _behind(candidate.destination_tag)


def tag_of(candidate: Candidate) -> str | None:
    """Return the tag to set at the targets; None for an image that is copied by digest alone."""
    return candidate.destination_tag if is_tag(candidate.destination_tag) else None


def _behind(reference: str) -> str:
    return f":{reference}" if is_tag(reference) else f"@{reference}"


def skipped(
    candidate: Candidate, index: int, decision: Skip, duration: float, earlier: Destination | None = None
) -> ImageResult:
    """
    Return the result of an image that needed no copy; what was sent for it all the same is counted.

    It counts as synced where something that belongs to it was brought.
    """
    digest = str(decision.digest) if decision.digest else None
    artifacts = earlier.artifacts if earlier else None
    reason = decision.reason
    if earlier is not None and earlier.repaired:
        reason = Reason.REPAIRED
    elif artifacts is not None and artifacts.transferred:
        reason = Reason.ARTIFACTS
    return ImageResult(
        mapping=candidate.mapping.name,
        source=source_name(candidate),
        target=target_name(candidate, index),
        target_place=candidate.targets[index].repository.place,
        status=Status.SKIPPED if reason is decision.reason else Status.SYNCED,
        reason=reason,
        digest=digest,
        previous_digest=digest,
        bytes_transferred=earlier.bytes_transferred if earlier else 0,
        blobs=earlier.blobs if earlier else BlobStats(),
        artifacts=artifacts,
        duration=duration,
    )


def synced(plan: ImagePlan, index: int, destination: Destination, duration: float) -> ImageResult:
    """Return the result of an image that was copied (or, in a dry run, would be)."""
    candidate, decision = plan.candidate, plan.decisions[index]
    assert plan.root is not None
    assert isinstance(decision, Copy)
    return ImageResult(
        mapping=candidate.mapping.name,
        source=source_name(candidate),
        target=target_name(candidate, index),
        target_place=destination.repository.place,
        status=Status.SYNCED,
        reason=decision.reason,
        digest=str(plan.root.digest),
        previous_digest=str(decision.previous) if decision.previous else None,
        bytes_transferred=destination.bytes_transferred,
        blobs=destination.blobs,
        artifacts=destination.artifacts,
        unverified=destination.unverified,
        duration=duration,
    )


def failed(
    candidate: Candidate, index: int, destination: Destination | None, error: OcyncError, duration: float
) -> ImageResult:
    """Return the result of an image that failed at one target; bytes that were sent before are counted."""
    target = candidate.targets[index].repository
    return ImageResult(
        mapping=candidate.mapping.name,
        source=source_name(candidate),
        target=target_name(candidate, index),
        target_place=target.place,
        status=Status.FAILED,
        bytes_transferred=destination.bytes_transferred if destination else 0,
        blobs=destination.blobs if destination else BlobStats(),
        artifacts=destination.artifacts if destination else None,
        duration=duration,
        error=failure_of(error),
    )


def unresolved(mapping: MappingConfig, places: Places, error: OcyncError, duration: float) -> Iterator[ImageResult]:
    """Give one failed result per target of a mapping whose tags could not be known."""
    source = places.source(mapping.source, mapping.source_repository)
    for registry, repository in mapping.targets:
        target = places.target(registry, repository)
        yield ImageResult(
            mapping=mapping.name,
            source=source.name,
            target=target.name,
            target_place=target.place,
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
        hint="this is a defect of ocync: please report it with the output of -vv",
    )


def _leaves(error: Exception) -> Iterator[Exception]:
    """Give the errors within a group, or the error itself."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
