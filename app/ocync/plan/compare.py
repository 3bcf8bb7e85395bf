"""What a candidate's tag points to at both sides, what is to be done about it, and the manifest to copy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ocync.lib.errors import (
    AuthError,
    NotFoundError,
    OcyncError,
    ProtocolError,
    QuotaError,
    RegistryError,
    VerificationError,
)
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor, Manifest
from ocync.plan.budget import Budget
from ocync.plan.model import Copy, Decision, ImagePlan, Reason, Skip
from ocync.plan.source import Root

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.plan.model import Candidate, TargetState
    from ocync.plan.source import SourceImage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a target's tag has shown: what it points to, None for no tag or an unknown one."""

    there: Descriptor | Manifest | None = None
    refusal: RegistryError | None = None
    """Why the manifest, or the tag itself, was not shown; see `ocync.lib.looks`."""


def decide(
    wanted: Digest, there: Descriptor | Manifest | None, raw: bytes | None = None, *, immutable: bool = False
) -> Decision:
    """
    Return what is to be done about a tag that points to `there` at the target; None if the target lacks it.

    `raw` are the wanted manifest's bytes, if known: the target may use another digest algorithm. An `immutable` tag
    that exists is never moved.
    """
    if there is None:
        return Copy(reason=Reason.NEW)
    digest = there.digest
    if digest == wanted or (
        raw is not None and digest.algorithm != wanted.algorithm and digest == Digest.of(raw, digest.algorithm)
    ):
        return Skip(reason=Reason.UP_TO_DATE, digest=digest)
    if immutable:
        return Skip(reason=Reason.IMMUTABLE_TAG, digest=digest)
    return Copy(reason=Reason.MOVED, previous=digest)


async def compare(candidate: Candidate, budget: Budget | None = None, *, audited: bool = False) -> ImagePlan:
    """
    Return the plan of one image at one target; raises OcyncError if either side fails to answer.

    If the image is `audited`, or may have artifacts, the plan contains its manifest even if the tag is up to date.
    With `audited`, a manifest that the target lists and cannot serve is copied again. A tag that the target refuses
    to show counts as missing, unless it is immutable: it might be moved then.
    """
    budget = budget or Budget(candidate.tag)
    image, target, tag = candidate.image, candidate.target, candidate.destination_tag
    # Artifacts are looked up for each of the image's manifests. Reading the target's copy costs no extra request,
    # and no pull at a source that counts pulls.
    whole = audited or candidate.attachments is not None
    # If the target lacks the tag, the manifest is needed anyway, and a HEAD at the source would save nothing.
    # A HEAD does not help either where `platforms` gives the index another digest.
    by_head = not image.platforms and not target.lacks(tag)
    async with asyncio.TaskGroup() as group:
        at_source = group.create_task(_caught(partial(_resolved, candidate, budget, by_head=by_head)))
        at_target = group.create_task(_caught(partial(_there, target, tag, budget, whole=whole)))
    resolved, seen = at_source.result(), at_target.result()
    for answer in (resolved, seen):
        if isinstance(answer, OcyncError):
            raise answer
    assert not isinstance(resolved, OcyncError)
    assert not isinstance(seen, OcyncError)
    there, refusal = seen.there, seen.refusal if seen.there is None else None
    if refusal is not None and candidate.immutable:
        raise refusal
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
        and seen.refusal is None
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
        refusal=refusal,
    )


async def _resolved(candidate: Candidate, budget: Budget, *, by_head: bool) -> Descriptor | Root:
    return await candidate.image.head() if by_head else await _root(candidate.image, budget)


async def _root(image: SourceImage, budget: Budget) -> Root:
    """Return the image's manifest; a large one is dropped while waiting at the gate, and read again."""
    root = await image.root()
    if not budget.may_keep(root.manifest):
        del root
        image.drop()
        await budget.enter()
        root = await image.root()
    return root


async def _there(target: TargetState, tag: str, budget: Budget, *, whole: bool) -> Seen:
    seen = await look(target, tag, whole=whole)
    if isinstance(seen.there, Manifest) and not budget.may_keep(seen.there):
        del seen
        await budget.enter()
        seen = await look(target, tag, whole=whole)
    return seen


async def look(target: TargetState, reference: str, *, whole: bool) -> Seen:
    """Return what a tag points to at a target; with `whole` the manifest, if it is readable."""
    if target.lacks(reference):
        return Seen()
    refusal = None
    if whole:
        try:
            return Seen(await target.repository.manifest(reference))
        except NotFoundError:
            return Seen()
        except (AuthError, ProtocolError, QuotaError, VerificationError) as error:
            if isinstance(error, AuthError) and not error.is_refusal:
                raise
            # It is no image, or the target's quota of pulls is used up (Docker Hub counts GETs, not HEADs). The
            # digest still shows whether the tag is right.
            refusal = error if error.is_refusal else None
    try:
        return Seen(await target.repository.head(reference), refusal)
    except RegistryError as error:
        if not error.is_refusal:
            raise
        return Seen(refusal=error)


async def _caught(call: Callable[[], Awaitable[T]]) -> T | OcyncError:
    """Return an error as a value: a task group would wrap it and cancel the other task."""
    # Takes a function: a task that is cancelled before it begins would leave a coroutine that is never awaited.
    try:
        return await call()
    except OcyncError as error:
        return error
