"""
What each target repository needs of what is to be copied: which manifests, which blobs, and which of them for sure.

What a tag of the repository points to now is there, with all that it lists: of this an image needs nothing. In a
repository that holds something, only what an image's own manifest lists is needed for sure: a child of an index may
be there already, and then nothing of it is looked at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ocync.analyze.requests import NONE, Bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from ocync.analyze.facts import Arrival, Facts, Image, Parts, Spot
    from ocync.oci.digest import Digest


class Fill(Enum):
    """What a target repository held before the pass."""

    NOTHING = 0
    """Nothing, and one mapping writes to it: nothing is looked for."""
    OURS = 1
    """Nothing, but several mappings write to it: the later ones may find what the pass itself has brought."""
    SOMETHING = 2
    """Nobody knows what, before it is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one target repository needs."""

    fill: Fill
    tags: Counter[str]
    """The tags to set, and how many images want to set each: more than one only where mappings overlap."""
    artifacts: Bounds = NONE
    """How many times a manifest of an artifact is put."""
    roots: frozenset[Digest]
    """The manifests that the tags will point to, and those of artifacts."""
    listed: frozenset[Digest]
    """The manifests that the roots list, but for those that are known to be there."""
    below: frozenset[Digest]
    """All manifests below the roots, at any depth, but for those that are known to be there."""
    known: frozenset[Digest]
    """Manifests that one image knows to be there, and that others may have to look for if they come first."""
    blobs: frozenset[Digest]
    """All blobs of the images and artifacts, but for those that are known to be there."""
    sure_blobs: frozenset[Digest]
    """Those that are needed whatever is there."""
    known_blobs: frozenset[Digest]
    """Blobs that one image knows to be there."""
    put_by_digest: Bounds
    """How many manifests are put by their digests: children, and roots before something that refers to them."""
    looks: Bounds
    """How many manifests are looked for by their digests."""
    is_owned: bool
    """Whether it holds what is remembered of it and nothing else."""
    sure_children: frozenset[Digest]
    """
    The manifests that are brought from the source by their digest for sure.

    One that is also a root may have come by its tag before it is wanted by its digest.
    """


class Trees:
    """What is below manifests; every answer is kept."""

    def __init__(self, parts: Mapping[Digest, Parts]) -> None:
        self._parts = parts
        self._below: dict[Digest, frozenset[Digest]] = {}

    def listed(self, root: Digest) -> tuple[Digest, ...]:
        """Return the manifests that a manifest lists."""
        return self._parts[root].manifests

    def below(self, root: Digest) -> frozenset[Digest]:
        """Return all manifests below a manifest, without itself."""
        if root not in self._below:
            self._below[root] = self.missing(root, frozenset())
        return self._below[root]

    def wanted(self, root: Digest, arrival: Arrival) -> frozenset[Digest]:
        """Return the manifests below one that are not known to be where it goes."""
        known = frozenset(arrival.present.manifests if arrival.is_believed else ())
        return self.missing(root, known) if known else self.below(root)

    def missing(self, root: Digest, known: Set[Digest]) -> frozenset[Digest]:
        """Return the manifests below one, without those that are known and without what only these lead to."""
        found: set[Digest] = set()
        open_ends = list(self.listed(root))
        while open_ends:
            child = open_ends.pop()
            if child not in found and child not in known:
                found.add(child)
                open_ends += self.listed(child)
        return frozenset(found)

    def listing(self, roots: Iterable[Digest]) -> dict[Digest, list[Digest]]:
        """Return which manifests, of the roots and all below them, list a manifest or a blob."""
        holders: dict[Digest, list[Digest]] = defaultdict(list)
        for holder in {each for root in roots for each in (root, *self.below(root))}:
            for part in (*self._parts[holder].manifests, *self._parts[holder].blobs):
                holders[part].append(holder)
        return holders

    def blobs(self, roots: Iterable[Digest], *, deep: bool = True) -> frozenset[Digest]:
        """Return the blobs of manifests; with `deep` also those of the manifests below."""
        holders = {each for root in roots for each in ((root, *self.below(root)) if deep else (root,))}
        return frozenset(blob for holder in holders for blob in self._parts[holder].blobs)


def needs_of(facts: Facts, trees: Trees) -> dict[Spot, Needs]:
    """Return what each target repository needs."""
    images: dict[Spot, list[Image]] = defaultdict(list)
    comings: dict[Spot, dict[tuple[Digest, Arrival], None]] = defaultdict(dict)
    for image in facts.images:
        for arrival in image.arrivals:
            images[arrival.spot].append(image)
    for way in facts.ways:
        for arrival in way.arrivals:
            comings[arrival.spot][way.root, arrival] = None
    attached: dict[Spot, set[Digest]] = defaultdict(set)
    for artifact in facts.artifacts:
        for arrival in artifact.arrivals:
            attached[arrival.spot].add(artifact.root)
    artifacts = _artifacts(facts)
    return {
        spot: _needs(
            images[spot],
            list(each),
            trees,
            attached=attached[spot],
            artifacts=artifacts.get(spot, NONE),
            remembered=facts.remembered.manifests.get(spot, frozenset()),
            is_owned=spot in facts.remembered.owned,
            is_doubtful=spot.place in facts.remembered.doubtful,
        )
        for spot, each in comings.items()
    }


def _artifacts(facts: Facts) -> dict[Spot, Bounds]:
    """Return how many manifests of artifacts are put: of several sources with the same one, each may bring it."""
    sources: Counter[tuple[Spot, Digest, Digest, str | None]] = Counter()
    for artifact in facts.artifacts:
        for arrival in artifact.arrivals:
            sources[arrival.spot, artifact.subject, artifact.root, artifact.tag] += artifact.times
    counts: dict[Spot, Bounds] = defaultdict(lambda: NONE)
    for (spot, *_), number in sources.items():
        counts[spot] += Bounds(1, number)
    return counts


def _needs(
    images: Sequence[Image],
    comings: Sequence[tuple[Digest, Arrival]],
    trees: Trees,
    *,
    attached: Set[Digest],
    artifacts: Bounds,
    remembered: Set[Digest],
    is_owned: bool,
    is_doubtful: bool,
) -> Needs:
    fill = Fill.SOMETHING
    if all(arrival.is_empty for _, arrival in comings):
        fill = Fill.OURS if len({image.mapping for image in images}) > 1 else Fill.NOTHING
    roots = frozenset(root for root, _ in comings)
    known = {digest for _, arrival in comings for digest in arrival.present.manifests}
    known_blobs = {digest for _, arrival in comings for digest in arrival.present.blobs}
    listed: set[Digest] = set()
    below: set[Digest] = set()
    sure: set[Digest] = set()
    blobs: set[Digest] = set()
    sure_blobs: set[Digest] = set()
    for root, arrival in comings:
        present = frozenset(arrival.present.blobs if arrival.is_believed else ())
        wanted = trees.wanted(root, arrival)
        # In a repository of ours what is not remembered is not there: it is brought without a look.
        unseen = trees.missing(root, known | remembered) if is_owned else frozenset()
        brought = unseen if fill is Fill.SOMETHING else wanted
        below |= wanted
        sure |= brought
        listed.update(child for child in trees.listed(root) if child in wanted)
        blobs |= trees.blobs([root, *wanted], deep=False) - present
        sure_blobs |= trees.blobs([root, *brought], deep=False) - present
    sure_children = frozenset(sure - roots)
    referred_to = {image.root for image in images if image.is_referred_to}
    # Where it may come another way first, as an artifact or by another mapping, it is not put again.
    sure_roots = referred_to - {image.root for image in images if not image.is_referred_to} - attached
    if fill is Fill.SOMETHING:
        sure_roots -= below | known
    looks = _looks(fill, listed - roots - known, below, remembered=remembered, is_owned=is_owned)
    return Needs(
        fill=fill,
        tags=Counter(image.tag for image in images),
        artifacts=artifacts,
        roots=roots,
        listed=frozenset(listed),
        below=frozenset(below),
        known=frozenset(known),
        blobs=frozenset(blobs),
        sure_blobs=frozenset(sure_blobs - known_blobs),
        known_blobs=frozenset(known_blobs),
        put_by_digest=Bounds(len(sure_children | sure_roots), len(below | referred_to)),
        looks=Bounds(0, len(below) if fill is Fill.SOMETHING else looks.high) if is_doubtful else looks,
        is_owned=is_owned and fill is Fill.SOMETHING,
        sure_children=sure_children,
    )


def _looks(
    fill: Fill, listed: Set[Digest], below: Set[Digest], *, remembered: Set[Digest], is_owned: bool
) -> Bounds:
    """Return how many manifests are looked for; `listed` are those that come to nothing else before that."""
    if fill is Fill.NOTHING:
        return NONE
    if fill is Fill.OURS:
        return Bounds(0, len(below))
    if is_owned:
        return Bounds(len(listed & remembered), len(below & remembered))
    # A child that is also a root may have come already; deeper ones are met only where their index is missing.
    return Bounds(len(listed), len(below))
