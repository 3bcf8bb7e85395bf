"""
What a target has lost below tags that are as they should be: which images are looked below, and how closely.

A registry's clean-up, a bucket's lifecycle rule or a broken disk takes manifests and blobs and leaves the tag, and
its digest, as they were; no comparison of digests ever shows that.
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
"""One in so many of a pass's requests may be spent on looking below unchanged images."""
# Passes that come at the same time of the day would come to the same images each week.
_SHORTER = 63 / 64
# An image is due for this part of the period, so that a mirror of three is not looked below in each pass.
_DUE = 1 / 64
# By so much more than the time since the last pass are images looked back for that came due in it.
_MARGIN = 1.5
# Requests that an image is expected to cost before the first has been looked below.
_COST = 12
_DAMAGED = "the target's storage is damaged: delete that blob there, and let the next pass bring it"
_MOST = 4096
"""Images that are remembered until the end of a pass."""


def phase_of(name: str) -> float:
    """Return the moment (0 to 1) within each period at which an image has its turn, by its name alone."""
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
    Chooses among the unchanged images of a pass those to look below: the ones that came due last, first.

    It needs no state: each image has its moment in each period, by its name. Where it is known when the last pass
    was, those that were due before that are left out.
    """

    def __init__(self, every: float | None, now: float, last: float | None = None) -> None:
        """
        `every` is the period in seconds in which each image has its turn; None for never.

        `now`, and `last` for the pass before this one, are in seconds since 1970.
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
        """Take note of an image at a target whose tag is as it should be; `name` is the target's."""
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
        """Return the images with their nearness, those that came due last first."""
        if self._count > len(self._unchanged) or self._every is None:
            turns = [(each.nearness, each.candidate) for each in self._unchanged]
        else:
            # Evenly over the period, so that no two come due between two passes where there are few of them.
            ranked = sorted(self._unchanged, key=lambda each: (each.phase, each.name))
            turns = [
                (1.0 - age_of(rank / len(ranked), self._now, self._every), each.candidate)
                for rank, each in enumerate(ranked)
            ]
        return sorted(turns, key=itemgetter(0), reverse=True)

    def turns(self, requests: Callable[[], int]) -> Iterator[Candidate]:
        """
        Yield the images to look below, until a tenth of the pass's requests has been spent on it.

        `requests` tells how many the pass has made so far. One image is given in any case where it is just due. The
        caller says of each when it is `done`.
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
        """Record that an image has been looked below."""
        self._done += 1


class Inspection:
    """Looks into blobs that targets hold: reads and hashes a `share` (0 to 1) of them."""

    def __init__(
        self, policy: RetryPolicy, *, share: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._policy = policy
        self._share = share
        self._chance = chance

    async def __call__(self, repository: TargetRepository, blob: Descriptor) -> None:
        """
        Read a blob, if its turn has come by chance.

        Raises VerificationError for content that is there and wrong: registries do not take a digest a second time,
        so only a person can mend that; and what keeps it from being read.
        """
        if self._chance() >= self._share:
            return
        await read_whole(blob, repository, policy=self._policy, keep=False, hint_if_wrong=_DAMAGED)
