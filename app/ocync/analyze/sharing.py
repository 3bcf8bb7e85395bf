"""What the images to be copied have in common. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ocync.analyze.model import Portion, SharedBlob, Sharing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.analyze.facts import Facts, Spot
    from ocync.analyze.needs import Trees
    from ocync.oci.digest import Digest

MOST = 20
"""Blobs that are named one by one."""


def sharing_of(facts: Facts, trees: Trees) -> Sharing:
    """Return what is shared."""
    roots: dict[Spot, set[Digest]] = defaultdict(set)
    for image in facts.images:
        roots[image.source].add(image.root)
    images: Counter[Digest] = Counter()
    repositories: Counter[Digest] = Counter()
    manifests: set[Digest] = set()
    for held in roots.values():
        repositories.update(trees.blobs(held))
        for root in held:
            images.update(trees.blobs([root]))
            manifests |= {root, *trees.below(root)}

    def portion(blobs: Iterable[Digest]) -> Portion:
        sizes = [facts.sizes[blob] for blob in blobs]
        return Portion(blobs=len(sizes), size=sum(sizes))

    shared = [blob for blob, number in images.items() if number > 1]
    shared.sort(key=lambda blob: (-facts.sizes[blob] * (images[blob] - 1), blob))
    return Sharing(
        images=sum(map(len, roots.values())),
        repositories=len(roots),
        manifests=len(manifests),
        all=portion(images),
        between_images=portion(shared),
        between_repositories=portion(blob for blob, number in repositories.items() if number > 1),
        most=tuple(
            SharedBlob(
                digest=str(blob), size=facts.sizes[blob], images=images[blob], repositories=repositories[blob]
            )
            for blob in shared[:MOST]
        ),
    )
