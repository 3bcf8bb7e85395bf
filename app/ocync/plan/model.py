"""The values that flow from the plan to the transfer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocync.config.model import MappingConfig
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.plan.attachments import Attachments
    from ocync.plan.source import SourceImage


class Reason(StrEnum):
    """The `reason` of an image in the report; for dry runs, what a real pass would do."""

    UP_TO_DATE = "up-to-date"
    IMMUTABLE_TAG = "immutable-tag"
    NEW = "new"
    MOVED = "moved"
    ARTIFACTS = "artifacts"
    """The image was there, and something that is attached to it was not."""
    REPAIRED = "repaired"
    """The tag was right, and the target had lost something below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A target repository, and what a look at its tags told before the pass wrote to it."""

    repository: TargetRepository
    tags: frozenset[str] | None = None
    """All of its tags; None where they are not known."""

    @property
    def unlisted(self) -> TargetState:
        """The same repository, of which no list is believed."""
        return TargetState(repository=self.repository)

    @property
    def is_empty(self) -> bool:
        """Whether it lists no tag: then small things are not looked for there."""
        return self.tags is not None and not self.tags

    def lacks(self, tag: str) -> bool:
        """Return whether the tag was not listed."""
        return self.tags is not None and tag not in self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tag that the rules have selected, and one target that it is to go to: the unit of work."""

    mapping: MappingConfig
    image: SourceImage
    target: TargetState
    target_tag: str | None = None
    """The tag at the target where it is not the source's."""
    attachments: Attachments | None = None
    """What is attached to images of the source's repository; None where nothing of that is to be copied."""
    signatures: Attachments | None = None
    """The same, with all that may be signatures, where the mapping says who has to have signed; else None."""
    optional: bool = False
    """Whether the source need not have the tag: it was asked for without looking at a list."""
    immutable: bool = False
    """Whether the tag never changes at the target once it is there."""

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
        """Whether the tag never changes and was listed at the target: nothing is asked about it."""
        return self.immutable and self.target.tags is not None and self.destination_tag in self.target.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The target's tag has to be set to the image; `previous` is what it points to now."""

    reason: Reason
    previous: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The tag is as it should be; `digest` is what it points to, where that was asked."""

    reason: Reason
    digest: Digest | None = None


Decision = Copy | Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What is to be done about one image at one target."""

    candidate: Candidate
    decision: Decision
    resolved: Descriptor
    """What the source's tag points to (with `platforms`, the index as it will be)."""
    root: Manifest | None = None
    """The manifest: always when it is to be copied, and where it was needed to compare."""
    original: Digest | None = None
    """The source's own index, where `platforms` made another one of it."""
    there: Manifest | None = None
    """What the target's tag points to now, where that was read."""
