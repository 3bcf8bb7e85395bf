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
from typing import TYPE_CHECKING

from ocync.errors import VerificationError
from ocync.oci.digest import Verifier
from ocync.slots import reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocync.endpoint import TargetRepository
    from ocync.oci.manifest import Descriptor
    from ocync.plan.model import Candidate
    from ocync.registry.waiting import RetryPolicy

SHARE = 10
"""One in so many of a pass's requests may be spent on looking below unchanged images."""
# Passes that come at the same time of the day would come to the same images each week.
_SHORTER = 63 / 64
# An image is due for this part of the period, so that a mirror of three is not looked below in each pass.
_DUE = 1 / 64
# Requests that an image is expected to cost before the first has been looked below.
_COST = 12
_MOST = 4096
"""Images that are remembered until the end of a pass."""


def age_of(name: str, now: float, every: float) -> float:
    """
    Return the part of the period (0 to 1) that has passed since the image was due, at `now` in seconds since 1970.

    A function of name and time alone, so that no state is needed: each image has its moment in each period.
    """
    phase = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return (now / (every * _SHORTER) - phase) % 1.0


@dataclass(order=True, frozen=True, slots=True)
class _Due:
    nearness: float
    name: str
    candidate: Candidate = field(compare=False)


class RollingAudit:
    """Chooses among the unchanged images of a pass those to look below: the ones that came due last, first."""

    def __init__(self, every: float | None, now: float) -> None:
        """`every` is the period in seconds in which each image has its turn; None for never."""
        self._every = every
        self._now = now
        self._due: list[_Due] = []
        self._done = 0

    def __repr__(self) -> str:
        return f"<RollingAudit: {len(self._due)} unchanged images>"

    def unchanged(self, candidate: Candidate, name: str) -> None:
        """Take note of an image at a target whose tag is as it should be; `name` is the target's."""
        if self._every is None:
            return
        due = _Due(1.0 - age_of(name, self._now, self._every), name, candidate)
        if len(self._due) < _MOST:
            heapq.heappush(self._due, due)
        else:
            heapq.heappushpop(self._due, due)

    def turns(self, requests: Callable[[], int]) -> Iterator[Candidate]:
        """
        Give the images to look below, until a tenth of the pass's requests has been spent on it.

        `requests` tells how many the pass has made so far. One image is given in any case where it is just due. The
        caller says of each when it is `done`.
        """
        before = requests()
        most = 1 + len(self._due) // SHARE
        for given, due in enumerate(sorted(self._due, reverse=True)[:most]):
            spent = requests() - before
            each = spent / self._done if self._done else _COST
            expected = spent + (given + 1 - self._done) * each
            is_due = not given and due.nearness >= 1.0 - _DUE
            if expected * (SHARE - 1) > before and not is_due:
                return
            yield due.candidate

    def done(self) -> None:
        """Note that an image has been looked below."""
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
        async for attempt in self._policy.retrying():
            with attempt:
                await _hash(repository, blob)


async def _hash(repository: TargetRepository, blob: Descriptor) -> None:
    verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=repository.name)
    try:
        async with reserve([repository.blob_slots]), repository.blob(blob) as pieces:
            async for piece in pieces:
                verifier.update(piece)
        verifier.finish()
    except VerificationError as error:
        error.retryable = False
        error.hint = "the target's storage is damaged: delete that blob there, and let the next pass bring it"
        raise
