"""What was read of both sides, as far as a forecast needs it: digests and sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ocync.oci import media

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocync.analyze.requests import Bounds, Kind
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest


class Spot(NamedTuple):
    """A repository of a place."""

    place: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one manifest lists and a mirror copies, each digest once."""

    manifests: tuple[Digest, ...] = ()
    blobs: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A repository that an image is to be copied to."""

    spot: Spot
    is_empty: bool
    """Whether it is known to hold nothing: then nothing is looked for there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One selected tag that has to be copied, to at least one repository."""

    mapping: int
    """Which mapping it comes of: the number tells them apart."""
    tag: str
    source: Spot
    root: Digest
    arrivals: tuple[Arrival, ...]

    @property
    def targets(self) -> frozenset[Spot]:
        """Where it is to be copied to."""
        return frozenset(arrival.spot for arrival in self.arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a forecast is made of."""

    images: tuple[Image, ...]
    parts: Mapping[Digest, Parts]
    """Every manifest of these images."""
    sizes: Mapping[Digest, int]
    """Every blob of these images, in bytes."""
    asked: Mapping[str, Mapping[Kind, Bounds]]
    """What a pass asks before it copies anything, by place; a folder is not among them: it takes no requests."""
    single_post: Mapping[str, bool] = field(default_factory=dict)
    """Whether a place takes a blob by one POST; those that have not shown it yet are left out."""


def copied_parts(manifest: Manifest) -> Iterator[tuple[Descriptor, bool]]:
    """Give what a copy of the manifest brings, each digest once, and whether it is brought as a manifest."""
    for part in {part.digest: part for part in (*manifest.children, *manifest.blobs)}.values():
        if manifest.is_index and media.is_manifest_like(part.media_type):
            yield part, True
        elif not part.is_foreign:
            yield part, False
