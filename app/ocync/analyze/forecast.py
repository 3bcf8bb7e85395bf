"""What rehearsals of a pass have counted, as the analysis tells it. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ocync.analyze.known import Fate, by_name, summed_up
from ocync.analyze.model import Analysis, Portion, SharedBlob, Sharing, SourceForecast, TargetForecast
from ocync.analyze.requests import NONE, Bounds, Kind, summed, total
from ocync.transfer.result import Reason, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.analyze.known import Tally, Trees
    from ocync.analyze.recording import RecordedTarget, Rehearsed, World
    from ocync.oci.digest import Digest
    from ocync.transfer.result import ImageResult

MOST = 20
"""Blobs that are named one by one."""


def forecast(world: World, first: Rehearsed, tallies: Sequence[Tally], results: Sequence[ImageResult]) -> Analysis:
    """
    Return the analysis of a pass that was rehearsed so many times.

    What does not depend on the order of images is told by the `first` rehearsal and its results.
    """
    places = {place for place, _, _ in world.spots} - world.folders
    readers = sorted({place for tally in tallies for place, what in tally.counts if what is Fate.READ})
    sources = {place: _reads(tallies, place) for place in readers}
    written: dict[str, list[RecordedTarget]] = {}
    for (place, _), target in sorted(first.targets.items()):
        if target.put:
            written.setdefault(place, []).append(target)
    return Analysis(
        cold=world.cold,
        sharing=_sharing(first, world.trees),
        sources=tuple(
            SourceForecast(place=place, blobs=total(reads.values()), size=_weighed(reads, world.trees))
            for place, reads in sources.items()
        ),
        targets=tuple(_target(place, each, tallies, results, world.trees) for place, each in written.items()),
        requests={place: _requests(world, tallies, place) for place in sorted(places)},
    )


def _reads(tallies: Sequence[Tally], place: str) -> dict[Digest, Bounds]:
    most = by_name(tallies, place, Fate.READ_BY)
    return {blob: Bounds(once.low, most[blob].high) for blob, once in by_name(tallies, place, Fate.READ).items()}


def _weighed(reads: dict[Digest, Bounds], trees: Trees) -> Bounds:
    return total(bounds.times(trees.sizes[blob]) for blob, bounds in reads.items())


def _requests(world: World, tallies: Sequence[Tally], place: str) -> dict[Kind, Bounds]:
    bounds = {kind: summed_up(tallies, place, kind) for kind in Kind}
    bounds[Kind.REFERRERS] = _referrers(world, tallies, place)
    bounds[Kind.BLOB_GET] = total(_reads(tallies, place).values())
    posts = bounds[Kind.BLOB_POST]
    takes_one = {
        spot.registry.single_post for (at, *_), spot in world.spots.items() if at == place and spot.registry
    }
    if True not in takes_one:
        # A POST that sends nothing is followed by a PUT; whether it may send is not always known.
        bounds[Kind.BLOB_PUT] += posts if False in takes_one else Bounds(0, posts.high)
    return summed(bounds)


def _referrers(world: World, tallies: Sequence[Tally], place: str) -> Bounds:
    """Return how many pages of lists are asked for."""
    asked = NONE
    for key, calls in by_name(tallies, place, Kind.REFERRERS).items():
        spot = world.spots[key]
        if spot.registry is not None and spot.registry.lists_referrers is False:
            # The first answer ends it, but for what has been asked at the same time.
            asked += Bounds(min(calls.low, 1), calls.high)
        else:
            asked += calls + Bounds.exactly(spot.further_pages)
    return asked


def _target(
    place: str,
    targets: Sequence[RecordedTarget],
    tallies: Sequence[Tally],
    results: Sequence[ImageResult],
    trees: Trees,
) -> TargetForecast:
    here = [result for result in results if result.target_place == place]
    return TargetForecast(
        place=place,
        images=sum(each.status is Status.SYNCED and each.reason is not Reason.ARTIFACTS for each in here),
        artifacts=summed_up(tallies, place, Fate.ARTIFACT),
        repositories=len(targets),
        empty_repositories=sum(target.spot.is_empty for target in targets),
        blobs=sum(len(target.blobs) for target in targets),
        sent=summed_up(tallies, place, Fate.SENT),
        sent_size=summed_up(tallies, place, Fate.SENT, trees.sizes.__getitem__),
        mounted=summed_up(tallies, place, Fate.MOUNTED),
        mounted_size=summed_up(tallies, place, Fate.MOUNTED, trees.sizes.__getitem__),
        there=summed_up(tallies, place, Fate.THERE),
        size_by_image=sum(trees.size(trees.blobs([root])) for target in targets for root in _roots(target, trees)),
        size_by_repository=sum(trees.size(target.blobs) for target in targets),
    )


def _roots(target: RecordedTarget, trees: Trees) -> set[Digest]:
    """Return the images and artifacts that come to a repository, and not what belongs to them."""
    others = target.put.keys() - target.lists - trees.below(target.roots)
    return target.roots | (others - trees.children(others))


def _sharing(first: Rehearsed, trees: Trees) -> Sharing:
    """Return what the images that are copied have in common."""
    images: Counter[Digest] = Counter()
    repositories: Counter[Digest] = Counter()
    for roots in first.images.values():
        repositories.update(trees.blobs(roots))
        for root in roots:
            images.update(trees.blobs([root]))
    shared = [blob for blob, number in images.items() if number > 1]
    shared.sort(key=lambda blob: (-trees.sizes[blob] * (images[blob] - 1), blob))

    def portion(blobs: Iterable[Digest]) -> Portion:
        each = list(blobs)
        return Portion(blobs=len(each), size=trees.size(each))

    return Sharing(
        images=sum(map(len, first.images.values())),
        repositories=len(first.images),
        manifests=len(trees.below(root for roots in first.images.values() for root in roots)),
        all=portion(images),
        between_images=portion(shared),
        between_repositories=portion(blob for blob, number in repositories.items() if number > 1),
        most=tuple(
            SharedBlob(
                digest=str(blob), size=trees.sizes[blob], images=images[blob], repositories=repositories[blob]
            )
            for blob in shared[:MOST]
        ),
    )
