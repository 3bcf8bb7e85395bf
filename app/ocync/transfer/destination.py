"""One image on its way to one target, and what is counted of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocync.transfer.result import BlobStats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import TargetRepository
    from ocync.plan.source import SourceImage
    from ocync.transfer.claims import Claims
    from ocync.transfer.result import ArtifactCounts


@dataclass(slots=True, kw_only=True)
class Destination:
    """The mutable part of a copy: owned by the task of its image."""

    repository: TargetRepository
    claims: Claims
    image: SourceImage | None = None
    """What is copied: its other targets read its blobs too."""
    there: Manifest | None = None
    """
    What the tag points to now: what that does not list is probably not there, and small things are not looked for.
    """
    tags: frozenset[str] | None = None
    """All tags that the repository had before the pass; None where they are not known."""
    expected: Callable[[int], None] = lambda _count: None
    """Told of every blob that is about to be sent, in bytes."""
    moved: Callable[[int], None] = lambda _count: None
    """Told of every piece that is handed to the target, in bytes."""
    inspect: Callable[[TargetRepository, Descriptor], Awaitable[None]] | None = None
    """Looks into blobs that are there, where the image is audited; raises OcyncError for content that is wrong."""
    bytes_transferred: int = 0
    blobs: BlobStats = field(default_factory=BlobStats)
    lost: int = 0
    """Manifests and blobs that an audit has not found."""
    repaired: int = 0
    """Of these, those that were brought again."""
    unverified: bool = False
    """Whether the image is not signed as demanded and is brought all the same."""
    artifacts: ArtifactCounts | None = None
    """What is attached to the image; None where nobody looked for that."""

    @property
    def is_audited(self) -> bool:
        """Whether all is looked for, and what is brought has been lost before."""
        return self.inspect is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing speaks for it that the repository held anything before the pass."""
        return self.claims.is_empty(self.repository)

    def lacks(self, tag: str) -> bool:
        """Return whether the tag was not listed before the pass wrote to the repository."""
        return self.tags is not None and tag not in self.tags

    def beside(self) -> Destination:
        """Return another one for the same repository, which counts for itself."""
        return replace(self, bytes_transferred=0, blobs=BlobStats(), lost=0, repaired=0, artifacts=None)

    def count(self, *, transferred: int = 0, skipped: int = 0, mounted: int = 0, size: int = 0) -> None:
        """Count blobs, and the bytes that were sent for them."""
        self.blobs += BlobStats(transferred=transferred, skipped=skipped, mounted=mounted)
        self.bytes_transferred += size
