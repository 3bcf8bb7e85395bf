"""The target of one image, and what is counted while it is copied there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocync.lib.errors import NotShownError
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
    """The state of one copy, owned by the task of its image."""

    repository: TargetRepository
    claims: Claims
    image: SourceImage | None = None
    """The image that is copied; its other targets read its blobs too."""
    there: Manifest | None = None
    """What the tag points to now. Small blobs that it does not list are probably missing, and not looked up."""
    tags: frozenset[str] | None = None
    """All tags that the repository had before the pass; None if unknown."""
    expected: Callable[[int], None] = lambda _count: None
    """Called with the size of each blob that is about to be sent."""
    moved: Callable[[int], None] = lambda _count: None
    """Called with the size of each piece that is handed to the target."""
    inspect: Callable[[TargetRepository, Descriptor], Awaitable[None]] | None = None
    """In an audit, checks a blob that the target has; raises OcyncError for wrong content."""
    copies_unseen: bool = True
    """Whether what the target refuses to show is copied; a rolling audit copies only what is known to be lost."""
    bytes_transferred: int = 0
    blobs: BlobStats = field(default_factory=BlobStats)
    lost: int = 0
    """Manifests and blobs that an audit found missing."""
    repaired: int = 0
    """Those of them that were copied again."""
    unverified: bool = False
    """Whether the image is copied although it is not signed as demanded."""
    artifacts: ArtifactCounts | None = None
    """Counts of what is attached to the image; None if that was not looked up."""

    @property
    def is_audited(self) -> bool:
        """Whether everything is looked up, and what is copied was lost before."""
        return self.inspect is not None

    @property
    def is_empty(self) -> bool:
        """Whether the repository was probably empty before the pass."""
        return self.claims.is_empty(self.repository)

    def lacks(self, tag: str) -> bool:
        """Return whether the tag is known to have been missing before the pass."""
        return self.tags is not None and tag not in self.tags

    def not_shown(self, what: str) -> None:
        """Go on without knowing whether the target has something; raises NotShownError in a rolling audit."""
        if not self.copies_unseen:
            raise NotShownError(f"{self.repository.name} refuses to show {what}")

    def beside(self) -> Destination:
        """Return a copy with its own counts."""
        return replace(self, bytes_transferred=0, blobs=BlobStats(), lost=0, repaired=0, artifacts=None)

    def count(self, *, transferred: int = 0, skipped: int = 0, mounted: int = 0, size: int = 0) -> None:
        """Count blobs, and the bytes sent for them."""
        self.blobs += BlobStats(transferred=transferred, skipped=skipped, mounted=mounted)
        self.bytes_transferred += size
