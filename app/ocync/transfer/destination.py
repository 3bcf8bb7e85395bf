"""One image on its way to one target: what is counted, and the first thing that went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocync.transfer.result import BlobStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.endpoint import TargetRepository
    from ocync.errors import OcyncError
    from ocync.oci.manifest import Manifest
    from ocync.transfer.ledger import Ledger
    from ocync.transfer.result import ArtifactCounts
    from ocync.transfer.staging import Staging


@dataclass(slots=True, kw_only=True)
class Destination:
    """
    The mutable part of a copy: owned by the task of its image.

    After an error nothing more is brought to it; the other targets of the image go on.
    """

    repository: TargetRepository
    ledger: Ledger
    is_empty: bool
    """Whether the repository held nothing before the pass: nothing is looked for there."""
    expected: Callable[[int], None]
    """Told of every blob that is about to be sent, in bytes."""
    moved: Callable[[int], None]
    """Told of every piece that is handed to the target, in bytes."""
    tags: frozenset[str] | None = None
    """All tags that the repository had before the pass; None where they are not known."""
    has_image: bool = False
    """Whether its tag points to the image already: then memory may tell what is attached to that there."""
    believing: bool = False
    """Whether anything was taken to be there because an earlier pass had seen it."""
    staging: Staging | None = None
    """Room on disk for what this target is too slow to take with the others."""
    error: OcyncError | None = None
    bytes_transferred: int = 0
    blobs: BlobStats = field(default_factory=BlobStats)
    repaired: int = 0
    """Manifests and blobs that the target had lost."""
    unverified: bool = False
    """Whether the image is not signed as demanded and is brought all the same."""
    artifacts: ArtifactCounts | None = None
    """What is attached to the image; None where nobody looked for that."""

    @property
    def alive(self) -> bool:
        """Whether nothing has gone wrong."""
        return self.error is None

    def lacks(self, tag: str) -> bool:
        """Tell whether the tag is known not to have been there before the pass."""
        return self.is_empty or (self.tags is not None and tag not in self.tags)

    def note(self, present: Manifest | None) -> None:
        """Take what the tag points to now for what it is: whole, so that all it lists need not be looked for."""
        if present is not None:
            self.ledger.whole(self.repository, present)

    def fail(self, error: OcyncError) -> None:
        """Record what went wrong; only the first error counts."""
        if self.error is None:
            self.error = error

    def beside(self) -> Destination:
        """Return another one for the same repository, which fails for itself and counts for itself."""
        return replace(self, error=None, bytes_transferred=0, blobs=BlobStats())

    def count(self, *, transferred: int = 0, skipped: int = 0, mounted: int = 0, size: int = 0) -> None:
        """Count blobs, and the bytes that were sent for them."""
        self.blobs += BlobStats(transferred=transferred, skipped=skipped, mounted=mounted)
        self.bytes_transferred += size
