"""What an analysis says: frozen values, from which text and JSON are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.analyze.requests import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.analyze.requests import Bounds, RequestKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Some of the blobs, each counted once."""

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
    """The blobs that would cost most if every image came with its own: the first of these first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceForecast:
    """What is read of blobs from one source place."""

    host: str
    blobs: Bounds
    size: Bounds
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetForecast:
    """
    What becomes of blobs at one target place.

    Numbers of blobs count each once for every repository that needs it, so what is sent, mounted and there already
    comes to `blobs`. All sizes are bytes.
    """

    host: str
    images: int
    """Tags to set."""
    artifacts: Bounds = NONE
    """Manifests of what is attached to images, to be put."""
    repositories: int
    empty_repositories: int
    """Those that are known to hold nothing."""
    blobs: int
    sent: Bounds
    sent_size: Bounds
    mounted: Bounds
    mounted_size: Bounds
    there: Bounds
    size_by_image: int
    """If every image came with all of its blobs."""
    size_by_repository: int
    """If every repository got each blob once, and none were mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What a pass would do, and what its images share."""

    cold: bool
    """Whether the targets were taken to be empty."""
    sharing: Sharing
    sources: tuple[SourceForecast, ...]
    targets: tuple[TargetForecast, ...]
    requests: Mapping[str, Mapping[RequestKind, Bounds]]
    """By registry and kind, in the order of a pass; tokens, redirects, retries and audits come on top."""
