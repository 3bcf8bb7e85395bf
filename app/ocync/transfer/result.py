"""Results of images at their targets: frozen values, from which the report is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocync.lib.errors import ErrorKind
    from ocync.plan.model import Reason


class Status(StrEnum):
    """The `status` of an image in the report."""

    SYNCED = "synced"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStats:
    """Blobs of one image at one target: sent, already present, mounted from another repository."""

    transferred: int = 0
    skipped: int = 0
    mounted: int = 0

    def __add__(self, other: BlobStats) -> BlobStats:
        return BlobStats(
            transferred=self.transferred + other.transferred,
            skipped=self.skipped + other.skipped,
            mounted=self.mounted + other.mounted,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactCounts:
    """Artifacts attached to one image: found at the source, present at the target, copied in this pass."""

    source: int = 0
    target: int = 0
    transferred: int = 0
    gone: int = 0
    """Listed at the source, but gone there."""
    unmatched: int = 0
    """Attached to the source's index, and left out since `platforms` gives the target another index."""

    def __add__(self, other: ArtifactCounts) -> ArtifactCounts:
        return ArtifactCounts(
            source=self.source + other.source,
            target=self.target + other.target,
            transferred=self.transferred + other.transferred,
            gone=self.gone + other.gone,
            unmatched=self.unmatched + other.unmatched,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an image failed; the message holds no secret."""

    kind: ErrorKind
    message: str
    hint: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """
    One image at one target.

    A mapping that could not be resolved is one failed result per target, with repositories instead of image names
    in `source` and `target`.
    """

    mapping: str
    source: str
    """`cgr.dev/chainguard/static:latest`"""
    target: str
    """`ghcr.io/myorg/static:latest`"""
    target_host: str
    """`ghcr.io`, or `oci:FOLDER`"""
    status: Status
    reason: Reason | None = None
    digest: str | None = None
    previous_digest: str | None = None
    bytes_transferred: int = 0
    blobs: BlobStats = BlobStats()
    artifacts: ArtifactCounts | None = None
    unverified: bool = False
    """Whether it was copied although it is not signed as `verify` demands."""
    looked_below: float | None = None
    """Seconds since 1970 when everything below the tag was last seen; None if unknown."""
    duration: float = 0.0
    error: Failure | None = None
