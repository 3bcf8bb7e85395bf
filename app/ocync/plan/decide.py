"""The decisions, as pure functions of what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.oci.digest import Digest
from ocync.plan.model import Copy, Decision, Reason, Skip

if TYPE_CHECKING:
    from ocync.oci.manifest import Descriptor, Manifest


def decide(
    wanted: Digest, there: Descriptor | Manifest | None, raw: bytes | None = None, *, immutable: bool = False
) -> Decision:
    """
    Return what is to be done about a tag that points to `there` at the target, or to nothing.

    `raw` are the bytes that are wanted, where they are known: a target may name them by another algorithm. A tag
    that is `immutable` stays as it is, whatever the source has done to its own.
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
