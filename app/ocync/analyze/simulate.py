"""From the facts to the analysis; pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ocync.analyze.arrivals import arrivals_of
from ocync.analyze.forecast import requests_of
from ocync.analyze.model import Analysis, SourceForecast, TargetForecast
from ocync.analyze.needs import Fill, Trees, needs_of
from ocync.analyze.requests import NONE, total
from ocync.analyze.sharing import sharing_of
from ocync.analyze.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.analyze.arrivals import Arriving
    from ocync.analyze.facts import Facts
    from ocync.analyze.needs import Needs
    from ocync.oci.digest import Digest


def simulate(facts: Facts, *, cold: bool = False) -> Analysis:
    """Return what a pass would do with these facts; `cold` is only noted."""
    trees = Trees(facts.parts)
    needs = needs_of(facts, trees)
    arrivals = arrivals_of(facts, trees, needs)
    sources = Sources(facts, trees, needs)
    blobs = sources.blobs(arrivals)
    manifests = sources.manifests()
    for place, number in sources.artifacts().items():
        manifests[place] = manifests.get(place, NONE) + number
    requests = requests_of(facts, needs, arrivals, manifests=manifests, blobs=blobs)
    at_places: dict[str, list[Needs]] = defaultdict(list)
    for spot, need in needs.items():
        at_places[spot.place].append(need)
    return Analysis(
        cold=cold,
        sharing=sharing_of(facts, trees),
        sources=tuple(
            SourceForecast(place=place, blobs=read.number, size=read.size) for place, read in sorted(blobs.items())
        ),
        targets=tuple(
            _target(place, at_places[place], arrivals.get(place, {}), facts, trees) for place in sorted(at_places)
        ),
        requests=dict(sorted(requests.items())),
    )


def _target(
    place: str, needs: list[Needs], arrivals: Mapping[Digest, Arriving], facts: Facts, trees: Trees
) -> TargetForecast:
    def size(blobs: frozenset[Digest]) -> int:
        return sum(facts.sizes[blob] for blob in blobs)

    return TargetForecast(
        place=place,
        images=sum(need.tags.total() for need in needs),
        artifacts=total(need.artifacts for need in needs),
        repositories=len(needs),
        empty_repositories=sum(need.fill is not Fill.SOMETHING for need in needs),
        blobs=sum(len(need.blobs) for need in needs),
        sent=total(each.sent for each in arrivals.values()),
        sent_size=total(each.sent.times(facts.sizes[blob]) for blob, each in arrivals.items()),
        mounted=total(each.mounted for each in arrivals.values()),
        mounted_size=total(each.mounted.times(facts.sizes[blob]) for blob, each in arrivals.items()),
        there=total(each.there for each in arrivals.values()),
        size_by_image=sum(size(trees.blobs([root])) for need in needs for root in need.roots),
        size_by_repository=sum(size(need.blobs) for need in needs),
    )
