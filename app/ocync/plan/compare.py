"""One candidate: ask both sides what the tag points to, and fetch the image's manifest where it has to move."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from ocync.errors import NotFoundError, OcyncError, ProtocolError
from ocync.oci.manifest import Manifest, select_platforms
from ocync.plan.decide import decide
from ocync.plan.model import Copy, ImagePlan

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ocync.oci.manifest import Descriptor
    from ocync.plan.model import Candidate, Decision, TargetState

T = TypeVar("T")


async def compare(candidate: Candidate) -> ImagePlan:
    """
    Return the plan of one image; raises OcyncError when the source can't be asked.

    The tag is resolved once: all else goes by digest. A target that can't be asked fails for itself alone.
    """
    # Where a target is known to lack the tag, the manifest is needed and a HEAD at the source could end nothing;
    # and a rewritten index has a digest that only its manifest tells.
    by_head = not candidate.mapping.platforms and not any(
        target.lacks(candidate.destination_tag) for target in candidate.targets
    )
    async with asyncio.TaskGroup() as group:
        at_source = group.create_task(_caught(_resolve(candidate, by_head=by_head)))
        at_targets = [group.create_task(_look(target, candidate.destination_tag)) for target in candidate.targets]
    resolved = at_source.result()
    if isinstance(resolved, OcyncError):
        raise resolved
    found = [task.result() for task in at_targets]
    if not isinstance(resolved, Manifest):
        decisions = decide(resolved.digest, found)
        if not _is_to_copy(decisions):
            return ImagePlan(candidate=candidate, decisions=decisions, resolved=resolved)
        resolved = await _fetch(candidate, resolved)
    decisions = decide(resolved.digest, found, resolved.raw)
    return ImagePlan(candidate=candidate, decisions=decisions, resolved=resolved.descriptor, root=resolved)


def _is_to_copy(decisions: tuple[Decision, ...]) -> bool:
    return any(isinstance(decision, Copy) for decision in decisions)


async def _fetch(candidate: Candidate, head: Descriptor) -> Manifest:
    """Fetch what the HEAD told of; by tag where that is gone, or never was there: some registries tell it wrong."""
    try:
        return await candidate.source.manifest(str(head.digest))
    except NotFoundError:
        return await candidate.source.manifest(candidate.tag)


async def _resolve(candidate: Candidate, *, by_head: bool) -> Descriptor | Manifest:
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
        return select_platforms(root, candidate.mapping.platforms)
    except ValueError as error:
        raise ProtocolError(
            f"{source.name}:{tag}: {error}", host=source.place, hint="change platforms, or leave the tag out"
        ) from error


async def _look(target: TargetState, reference: str) -> Descriptor | OcyncError | None:
    if target.lacks(reference):
        return None
    return await _caught(target.repository.head(reference))


async def _caught(work: Awaitable[T]) -> T | OcyncError:
    """Give an error back as a value: a task group would wrap it, and cancel the others."""
    try:
        return await work
    except OcyncError as error:
        return error
