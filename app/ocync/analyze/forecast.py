"""
What a pass will ask and send, from the facts; pure.

It holds for a pass in which nothing fails and every mount is granted. Where the order of images decides, or what a
repository holds that nobody has looked at, the bounds hold for every order and every content.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.analyze.needs import Fill
from ocync.analyze.reads import Reader, reads
from ocync.analyze.requests import NONE, Bounds, Kind, summed, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    from_here: bool = False
    """Whether an image of this very place brings it: it is then mounted from there."""
    from_elsewhere: bool = False

    def arriving(self) -> Arriving:
        """
        Return how the blob comes to all of them: one leads, whichever comes first, and the others mount from it.

        Only the one that leads looks for the blob, and only where its repository is not known to hold nothing.
        """
        sure, empty = sum(self.by_fill.values()), self.by_fill[Fill.NOTHING]
        ours, filled = self.by_fill[Fill.OURS], self.by_fill[Fill.SOMETHING] + self.perhaps
        every = sure + self.perhaps
        if not self.from_elsewhere:
            return Arriving(sent=NONE, mounted=Bounds(sure, every), looked_for=NONE, there=Bounds(0, every - sure))
        sent = Bounds(1 if sure and not filled and not self.from_here else 0, 1)
        mounted = Bounds(max(sure - 1, 0), every if self.from_here else max(every - 1, 0))
        return Arriving(
            sent=sent,
            mounted=mounted,
            looked_for=Bounds(
                1 if sure and not (empty or ours or self.from_here) else 0, 1 if ours or filled else 0
            ),
            there=Bounds(0, every - sent.low - mounted.low if filled else 0),
        )


Arrivals = dict[str, dict["Digest", Arriving]]
"""By target place and blob."""


def arrivals_of(facts: Facts, trees: Trees, needs: Mapping[Spot, Needs]) -> Arrivals:
    """Return how each blob comes to each target place."""
    users: dict[str, dict[Digest, Users]] = defaultdict(lambda: defaultdict(Users))
    for spot, need in needs.items():
        at_place = users[spot.place]
        for blob in need.blobs:
            if blob in need.sure_blobs:
                at_place[blob].by_fill[need.fill] += 1
            else:
                at_place[blob].perhaps += 1
    for image in facts.images:
        for place in {spot.place for spot in image.targets}:
            for blob in trees.blobs([image.root]):
                if place == image.source.place:
                    users[place][blob].from_here = True
                else:
                    users[place][blob].from_elsewhere = True
    return {place: {blob: each.arriving() for blob, each in blobs.items()} for place, blobs in users.items()}


def blob_reads(facts: Facts, trees: Trees, needs: Mapping[Spot, Needs], arrivals: Arrivals) -> dict[str, BlobReads]:
    """Return how many blobs are read from each source place."""
    readers: dict[Digest, set[Reader[str]]] = defaultdict(set)
    for image in facts.images:
        # Within its own place it mounts.
        reader = Reader(image.source.place, frozenset(spot.place for spot in image.targets) - {image.source.place})
        for blob in trees.blobs([image.root]) if reader.destinations else ():
            readers[blob].add(reader)
    unsure = {blob for need in needs.values() for blob in need.blobs - need.sure_blobs}
    counts: dict[str, BlobReads] = defaultdict(BlobReads)
    for blob, each in readers.items():
        sure = {place for place, blobs in arrivals.items() if blob in blobs and blobs[blob].sent.low}
        for source, bounds in reads(each, sure=sure, varying=blob in unsure).items():
            counts[source] = counts[source].and_also(bounds, facts.sizes[blob])
    return dict(counts)


@dataclass(frozen=True, slots=True)
class BlobReads:
    """Reads of blobs from one source place, and their bytes."""

    number: Bounds = NONE
    size: Bounds = NONE

    def and_also(self, number: Bounds, size: int) -> BlobReads:
        """Return this with the reads of one more blob."""
        return BlobReads(self.number + number, self.size + number.times(size))


def requests_of(
    facts: Facts, trees: Trees, needs: Mapping[Spot, Needs], arrivals: Arrivals, blobs: Mapping[str, BlobReads]
) -> dict[str, dict[Kind, Bounds]]:
    """Return what is asked of each registry, by kind."""
    parts: dict[str, list[Mapping[Kind, Bounds]]] = {place: [asked] for place, asked in facts.asked.items()}

    def add(place: str, requests: Mapping[Kind, Bounds]) -> None:
        # A folder is asked nothing.
        if place in parts:
            parts[place].append(requests)

    for spot, need in needs.items():
        add(spot.place, _of_manifests(need))
    for place, arriving in arrivals.items():
        add(place, _of_blobs(arriving.values()))
    for place, number in _manifest_reads(facts, trees, needs).items():
        add(place, {Kind.MANIFEST_GET: number})
    for place, read in blobs.items():
        add(place, {Kind.BLOB_GET: read.number})
    for place, requests in _of_overlaps(facts, needs):
        add(place, requests)
    return {place: summed(*each) for place, each in parts.items()}


def _of_manifests(need: Needs) -> dict[Kind, Bounds]:
    """Return the requests for manifests at one target repository, but for those of the plan."""
    looked_for = {
        Fill.NOTHING: NONE,
        Fill.OURS: Bounds(0, len(need.below)),
        # A child that is also a root may have come already; deeper ones are met only where their index is missing.
        Fill.SOMETHING: Bounds(len(need.listed - need.roots), len(need.below)),
    }
    tags = Bounds.exactly(sum(need.tags.values()))
    return {
        Kind.MANIFEST_HEAD: looked_for[need.fill],
        Kind.MANIFEST_PUT: tags + Bounds(len(need.sure_children), len(need.below)),
    }


def _of_blobs(arriving: Iterable[Arriving]) -> dict[Kind, Bounds]:
    """Return the requests for blobs at one target place."""
    each = list(arriving)
    sent = total(blob.sent for blob in each)
    return {
        Kind.BLOB_HEAD: total(blob.looked_for for blob in each),
        Kind.BLOB_MOUNT: total(blob.mounted for blob in each),
        Kind.BLOB_POST: sent,
        Kind.BLOB_PUT: sent,
    }


def _manifest_reads(facts: Facts, trees: Trees, needs: Mapping[Spot, Needs]) -> dict[str, Bounds]:
    """Return how many manifests below the images are fetched from each source place."""
    readers: dict[Digest, set[Reader[Spot]]] = defaultdict(set)
    for image in facts.images:
        reader = Reader(image.source.place, image.targets)
        for child in trees.below(image.root):
            readers[child].add(reader)
    # Below an index that a target may hold: an image then wants it for its other targets only.
    nested = {
        child for need in needs.values() if need.fill is Fill.SOMETHING for child in _below_children(need, trees)
    }
    counts: dict[str, Bounds] = defaultdict(lambda: NONE)
    for child, each in readers.items():
        destinations = {spot for reader in each for spot in reader.destinations}
        sure = {spot for spot in destinations if child in needs[spot].sure_children}
        for source, bounds in reads(each, sure=sure, varying=child in nested).items():
            counts[source] += bounds
    return dict(counts)


def _below_children(need: Needs, trees: Trees) -> set[Digest]:
    return {deeper for child in need.listed for deeper in trees.below(child)}


def _of_overlaps(facts: Facts, needs: Mapping[Spot, Needs]) -> Iterable[tuple[str, dict[Kind, Bounds]]]:
    """
    Give what mappings that write the same tag may save each other, and cost.

    The later one may find that the tag is there, by a HEAD at both sides, and need neither manifest nor tag.
    """
    for image in facts.images:
        overlapping = [spot for spot in image.targets if needs[spot].tags[image.tag] > 1]
        for spot in overlapping:
            yield spot.place, {Kind.MANIFEST_HEAD: Bounds(0, 1), Kind.MANIFEST_PUT: Bounds(-1, 0)}
        if overlapping:
            yield image.source.place, {Kind.MANIFEST_HEAD: Bounds(0, 1), Kind.MANIFEST_GET: Bounds(-1, 0)}
