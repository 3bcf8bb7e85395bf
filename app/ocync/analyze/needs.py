"""
What each target repository needs of what is to be copied: which manifests, which blobs, and which of them for sure.

In a repository that holds something, only what an image's own manifest lists is needed for sure: a child of an
index may be there already, and then nothing of it is looked at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocync.analyze.facts import Facts, Image, Parts, Spot
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
    roots: frozenset[Digest]
    """The manifests that the tags will point to."""
    listed: frozenset[Digest]
    """The manifests that the roots list."""
    below: frozenset[Digest]
    """All manifests below the roots, at any depth."""
    blobs: frozenset[Digest]
    """All blobs of the images."""
    sure_blobs: frozenset[Digest]
    """Those that are needed whatever is there."""

    @property
    def sure_children(self) -> frozenset[Digest]:
        """
        The manifests that are brought by their digest for sure.

        One that is also a root may have come by its tag before it is wanted by its digest.
        """
        return frozenset() if self.fill is Fill.SOMETHING else self.below - self.roots


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
            found: set[Digest] = set()
            open_ends = list(self.listed(root))
            while open_ends:
                child = open_ends.pop()
                if child not in found:
                    found.add(child)
                    open_ends += self.listed(child)
            self._below[root] = frozenset(found)
        return self._below[root]

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
    filled: set[Spot] = set()
    for image in facts.images:
        for arrival in image.arrivals:
            images[arrival.spot].append(image)
            if not arrival.is_empty:
                filled.add(arrival.spot)
    return {spot: _needs(each, trees, filled=spot in filled) for spot, each in images.items()}


def _needs(images: list[Image], trees: Trees, *, filled: bool) -> Needs:
    fill = Fill.SOMETHING
    if not filled:
        fill = Fill.OURS if len({image.mapping for image in images}) > 1 else Fill.NOTHING
    roots = frozenset(image.root for image in images)
    return Needs(
        fill=fill,
        tags=Counter(image.tag for image in images),
        roots=roots,
        listed=frozenset(child for root in roots for child in trees.listed(root)),
        below=frozenset(child for root in roots for child in trees.below(root)),
        blobs=trees.blobs(roots),
        sure_blobs=trees.blobs(roots, deep=not filled),
    )
