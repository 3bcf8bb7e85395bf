"""The values that flow from the plan to the transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocync.config.model import MappingConfig
    from ocync.endpoint import Repository, TargetRepository
    from ocync.errors import OcyncError
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.attachments import Attachments
    from ocync.transfer.result import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A target repository, and what a look at its tags told before the pass wrote to it."""

    repository: TargetRepository
    tags: frozenset[str] | None = None
    """All of its tags; None where they are not known."""

    @property
    def is_empty(self) -> bool:
        """Whether it is known to hold nothing: then nothing is looked for there."""
        return self.tags is not None and not self.tags

    def lacks(self, tag: str) -> bool:
        """Tell whether the tag is known not to be there."""
        return self.tags is not None and tag not in self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tag that the rules have selected, and where it is to go."""

    mapping: MappingConfig
    tag: str
    """The tag, or a digest for an image that is copied by digest alone."""
    source: Repository
    targets: tuple[TargetState, ...]
    target_tag: str | None = None
    """The tag at the targets where it is not the source's."""
    attachments: Attachments | None = None
    """What is attached to images of the source's repository; None where nothing of that is to be copied."""
    signatures: Attachments | None = None
    """The same, with all that may be signatures, where the mapping says who has to have signed; else None."""
    optional: bool = False
    """Whether the source need not have the tag: it was asked for without looking at a list."""
    settled: bool = False
    """Whether the tag never changes, and every target was seen to have it."""

    @property
    def destination_tag(self) -> str:
        """The tag (or digest) that the image gets at the targets."""
        return self.target_tag or self.tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The target's tag has to be set to the image; `previous` is what it points to now."""

    reason: Reason
    previous: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Nothing has to be done; `digest` is what the tag points to, where that was asked."""

    reason: Reason
    digest: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The target could not be asked."""

    error: OcyncError


Decision = Copy | Skip | Broken


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """A candidate with a decision for each of its targets."""

    candidate: Candidate
    decisions: tuple[Decision, ...]
    resolved: Descriptor
    """What the source's tag points to (with `platforms`, the index as it will be)."""
    root: Manifest | None = None
    """The manifest: always when any of the decisions is to copy, and where it was needed to compare."""
    original: Digest | None = None
    """The source's own index, where `platforms` made another one of it."""
    present: tuple[Manifest | None, ...] = ()
    """For each target what its tag points to now, where that was read."""
