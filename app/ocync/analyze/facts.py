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
    """A repository that an image or artifact is to be copied to."""

    spot: Spot
    is_empty: bool
    """Whether it is known to hold nothing: then nothing is looked for there."""
    present: Parts = Parts()
    """What is known to be there since the tag points to it now: that manifest, and what it lists."""
    is_believed: bool = True
    """Whether a pass will rely on that for sure, and not only perhaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One selected tag that has to be copied, to at least one repository."""

    mapping: int
    """Which mapping it comes of: the number tells them apart."""
    tag: str
    source: Spot
    root: Digest
    arrivals: tuple[Arrival, ...]
    nested: int = 0
    """Indexes below its manifest: they are read to learn what may be attached to what they list."""
    is_referred_to: bool = False
    """Whether anything refers to its manifest: that is then put by its digest before its tag is set."""

    @property
    def targets(self) -> frozenset[Spot]:
        """Where it is to be copied to."""
        return frozenset(arrival.spot for arrival in self.arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Something that is attached to a manifest and has to be copied, to at least one repository."""

    source: Spot
    subject: Digest
    root: Digest
    tag: str | None = None
    """The tag that attaches it; None where it refers to the subject."""
    is_listed_by_hand: bool = False
    """Whether only the fallback tag can list it: its manifest does not name the subject."""
    arrivals: tuple[Arrival, ...]
    was_read: bool = False
    """Whether it had to be read to find it, and so need not be read to be copied."""
    times: int = 1
    """How often it is come upon at most: what is attached to something with two subjects is met with both."""
    askers: frozenset[frozenset[Spot]]
    """For which repositories at once images ask for it: whoever comes first brings it to those of its own."""


class Way(NamedTuple):
    """Something that goes from a source to repositories, all of which ask for it at once."""

    source: Spot
    root: Digest
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What earlier passes knew, of what is to be copied."""

    owned: frozenset[Spot] = frozenset()
    """Repositories that hold what is remembered of them and nothing else: nothing else is looked for there."""
    blobs: Mapping[str, frozenset[Digest]] = field(default_factory=dict)
    """Blobs that repositories of a place are thought to hold."""
    manifests: Mapping[Spot, frozenset[Digest]] = field(default_factory=dict)
    sampled: frozenset[Spot] = frozenset()
    """Repositories whose artifacts are remembered: a sample is looked at before that is believed."""
    doubtful: frozenset[str] = frozenset()
    """Places that do not notice what is missing, or may not: nobody knows what a pass will look for there."""
    asked: frozenset[str] = frozenset()
    """Of these, places that will be asked, by one PUT, whether memory can be relied on there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a forecast is made of."""

    images: tuple[Image, ...]
    parts: Mapping[Digest, Parts]
    """Every manifest of these images and artifacts."""
    sizes: Mapping[Digest, int]
    """Every blob of these images and artifacts, in bytes."""
    artifacts: tuple[Artifact, ...] = ()
    referrers_api: Mapping[Spot, bool] = field(default_factory=dict)
    """Whether a target repository has the referrers API; those that have not shown it are left out."""
    remembered: Remembered = Remembered()
    unread_lists: frozenset[Spot] = frozenset()
    """Target repositories of which not all tags are known: what a list of referrers has there has to be read."""
    asked: Mapping[str, Mapping[Kind, Bounds]]
    """What a pass asks before it copies anything, by place; a folder is not among them: it takes no requests."""
    single_post: Mapping[str, bool] = field(default_factory=dict)
    """Whether a place takes a blob by one POST; those that have not shown it yet are left out."""

    @property
    def ways(self) -> Iterator[Way]:
        """Give the ways of all images and artifacts."""
        for image in self.images:
            yield Way(image.source, image.root, image.arrivals)
        for artifact in self.artifacts:
            for asker in artifact.askers:
                arrivals = tuple(arrival for arrival in artifact.arrivals if arrival.spot in asker)
                if arrivals:
                    yield Way(artifact.source, artifact.root, arrivals)


def copied_parts(manifest: Manifest) -> Iterator[tuple[Descriptor, bool]]:
    """Give what a copy of the manifest brings, each digest once, and whether it is brought as a manifest."""
    for part in {part.digest: part for part in (*manifest.children, *manifest.blobs)}.values():
        if manifest.is_index and media.is_manifest_like(part.media_type):
            yield part, True
        elif not part.is_foreign:
            yield part, False
