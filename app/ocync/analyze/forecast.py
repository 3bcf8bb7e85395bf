"""
What a pass will ask of each registry. Pure.

It holds for a pass in which nothing fails and every mount is granted. Where the order of images decides, or what a
repository holds that nobody has looked at, the bounds hold for every order and every content. It does not know in
which order memory is told what several sources attach to the same manifest, for one repository: it keeps one set.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ocync.analyze.needs import Fill
from ocync.analyze.requests import NONE, Bounds, Kind, summed, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocync.analyze.arrivals import Arrivals, Arriving
    from ocync.analyze.facts import Facts, Spot
    from ocync.analyze.needs import Needs
    from ocync.analyze.sources import BlobReads
    from ocync.oci.digest import Digest


def requests_of(
    facts: Facts,
    needs: Mapping[Spot, Needs],
    arrivals: Arrivals,
    *,
    manifests: Mapping[str, Bounds],
    blobs: Mapping[str, BlobReads],
) -> dict[str, dict[Kind, Bounds]]:
    """Return what is asked of each registry, by kind; `manifests` and `blobs` are what is read from sources."""
    parts: dict[str, list[Mapping[Kind, Bounds]]] = {place: [asked] for place, asked in facts.asked.items()}

    def add(place: str, requests: Mapping[Kind, Bounds]) -> None:
        # A folder is asked nothing.
        if place in parts:
            parts[place].append(requests)

    for spot, need in needs.items():
        add(spot.place, _of_manifests(need))
    for place, arriving in arrivals.items():
        add(place, _of_blobs(arriving.values(), single_post=facts.single_post.get(place)))
    for place in facts.remembered.asked:
        add(place, {Kind.MANIFEST_PUT: Bounds.exactly(1)})
    for spot, requests in _of_lists(facts, needs):
        add(spot.place, requests)
    for place, number in manifests.items():
        add(place, {Kind.MANIFEST_GET: number})
    for place, read in blobs.items():
        add(place, {Kind.BLOB_GET: read.number})
    for place, requests in _of_overlaps(facts, needs):
        add(place, requests)
    for spot in facts.remembered.sampled & needs.keys():
        # An image that is copied looks at what is attached to it: who shares that and comes later needs no sample.
        add(spot.place, {Kind.REFERRERS: Bounds(-1, 0), Kind.MANIFEST_GET: Bounds(-1, 0)})
    return {place: summed(*each) for place, each in parts.items()}


def _of_manifests(need: Needs) -> dict[Kind, Bounds]:
    """Return the requests for manifests at one target repository, but for those of the plan."""
    tags = Bounds.exactly(sum(need.tags.values()))
    return {
        Kind.MANIFEST_HEAD: need.looks,
        Kind.MANIFEST_PUT: tags + need.put_by_digest + need.artifacts,
    }


def _of_lists(facts: Facts, needs: Mapping[Spot, Needs]) -> Iterable[tuple[Spot, dict[Kind, Bounds]]]:
    """Give what the lists under fallback tags take, and looks that mappings may take at each other's artifacts."""
    lists: dict[tuple[Spot, Digest], dict[Spot, bool]] = defaultdict(dict)
    for artifact in facts.artifacts:
        for spot in (arrival.spot for arrival in artifact.arrivals):
            if artifact.tag is None:
                by_hand = lists[spot, artifact.subject]
                by_hand[artifact.source] = by_hand.get(artifact.source, False) or artifact.is_listed_by_hand
            elif needs[spot].fill is Fill.OURS:
                yield spot, {Kind.MANIFEST_HEAD: Bounds(0, 1)}
    for (spot, _), sources in lists.items():
        written = total(_list(facts, spot, by_hand=by_hand) for by_hand in sources.values())
        if len(sources) > 1:
            written = Bounds(min(written.low, 1), written.high)
        # Read where that has not been done when it was compared, and again after another source's were added.
        unread = spot in facts.unread_lists and facts.referrers_api.get(spot) is True
        again = Bounds(0, written.high if unread else 0) + Bounds(0, len(sources) - 1)
        if unread:
            # It may turn out to name them already.
            written = Bounds(0, written.high)
        # Looked at once more before it is written, where it has been read or was known not to be there.
        is_sure = needs[spot].fill is not Fill.OURS and not unread and len(sources) == 1
        before = Bounds(written.low if is_sure else 0, written.high)
        yield (
            spot,
            {
                Kind.MANIFEST_GET: again,
                Kind.MANIFEST_PUT: written,
                Kind.MANIFEST_HEAD: written + before,
            },
        )
        if needs[spot].fill is Fill.OURS:
            yield spot, {Kind.REFERRERS: Bounds(0, len(sources)), Kind.MANIFEST_GET: Bounds(0, len(sources))}


def _list(facts: Facts, spot: Spot, *, by_hand: bool) -> Bounds:
    """Return whether a list is written for artifacts of one source: by who keeps no account of them."""
    has_api = facts.referrers_api.get(spot)
    if by_hand or has_api is False:
        return Bounds.exactly(1)
    return NONE if has_api else Bounds(0, 1)


def _of_blobs(arriving: Iterable[Arriving], *, single_post: bool | None) -> dict[Kind, Bounds]:
    """Return the requests for blobs at one target place; whether it takes one POST for a blob may not be known."""
    each = list(arriving)
    sent = total(blob.sent for blob in each)
    return {
        Kind.BLOB_HEAD: total(blob.looked_for for blob in each),
        Kind.BLOB_MOUNT: total(blob.mounted for blob in each),
        Kind.BLOB_POST: sent,
        Kind.BLOB_PUT: Bounds(sent.low if single_post is False else 0, 0 if single_post else sent.high),
    }


def _of_overlaps(facts: Facts, needs: Mapping[Spot, Needs]) -> Iterable[tuple[str, dict[Kind, Bounds]]]:
    """
    Give what mappings that write the same tag may save each other, and cost.

    The later one may find that the tag is there, by a look at both sides, and need neither manifest nor tag.
    """
    for image in facts.images:
        overlapping = [spot for spot in image.targets if needs[spot].tags[image.tag] > 1]
        for spot in overlapping:
            # By GET where artifacts are copied: what stands there then tells what may be attached to it.
            yield (
                spot.place,
                {
                    Kind.MANIFEST_HEAD: Bounds(0, 1),
                    Kind.MANIFEST_GET: Bounds(0, 1 + image.nested),
                    Kind.MANIFEST_PUT: Bounds(-1, 0),
                },
            )
        if overlapping:
            yield (
                image.source.place,
                {Kind.MANIFEST_HEAD: Bounds(0, 1), Kind.MANIFEST_GET: Bounds(-1 - image.nested, 0)},
            )
