"""The values of an analysis, from which text and JSON are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class RequestKind(StrEnum):
    """A request of a pass to a registry; the values are part of the contract with readers of `--json`."""

    TAG_LIST = "tag_list"
    """One page of a tag list."""
    REFERRERS = "referrers"
    """One page of a list of referrers."""
    MANIFEST_HEAD = "manifest_head"
    MANIFEST_GET = "manifest_get"
    BLOB_GET = "blob_get"
    BLOB_HEAD = "blob_head"
    BLOB_MOUNT = "blob_mount"
    """POST that requests a mount from another repository."""
    BLOB_POST = "blob_post"
    """POST that opens an upload, or sends the whole blob if the registry accepts that."""
    BLOB_PUT = "blob_put"
    """PUT that sends a blob and ends its upload."""
    MANIFEST_PUT = "manifest_put"


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number between `low` and `high`, inclusive."""

    low: int
    high: int

    @classmethod
    def exactly(cls, number: int) -> Bounds:
        """Return the bounds of a known number."""
        return cls(number, number)

    @property
    def is_exact(self) -> bool:
        """Whether the number is known."""
        return self.low == self.high

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.low + other.low, self.high + other.high)

    def times(self, factor: int) -> Bounds:
        """Return the bounds of the product with a non-negative factor."""
        return Bounds(self.low * factor, self.high * factor)


NONE = Bounds(0, 0)


def total(bounds: Iterable[Bounds]) -> Bounds:
    """Return the bounds of a sum."""
    return sum(bounds, NONE)


def summed(*requests: Mapping[RequestKind, Bounds]) -> dict[RequestKind, Bounds]:
    """Return the sums by kind, in the order of a pass, without kinds that do not occur."""
    sums = {kind: total(each.get(kind, NONE) for each in requests) for kind in RequestKind}
    return {kind: bounds for kind, bounds in sums.items() if bounds.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A set of blobs."""

    blobs: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBlob:
    """A blob that several images hold."""

    digest: str
    size: int
    images: int
    repositories: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """
    What the images that are to be copied have in common, at their sources.

    Tags of one repository that point to the same manifest are one image here.
    """

    images: int
    repositories: int
    manifests: int
    all: Portion
    between_images: Portion
    """Blobs of more than one image."""
    between_repositories: Portion
    """Blobs of more than one repository."""
    most: tuple[SharedBlob, ...]
    """The blobs that sharing saves most bytes for, in descending order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceForecast:
    """The blobs that are read from one source host."""

    host: str
    blobs: Bounds
    size: Bounds
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetForecast:
    """
    What happens to blobs at one target host.

    A blob counts once for each repository that needs it, so `sent`, `mounted` and `there` add up to `blobs`. All
    sizes are in bytes.
    """

    host: str
    images: int
    """Tags to set."""
    artifacts: Bounds = NONE
    """Manifests to put that are attached to images."""
    repositories: int
    empty_repositories: int
    """Repositories that are known to be empty."""
    blobs: int
    sent: Bounds
    sent_size: Bounds
    mounted: Bounds
    mounted_size: Bounds
    there: Bounds
    size_by_image: int
    """The bytes to send if images shared nothing."""
    size_by_repository: int
    """The bytes to send if only images of one repository shared blobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What a pass would do and what its images share."""

    cold: bool
    """Whether the targets are assumed to be empty."""
    sharing: Sharing
    sources: tuple[SourceForecast, ...]
    targets: tuple[TargetForecast, ...]
    requests: Mapping[str, Mapping[RequestKind, Bounds]]
    """By registry and kind, in the order of a pass, without tokens, redirects, retries and audits."""
