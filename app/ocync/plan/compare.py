"""One candidate: ask both sides what the tag points to, and fetch the image's manifest where it has to move."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from ocync.errors import NotFoundError, OcyncError, ProtocolError, QuotaError, VerificationError
from ocync.oci import media
from ocync.oci.manifest import Manifest, select_platforms
from ocync.plan.decide import decide, kept
from ocync.plan.model import Copy, ImagePlan

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor
    from ocync.plan.model import Candidate, Decision, TargetState

T = TypeVar("T")
_Found = Manifest | OcyncError | None


async def compare(candidate: Candidate, *, whole: bool = False) -> ImagePlan:
    """
    Return the plan of one image; raises OcyncError when the source can't be asked.

    With `whole`, and where something may be attached to the image, the plan has its manifest also where nothing
    moves.

    The tag is resolved once: all else goes by digest. A target that can't be asked fails for itself alone.
    """
    # Where a target is known to lack the tag, the manifest is needed and a HEAD at the source could end nothing;
    # and a rewritten index has a digest that only its manifest tells.
    by_head = not candidate.mapping.platforms and not any(
        target.lacks(candidate.destination_tag) for target in candidate.targets
    )
    # What the image consists of has to be known to look for what is attached to it. The target's own copy tells
    # that at no request more, and costs no pull at a source that counts them.
    whole = whole or candidate.attachments is not None
    async with asyncio.TaskGroup() as group:
        at_source = group.create_task(_caught(_resolve(candidate, by_head=by_head)))
        at_targets = [
            group.create_task(_look(target, candidate.destination_tag, whole=whole)) for target in candidate.targets
        ]
    resolved = at_source.result()
    if isinstance(resolved, OcyncError):
        raise resolved
    found = [task.result() for task in at_targets]
    present = tuple(answer if isinstance(answer, Manifest) else None for answer in found)
    original = None
    if isinstance(resolved, _Rewritten):
        original, resolved = resolved.original, resolved.root
    if not isinstance(resolved, Manifest):
        decisions = decide(resolved.digest, found)
        root = next((each for each in present if each is not None and each.digest == resolved.digest), None)
        if root is None:
            needed = whole and resolved.media_type in media.INDEXES
            if not _is_to_copy(decisions) and not needed:
                return ImagePlan(candidate=candidate, decisions=decisions, resolved=resolved)
            root = await _fetch(candidate, resolved)
        resolved = root
    decisions = decide(resolved.digest, found, resolved.raw)
    if candidate.settled:
        decisions = tuple(map(kept, decisions))
    return ImagePlan(
        candidate=candidate,
        decisions=decisions,
        resolved=resolved.descriptor,
        root=resolved,
        original=original,
        present=present,
    )


class _Rewritten:
    """An index that `platforms` has made of another one."""

    def __init__(self, root: Manifest, original: Digest) -> None:
        self.root = root
        self.original = original


def _is_to_copy(decisions: tuple[Decision, ...]) -> bool:
    return any(isinstance(decision, Copy) for decision in decisions)


async def _fetch(candidate: Candidate, head: Descriptor) -> Manifest:
    """Fetch what the HEAD told of; by tag where that is gone, or never was there: some registries tell it wrong."""
    try:
        return await candidate.source.manifest(str(head.digest))
    except NotFoundError:
        return await candidate.source.manifest(candidate.tag)


async def _resolve(candidate: Candidate, *, by_head: bool) -> Descriptor | Manifest | _Rewritten:
    """Return what the source's tag points to: its descriptor, or the manifest itself (platforms selected)."""
    source, tag = candidate.source, candidate.tag
    if by_head:
        descriptor = await source.head(tag)
        # The GET tells why it is not there: which tags there are, or what is wrong with it.
        return descriptor if descriptor is not None else await source.manifest(tag)
    root = await source.manifest(tag)
    if not candidate.mapping.platforms or not root.is_index:
        return root
    try:
        selected = select_platforms(root, candidate.mapping.platforms)
    except ValueError as error:
        raise ProtocolError(
            f"{source.name}:{tag}: {error}", host=source.place, hint="change platforms, or leave the tag out"
        ) from error
    return root if selected.digest == root.digest else _Rewritten(selected, root.digest)


async def _look(target: TargetState, reference: str, *, whole: bool) -> Descriptor | _Found:
    if target.lacks(reference):
        return None
    if whole:
        try:
            return await target.repository.manifest(reference)
        except NotFoundError:
            return None
        except (ProtocolError, QuotaError, VerificationError):
            # What stands there can't be read as an image, or not as often (Docker Hub counts that, and no HEADs).
            # Its digest still tells whether it is the right one.
            pass
        except OcyncError as error:
            return error
    return await _caught(target.repository.head(reference))


async def _caught(work: Awaitable[T]) -> T | OcyncError:
    """Give an error back as a value: a task group would wrap it, and cancel the others."""
    try:
        return await work
    except OcyncError as error:
        return error
