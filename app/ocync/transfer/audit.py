"""
The audit: which unchanged images are checked for lost manifests and blobs, and how closely.

A registry's clean-up, a bucket's lifecycle rule or a broken disk may delete manifests and blobs and leave the tag
and its digest in place. A comparison of digests never shows that.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from ocync.transfer.resumable_read import read_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocync.oci.manifest import Descriptor
    from ocync.oci.repository import TargetRepository
    from ocync.plan.model import Candidate
    from ocync.registry.retry import RetryPolicy

SHARE = 10
"""One in this many requests of a pass may be spent on the rolling audit."""
# A period of whole days would bring daily passes to the same images each time.
_SHORTER = 63 / 64
# An image is due for this part of the period, so that a mirror of three images is not audited in each pass.
_DUE = 1 / 64
# Images count as due if they became due within this many times the time since the last pass.
_MARGIN = 1.5
# Expected requests of an audit, until the first is done.
_COST = 12
_DAMAGED = "the target's storage is damaged: delete that blob there, and let the next pass bring it"
_MOST = 4096
"""Images that are kept until the end of a pass."""


def phase_of(name: str) -> float:
    """Return the moment (0 to 1) in each period at which an image is due, derived from its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def age_of(phase: float, now: float, every: float) -> float:
    """Return the part of the period (0 to 1) that has passed since an image was due, at `now` in seconds."""
    return (now / (every * _SHORTER) - phase) % 1.0


@dataclass(order=True, frozen=True, slots=True)
class _Unchanged:
    nearness: float
    """1 for an image that is due now, less for one that was due before."""
    phase: float
    name: str
    candidate: Candidate = field(compare=False)


class RollingAudit:
    """
    Chooses the unchanged images of a pass to audit: those that became due last come first.

    It keeps no state, since an image's name decides when it is due. If the time of the last pass is known, images
    that became due before it are left out.
    """

    def __init__(self, every: float | None, now: float, last: float | None = None) -> None:
        """
        `every` is the period in seconds in which each image is due once; None for never.

        `now`, and `last` for the end of the last pass, are in seconds since 1970.
        """
        self._every = every
        self._now = now
        self._share = 1.0
        if every is not None and last is not None:
            self._share = min(1.0, max(_DUE, _MARGIN * (now - last) / every))
        self._unchanged: list[_Unchanged] = []
        self._count = 0
        self._done = 0

    def __repr__(self) -> str:
        return f"<RollingAudit: {len(self._unchanged)} unchanged images>"

    def unchanged(self, candidate: Candidate, name: str) -> None:
        """Record an image at a target whose tag is up to date; `name` is that of the image there."""
        if self._every is None:
            return
        phase = phase_of(name)
        each = _Unchanged(1.0 - age_of(phase, self._now, self._every), phase, name, candidate)
        self._count += 1
        if len(self._unchanged) < _MOST:
            heapq.heappush(self._unchanged, each)
        else:
            heapq.heappushpop(self._unchanged, each)

    def _in_turn(self) -> list[tuple[float, Candidate]]:
        """Return the images with their nearness, those that became due last first."""
        if self._count > len(self._unchanged) or self._every is None:
            turns = [(each.nearness, each.candidate) for each in self._unchanged]
        else:
            # Spread evenly over the period, so that few images do not become due together.
            ranked = sorted(self._unchanged, key=lambda each: (each.phase, each.name))
            turns = [
                (1.0 - age_of(rank / len(ranked), self._now, self._every), each.candidate)
                for rank, each in enumerate(ranked)
            ]
        return sorted(turns, key=itemgetter(0), reverse=True)

    def turns(self, requests: Callable[[], int]) -> Iterator[Candidate]:
        """
        Yield the images to audit, until that has taken a tenth of the pass's requests.

        `requests` returns the number of requests made so far. The first image is yielded in any case if it has just
        become due. The caller calls `done` after each.
        """
        before = requests()
        most = 1 + self._count // SHARE
        for given, (nearness, candidate) in enumerate(self._in_turn()[:most]):
            spent = requests() - before
            each = spent / self._done if self._done else _COST
            expected = spent + (given + 1 - self._done) * each
            is_due = not given and nearness >= 1.0 - _DUE
            if nearness < 1.0 - self._share or (expected * (SHARE - 1) > before and not is_due):
                return
            yield candidate

    def done(self) -> None:
        """Record that an image has been audited."""
        self._done += 1


class Inspection:
    """Reads and hashes a random `share` (0 to 1) of the blobs that targets have."""

    def __init__(
        self, policy: RetryPolicy, *, share: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._policy = policy
        self._share = share
        self._chance = chance

    async def __call__(self, repository: TargetRepository, blob: Descriptor) -> None:
        """
        Read the blob, if it is among the share.

        Raises VerificationError for wrong content, which only a person can repair, since registries do not accept a
        digest a second time; and any other OcyncError if the blob cannot be read.
        """
        if self._chance() >= self._share:
            return
        await read_whole(blob, repository, policy=self._policy, keep=False, hint_if_wrong=_DAMAGED)
