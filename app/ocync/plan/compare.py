"""One candidate: ask both sides what the tag points to, and fetch the image's manifest where it has to move."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ocync.lib.errors import NotFoundError, OcyncError, ProtocolError, QuotaError, VerificationError
from ocync.oci import media
from ocync.oci.manifest import Descriptor, Manifest
from ocync.plan.budget import Budget
from ocync.plan.decide import decide
from ocync.plan.model import Copy, ImagePlan, Reason, Skip
from ocync.plan.source import Root

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.plan.model import Candidate, TargetState
    from ocync.plan.source import SourceImage

T = TypeVar("T")


async def compare(candidate: Candidate, budget: Budget | None = None, *, audited: bool = False) -> ImagePlan:
    """
    Return the plan of one image at one target; raises OcyncError when either side can't be asked.

    Where it is `audited`, and where something may be attached to the image, the plan has its manifest also where
    nothing moves; a manifest that the target has and can't give is copied again then.
    """
    budget = budget or Budget(candidate.tag)
    image, target, tag = candidate.image, candidate.target, candidate.destination_tag
    # What the image consists of has to be known to look for what is attached to it. The target's own copy tells
    # that at no request more, and costs no pull at a source that counts them.
    whole = audited or candidate.attachments is not None
    # Where the target lacks the tag, the manifest is needed and a HEAD at the source could end nothing.
    by_head = image.is_known_by_head and not target.lacks(tag)
    async with asyncio.TaskGroup() as group:
        at_source = group.create_task(_caught(partial(_resolved, candidate, budget, by_head=by_head)))
        at_target = group.create_task(_caught(partial(_there, target, tag, budget, whole=whole)))
    resolved, there = at_source.result(), at_target.result()
    for answer in (resolved, there):
        if isinstance(answer, OcyncError):
            raise answer
    assert not isinstance(resolved, OcyncError)
    assert not isinstance(there, OcyncError)
    if not isinstance(resolved, Root):
        decision = decide(resolved.digest, there, immutable=candidate.immutable)
        if isinstance(there, Manifest) and there.digest == resolved.digest:
            return ImagePlan(candidate=candidate, decision=decision, resolved=resolved, root=there)
        is_needed = audited or (whole and resolved.media_type in media.INDEXES)
        if not isinstance(decision, Copy) and not is_needed:
            return ImagePlan(candidate=candidate, decision=decision, resolved=resolved)
        resolved = await _root(image, budget)
    root = resolved.manifest
    decision = decide(root.digest, there, root.raw, immutable=candidate.immutable)
    if (
        audited
        and isinstance(there, Descriptor)
        and decision == Skip(reason=Reason.UP_TO_DATE, digest=there.digest)
    ):
        decision = Copy(reason=Reason.REPAIRED, previous=there.digest)
    return ImagePlan(
        candidate=candidate,
        decision=decision,
        resolved=root.descriptor,
        root=root,
        original=resolved.original,
        there=there if isinstance(there, Manifest) else None,
    )


async def _resolved(candidate: Candidate, budget: Budget, *, by_head: bool) -> Descriptor | Root:
    return await candidate.image.head() if by_head else await _root(candidate.image, budget)


async def _root(image: SourceImage, budget: Budget) -> Root:
    """Return the image's manifest; a large one is dropped while others are in memory, and read again."""
    root = await image.root()
    if not budget.may_keep(root.manifest):
        del root
        image.drop()
        await budget.enter()
        root = await image.root()
    return root


async def _there(target: TargetState, tag: str, budget: Budget, *, whole: bool) -> Descriptor | Manifest | None:
    there = await look(target, tag, whole=whole)
    if isinstance(there, Manifest) and not budget.may_keep(there):
        del there
        await budget.enter()
        there = await look(target, tag, whole=whole)
    return there


async def look(target: TargetState, reference: str, *, whole: bool) -> Descriptor | Manifest | None:
    """Return what a tag points to at a target, None for nothing; with `whole` the manifest, if that can be read."""
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
    return await target.repository.head(reference)


async def _caught(call: Callable[[], Awaitable[T]]) -> T | OcyncError:
    """Give an error back as a value: a task group would wrap it, and cancel the others."""
    # A call, for a task that is cancelled before it begins would leave a coroutine that nobody awaits.
    try:
        return await call()
    except OcyncError as error:
        return error
