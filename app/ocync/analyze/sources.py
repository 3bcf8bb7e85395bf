"""What is read from each source place, and how often. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.analyze.needs import Fill
from ocync.analyze.reads import Reader, reads
from ocync.analyze.requests import NONE, Bounds, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.analyze.arrivals import Arrivals
    from ocync.analyze.facts import Arrival, Facts, Spot
    from ocync.analyze.needs import Needs, Trees
    from ocync.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class BlobReads:
    """Reads of blobs from one source place, and their bytes."""

    number: Bounds = NONE
    size: Bounds = NONE

    def and_also(self, number: Bounds, size: int) -> BlobReads:
        """Return this with the reads of one more blob."""
        return BlobReads(self.number + number, self.size + number.times(size))


class Sources:
    """The source side of a forecast."""

    def __init__(self, facts: Facts, trees: Trees, needs: Mapping[Spot, Needs]) -> None:
        self._facts, self._trees, self._needs = facts, trees, needs
        self._roots: dict[Reader[Spot], set[Digest]] = defaultdict(set)
        """What images and artifacts of a source place bring to the same destinations."""
        ways: dict[tuple[str, Digest, tuple[Arrival, ...]], None] = {}
        for way in facts.ways:
            ways[way.source.place, way.root, way.arrivals] = None
            destinations = frozenset(arrival.spot for arrival in way.arrivals)
            self._roots[Reader(way.source.place, destinations)].add(way.root)
        self._rooted = Counter(root for roots in self._roots.values() for root in roots)
        """How many of these ways each image goes."""
        self._readers: dict[Digest, dict[Reader[Spot], None]] = defaultdict(dict)
        """Who wants the manifests below the roots."""
        for place, root, arrivals in ways:
            wanted: dict[Digest, set[Spot]] = defaultdict(set)
            for arrival in arrivals:
                for child in trees.wanted(root, arrival):
                    wanted[child].add(arrival.spot)
            for child, spots in wanted.items():
                self._readers[child][Reader(place, frozenset(spots))] = None
        self._nested = {
            deeper
            for need in needs.values()
            if need.fill is Fill.SOMETHING
            for child in need.listed
            for deeper in trees.below(child)
        }
        """What is below an index that a target may hold: an image then wants it for its other targets only."""
        self._listing = trees.listing(self._rooted)
        self._occasions: dict[Digest, int] = {}

    def manifests(self) -> dict[str, Bounds]:
        """Return how many manifests below the images are fetched from each source place."""
        counts: dict[str, Bounds] = defaultdict(lambda: NONE)
        for child in self._readers:
            for source, bounds in self._fetches(child).items():
                counts[source] += bounds
        return dict(counts)

    def artifacts(self) -> dict[str, Bounds]:
        """Return how many manifests of artifacts are fetched from each source place."""
        sources = Counter(
            (arrival.spot, artifact.subject, artifact.root, artifact.tag)
            for artifact in self._facts.artifacts
            for arrival in artifact.arrivals
        )
        counts: dict[str, Bounds] = defaultdict(lambda: NONE)
        for artifact in self._facts.artifacts:
            if artifact.was_read:
                continue
            missing = {arrival.spot for arrival in artifact.arrivals}
            # What another source has too may come from there.
            sure = {spot for spot in missing if sources[spot, artifact.subject, artifact.root, artifact.tag] == 1}
            readers = [Reader(artifact.source.place, asker & missing) for asker in artifact.askers]
            for source, bounds in reads([each for each in readers if each.destinations], sure=sure).items():
                counts[source] += bounds + Bounds(0, artifact.times - 1)
        return dict(counts)

    def blobs(self, arrivals: Arrivals) -> dict[str, BlobReads]:
        """Return how many blobs are read from each source place."""
        unsure = {blob for need in self._needs.values() for blob in need.blobs - need.sure_blobs}
        counts: dict[str, BlobReads] = defaultdict(BlobReads)
        for blob, readers in self._blob_readers(arrivals).items():
            sure = {place for place, blobs in arrivals.items() if blob in blobs and blobs[blob].sent.low}
            most = sum(self._times_gone_through(each) for each in self._listing[blob]) if blob in unsure else None
            for source, bounds in reads(readers, sure=sure, most=most).items():
                counts[source] = counts[source].and_also(bounds, self._facts.sizes[blob])
        return dict(counts)

    def _blob_readers(self, arrivals: Arrivals) -> dict[Digest, list[Reader[str]]]:
        roots: dict[Reader[str], set[Digest]] = defaultdict(set)
        for reader, held in self._roots.items():
            # Within its own place an image mounts.
            places = frozenset(spot.place for spot in reader.destinations) - {reader.source}
            if places:
                roots[Reader(reader.source, places)] |= held
        readers: dict[Digest, list[Reader[str]]] = defaultdict(list)
        sendable = {
            place: {blob for blob, each in blobs.items() if each.sent.high} for place, blobs in arrivals.items()
        }
        for each, held in roots.items():
            for blob in self._trees.blobs(held):
                # Where it is never sent it is not read for.
                places = frozenset(place for place in each.destinations if blob in sendable.get(place, ()))
                if places:
                    readers[blob].append(Reader(each.source, places))
        return readers

    def _fetches(self, child: Digest) -> dict[str, Bounds]:
        readers = self._readers[child]
        destinations = {spot for reader in readers for spot in reader.destinations}
        sure = {spot for spot in destinations if child in self._needs[spot].sure_children}
        most = None
        if child in self._nested:
            most = sum(self._times_gone_through(each) for each in self._listing[child])
        return reads(readers, sure=sure, most=most)

    def _times_gone_through(self, manifest: Digest) -> int:
        """Return how often what a manifest lists is gone through, at most: each time for several destinations."""
        if manifest not in self._occasions:
            as_child = total(self._fetches(manifest).values()).high if manifest in self._readers else 0
            self._occasions[manifest] = self._rooted[manifest] + as_child
        return self._occasions[manifest]
