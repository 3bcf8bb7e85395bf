"""The decisions, as pure functions of what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.errors import OcyncError
from ocync.oci.digest import Digest
from ocync.plan.model import Broken, Copy, Decision, Skip
from ocync.transfer.result import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.model import TargetState


def is_settled(tag: str, *, immutable: bool, targets: Sequence[TargetState]) -> bool:
    """
    Tell whether the tag needs no request at all: it never changes, and every target is known to have it.

    A target whose tags are not known can't settle anything.
    """
    return immutable and all(target.tags is not None and tag in target.tags for target in targets)


def decide(
    wanted: Digest, found: Sequence[Descriptor | Manifest | OcyncError | None], raw: bytes | None = None
) -> tuple[Decision, ...]:
    """
    Decide for each target from what its tag points to now: a descriptor or a manifest, nothing, or an error.

    `raw` are the bytes that are wanted, where they are known: a target may name them by another algorithm.
    """
    return tuple(_decide(wanted, answer, raw) for answer in found)


def _decide(wanted: Digest, answer: Descriptor | Manifest | OcyncError | None, raw: bytes | None) -> Decision:
    if isinstance(answer, OcyncError):
        return Broken(error=answer)
    if answer is None:
        return Copy(reason=Reason.NEW)
    there = answer.digest
    if there == wanted or (
        raw is not None and there.algorithm != wanted.algorithm and there == Digest.of(raw, there.algorithm)
    ):
        return Skip(reason=Reason.UP_TO_DATE, digest=there)
    return Copy(reason=Reason.MOVED, previous=there)


def kept(decision: Decision) -> Decision:
    """Return the decision about a tag that never changes: one that the source has set anew is left alone."""
    if isinstance(decision, Copy) and decision.previous is not None:
        return Skip(reason=Reason.IMMUTABLE_TAG, digest=decision.previous)
    return decision
