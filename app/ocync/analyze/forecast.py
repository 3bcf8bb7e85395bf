"""The analysis of what rehearsals have counted. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from ocync.analyze.model import (
    NONE,
    Analysis,
    Bounds,
    Portion,
    RequestKind,
    SharedBlob,
    Sharing,
    SourceForecast,
    TargetForecast,
    summed,
    total,
)
from ocync.analyze.tally import Fate, by_name, summed_up
from ocync.plan.model import Reason
from ocync.transfer.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.analyze.recording import RecordedTarget, Rehearsal
    from ocync.analyze.snapshot import Snapshot, Trees
    from ocync.analyze.tally import Tally
    from ocync.oci.digest import Digest
    from ocync.transfer.result import ImageResult

MOST = 20
"""Shared blobs that are listed."""


def forecast(
    snapshot: Snapshot, first: Rehearsal, tallies: Sequence[Tally], results: Sequence[ImageResult]
) -> Analysis:
    """
    Return the analysis from the tallies of all rehearsals.

    The `first` rehearsal and its results give what does not depend on the order of images.
    """
    sizes = snapshot.trees.sizes
    readers = sorted({host for tally in tallies for host, what in tally if what is Fate.READ})
    reads = {host: _reads(tallies, host) for host in readers}
    written = [target for _, target in sorted(first.targets.items()) if target.put]
    return Analysis(
        cold=snapshot.cold,
        sharing=_sharing(first, snapshot.trees),
        sources=tuple(
            SourceForecast(
                host=host,
                blobs=total(blobs.values()),
                size=total(bounds.times(sizes[blob]) for blob, bounds in blobs.items()),
            )
            for host, blobs in reads.items()
        ),
        targets=tuple(
            _target(host, list(targets), tallies, results, snapshot.trees)
            for host, targets in groupby(written, key=lambda target: target.host)
        ),
        requests={
            host: _requests(snapshot, tallies, host, blobs=total(reads.get(host, {}).values()))
            for host in sorted({host for host, _, _ in snapshot.observed} - snapshot.folders)
        },
    )


def _reads(tallies: Sequence[Tally], host: str) -> dict[Digest, Bounds]:
    apart = by_name(tallies, host, Fate.READ_APART)
    return {blob: Bounds(once.low, apart[blob].high) for blob, once in by_name(tallies, host, Fate.READ).items()}


def _requests(
    snapshot: Snapshot, tallies: Sequence[Tally], host: str, *, blobs: Bounds
) -> dict[RequestKind, Bounds]:
    """Return the requests to a registry, of which `blobs` read a blob."""
    bounds = {kind: summed_up(tallies, host, kind) for kind in RequestKind}
    bounds[RequestKind.TAG_LIST] = total(
        calls.times(snapshot.observed[key].tag_pages if whole else 1)
        for (key, whole), calls in by_name(tallies, host, RequestKind.TAG_LIST).items()
    )
    bounds[RequestKind.REFERRERS] = NONE
    for key, calls in by_name(tallies, host, RequestKind.REFERRERS).items():
        registry = snapshot.observed[key].registry
        if registry is not None and registry.lists_referrers is False:
            # The first response ends it, except for concurrent requests.
            bounds[RequestKind.REFERRERS] += Bounds(min(calls.low, 1), calls.high)
        else:
            bounds[RequestKind.REFERRERS] += calls + Bounds.exactly(snapshot.observed[key].further_referrer_pages)
    bounds[RequestKind.BLOB_GET] = blobs
    posts = bounds[RequestKind.BLOB_POST]
    registries = [observed.registry for key, observed in snapshot.observed.items() if key[0] == host]
    single_post = {registry.single_post for registry in registries if registry is not None}
    if True not in single_post:
        # A POST without the blob is followed by a PUT; whether it may send the blob is not always known.
        bounds[RequestKind.BLOB_PUT] += posts if False in single_post else Bounds(0, posts.high)
    return summed(bounds)


def _target(
    host: str,
    targets: list[RecordedTarget],
    tallies: Sequence[Tally],
    results: Iterable[ImageResult],
    trees: Trees,
) -> TargetForecast:
    size = trees.sizes.__getitem__
    synced = [each for each in results if each.target_host == host and each.status is Status.SYNCED]
    return TargetForecast(
        host=host,
        images=sum(each.reason is not Reason.ARTIFACTS for each in synced),
        artifacts=summed_up(tallies, host, Fate.ARTIFACT),
        repositories=len(targets),
        empty_repositories=sum(target.observed.is_empty for target in targets),
        blobs=sum(len(target.blobs) for target in targets),
        sent=summed_up(tallies, host, Fate.SENT),
        sent_size=summed_up(tallies, host, Fate.SENT, size),
        mounted=summed_up(tallies, host, Fate.MOUNTED),
        mounted_size=summed_up(tallies, host, Fate.MOUNTED, size),
        there=summed_up(tallies, host, Fate.THERE),
        size_by_image=sum(trees.size(trees.blobs([root])) for target in targets for root in _roots(target, trees)),
        size_by_repository=sum(trees.size(target.blobs) for target in targets),
    )


def _roots(target: RecordedTarget, trees: Trees) -> set[Digest]:
    """Return the images and artifacts that a repository gets, without their children."""
    others = target.put.keys() - target.lists - trees.below(target.copied)
    return target.copied | (others - trees.children(others))


def _sharing(first: Rehearsal, trees: Trees) -> Sharing:
    """Return what the copied images have in common."""
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

    def shared_blob(blob: Digest) -> SharedBlob:
        size = trees.sizes[blob]
        return SharedBlob(digest=str(blob), size=size, images=images[blob], repositories=repositories[blob])

    return Sharing(
        images=sum(map(len, first.images.values())),
        repositories=len(first.images),
        manifests=len(trees.below(root for roots in first.images.values() for root in roots)),
        all=portion(images),
        between_images=portion(shared),
        between_repositories=portion(blob for blob, number in repositories.items() if number > 1),
        most=tuple(map(shared_blob, shared[:MOST])),
    )
