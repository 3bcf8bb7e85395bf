"""What a pass would rely on of what earlier passes knew; asked of memory, which is not changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.analyze.facts import Arrival, Remembered, Spot
from ocync.memory.facts import Belief
from ocync.transfer.recall import Recall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from ocync.memory.memory import Memory
    from ocync.oci.digest import Digest


class Recollection:
    """The memory of earlier passes, asked about target repositories; those of folders are never asked about."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory

    def relied_on(self, arrivals: Iterable[Arrival]) -> Relied:
        """Decide for each place whether what stands there is relied on for what it lists."""
        spots = {
            arrival.spot
            for arrival in arrivals
            if not arrival.is_empty and self._memory is not None and not arrival.spot.place.startswith("oci:")
        }
        known = {spot for spot in spots if self._memory is not None and self._memory.knows(*spot)}
        recall = Recall(self._memory)
        trust = {spot.place: recall.checks_references(spot.place) for spot in known}
        return Relied(spots=frozenset(known), trust=trust)

    def remembered(
        self, relied: Relied, blobs: Iterable[Digest], manifests: Iterable[Digest], places: Set[str]
    ) -> Remembered:
        """Return what is remembered of these blobs at places, and of these manifests at repositories."""
        memory = self._memory
        if memory is None:
            return Remembered()
        below = list(manifests)
        held: dict[str, set[Digest]] = {place: set() for place in places if not place.startswith("oci:")}
        for blob in blobs:
            for place, digests in held.items():
                if memory.holders(place, blob):
                    digests.add(blob)
        return Remembered(
            owned=frozenset(spot for spot in relied.spots if relied.trust[spot.place] and memory.is_owned(*spot)),
            sampled=frozenset(spot for spot in relied.spots if memory.some_artifacts(*spot)),
            doubtful=frozenset(place for place, trust in relied.trust.items() if not trust),
            blobs={place: frozenset(digests) for place, digests in held.items()},
            manifests={
                spot: frozenset(each for each in below if memory.manifest(*spot, each) is not Belief.NONE)
                for spot in relied.spots
            },
            asked=frozenset(place for place, trust in relied.trust.items() if trust is None),
        )


class Relied:
    """How far memory is relied on."""

    def __init__(self, *, spots: frozenset[Spot], trust: Mapping[str, bool | None]) -> None:
        self.spots = spots
        """Repositories of which something is remembered, and that hold something."""
        self.trust = trust
        """Whether their places notice when blobs are missing; None where they have to be asked."""

    def arrival(self, arrival: Arrival) -> Arrival:
        """Return an arrival with what will be relied on of what its tag points to now."""
        return replace(arrival, is_believed=self.trust.get(arrival.spot.place, True) is True)
