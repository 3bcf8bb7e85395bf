"""The values that flow from the plan to the transfer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocync.config.model import MappingConfig
    from ocync.lib.errors import RegistryError
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.plan.attachments import Attachments
    from ocync.plan.source import SourceImage


class Reason(StrEnum):
    """The `reason` of an image in the report; in a dry run, what a real pass would do."""

    UP_TO_DATE = "up-to-date"
    IMMUTABLE_TAG = "immutable-tag"
    NEW = "new"
    MOVED = "moved"
    ARTIFACTS = "artifacts"
    """The image was present, and artifacts attached to it were missing."""
    REPAIRED = "repaired"
    """The tag was right, and the target had lost blobs or manifests below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A target repository, and its tags before the pass wrote to it."""

    repository: TargetRepository
    tags: frozenset[str] | None = None
    """All of its tags; None if unknown."""

    @property
    def unlisted(self) -> TargetState:
        """The same repository, with its tags unknown."""
        return TargetState(repository=self.repository)

    @property
    def is_empty(self) -> bool:
        """Whether it lists no tag: small blobs are then sent without a look-up."""
        return self.tags is not None and not self.tags

    def lacks(self, tag: str) -> bool:
        """Return whether the tag is known to be missing."""
        return self.tags is not None and tag not in self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tag that the rules select, for one target: the unit of work."""

    mapping: MappingConfig
    image: SourceImage
    target: TargetState
    target_tag: str | None = None
    """The tag at the target, if it differs from the source's."""
    attachments: Attachments | None = None
    """Finds the artifacts of the source's images; None if none are to be copied."""
    signatures: Attachments | None = None
    """Finds their signatures for `verify`, whatever is copied; None without `verify`."""
    optional: bool = False
    """Whether the source may lack the tag: it was requested without a list."""
    immutable: bool = False
    """Whether the tag is never moved once it exists at the target."""

    @property
    def tag(self) -> str:
        """The source's tag, or a digest for an image that is copied by digest alone."""
        return self.image.tag

    @property
    def source(self) -> Repository:
        """The source's repository."""
        return self.image.repository

    @property
    def destination_tag(self) -> str:
        """The tag (or digest) that the image gets at the target."""
        return self.target_tag or self.tag

    @property
    def is_settled(self) -> bool:
        """Whether the tag is immutable and listed at the target: no request is needed."""
        return self.immutable and self.target.tags is not None and self.destination_tag in self.target.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The target's tag has to be set to the image; `previous` is its current digest."""

    reason: Reason
    previous: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The tag stays as it is; `digest` is its current digest, if it was requested."""

    reason: Reason
    digest: Digest | None = None


Decision = Copy | Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """The decision on one image at one target, with what was read for it."""

    candidate: Candidate
    decision: Decision
    resolved: Descriptor
    """What the source's tag points to; with `platforms`, the reduced index."""
    root: Manifest | None = None
    """The manifest: always for a Copy, else if it was read to compare."""
    original: Digest | None = None
    """The digest of the source's own index, if `platforms` reduced it."""
    there: Manifest | None = None
    """What the target's tag points to now, if it was read."""
    refusal: RegistryError | None = None
    """Why it is not known what the target's tag points to."""

    @property
    def source_digest(self) -> Digest:
        """The digest of the source's tag, before `platforms` reduced the index."""
        return self.original or self.resolved.digest
