"""How each blob comes to each target place: sent, mounted, or found. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.analyze.needs import Fill
from ocync.analyze.requests import NONE, Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.analyze.facts import Facts, Spot
    from ocync.analyze.needs import Needs, Trees
    from ocync.oci.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """One blob at one target place: how many repositories get it which way."""

    sent: Bounds
    mounted: Bounds
    looked_for: Bounds
    there: Bounds
    """Repositories that may turn out to hold it."""


@dataclass(slots=True)
class Users:
    """The repositories of a place that need one blob, counted."""

    by_fill: dict[Fill, int] = field(default_factory=lambda: dict.fromkeys(Fill, 0))
    """Those that need it for sure."""
    perhaps: int = 0
    known: int = 0
    """Those in which another image knows it to be: they need nothing if that one comes first."""
    unseen: int = 0
    """Of those that hold something and need it for sure: where it is not looked for, unless it is remembered."""
    held: bool = False
    """Whether a repository of the place is known to hold it that is none of these."""
    is_doubtful: bool = False
    """Whether nobody knows what a pass will take to be at the place."""
    is_remembered: bool = False
    """Whether an earlier pass saw it at the place: it may be taken to be there, and mounted from where it was."""
    from_here: bool = False
    """Whether an image of this very place brings it: it is then mounted from there."""
    from_elsewhere: bool = False

    def count(self, blob: Digest, need: Needs) -> None:
        """Count a repository that needs the blob."""
        if blob in need.known_blobs:
            self.known += 1
        elif blob in need.sure_blobs:
            self.by_fill[need.fill] += 1
        else:
            self.perhaps += 1
        self.unseen += need.is_owned and blob in need.sure_blobs and blob not in need.known_blobs

    def arriving(self) -> Arriving:
        """
        Return how the blob comes to all of them: one leads, whichever comes first, and the others mount from it.

        Only the one that leads looks for the blob, and only where its repository is not known to hold nothing.
        """
        if self.is_remembered or self.is_doubtful:
            return self._remembered()
        sure, empty = sum(self.by_fill.values()), self.by_fill[Fill.NOTHING] + self.unseen
        ours, filled = self.by_fill[Fill.OURS], self.by_fill[Fill.SOMETHING] + self.perhaps - self.unseen
        every = sure + self.perhaps + self.known
        known = self.held or self.known > 0
        if not self.from_elsewhere:
            return Arriving(sent=NONE, mounted=Bounds(sure, every), looked_for=NONE, there=Bounds(0, every - sure))
        sent = Bounds(
            1 if sure and not (filled or self.from_here or known) else 0, 1 if sure or self.perhaps else 0
        )
        mounted = Bounds(max(sure - 1, 0), every if self.from_here or self.held else max(every - 1, 0))
        return Arriving(
            sent=sent,
            mounted=mounted,
            looked_for=Bounds(
                1 if sure and not (empty or ours or self.from_here or known) else 0,
                1 if ours or filled or self.known else 0,
            ),
            there=Bounds(0, every - sent.low - mounted.low if filled or known else 0),
        )

    def _remembered(self) -> Arriving:
        every = sum(self.by_fill.values()) + self.perhaps + self.known
        is_filled = every > self.by_fill[Fill.NOTHING]
        return Arriving(
            sent=Bounds(0, 1) if self.from_elsewhere else NONE,
            mounted=Bounds(0, every),
            looked_for=Bounds(0, every if self.is_doubtful else 1) if self.from_elsewhere and is_filled else NONE,
            there=Bounds(0, every if is_filled else 0),
        )


Arrivals = dict[str, dict["Digest", Arriving]]
"""By target place and blob."""


def arrivals_of(facts: Facts, trees: Trees, needs: Mapping[Spot, Needs]) -> Arrivals:
    """Return how each blob comes to each target place."""
    users: dict[str, dict[Digest, Users]] = defaultdict(lambda: defaultdict(Users))
    for spot, need in needs.items():
        for blob in need.blobs:
            users[spot.place][blob].count(blob, need)
    for spot, need in needs.items():
        for blob in (need.known_blobs - need.blobs) & users[spot.place].keys():
            users[spot.place][blob].held = True
    for place, blobs in users.items():
        for blob in blobs.keys() & facts.remembered.blobs.get(place, frozenset()):
            blobs[blob].is_remembered = True
        for each in blobs.values() if place in facts.remembered.doubtful else ():
            each.is_doubtful = True
    for (source, place), roots in _roots_by_way(facts).items():
        for blob in trees.blobs(roots) & users[place].keys():
            if source == place:
                users[place][blob].from_here = True
            else:
                users[place][blob].from_elsewhere = True
    return {place: {blob: each.arriving() for blob, each in blobs.items()} for place, blobs in users.items()}


def _roots_by_way(facts: Facts) -> dict[tuple[str, str], set[Digest]]:
    """Return the images and artifacts that go from a source place to a target place."""
    roots: dict[tuple[str, str], set[Digest]] = defaultdict(set)
    for way in facts.ways:
        for arrival in way.arrivals:
            roots[way.source.place, arrival.spot.place].add(way.root)
    return roots
