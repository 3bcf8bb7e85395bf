"""
Tags that follow an image: cosign's signatures, attestations and SBOMs, and the referrers tag schema.

They are named after the digest that they belong to (`sha256-<hex>.sig`), so which of them are wanted is known only
when the images' digests are. Tag rules never look at them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.oci import media

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.oci.digest import Digest
    from ocync.plan.model import Candidate, ImagePlan


class Followers:
    """The digest-named tags of one repository; each is given out once, to the first image that it belongs to."""

    def __init__(self, tags: Iterable[str]) -> None:
        self._tags: dict[str, list[str]] = {}
        for tag in tags:
            self._tags.setdefault(tag.partition(".")[0], []).append(tag)

    def __len__(self) -> int:
        return sum(map(len, self._tags.values()))

    def __repr__(self) -> str:
        return f"<Followers: {len(self)} tags of {len(self._tags)} digests not given out>"

    def take(self, digest: Digest) -> list[str]:
        """Return the tags that belong to the digest, the first time it is asked for."""
        # The referrers tag schema cuts the digest to 64 digits; cosign does not.
        full, cut = f"{digest.algorithm}-{digest.encoded}", f"{digest.algorithm}-{digest.encoded[:64]}"
        return [tag for name in dict.fromkeys((full, cut)) for tag in self._tags.pop(name, [])]


async def followers_of(plan: ImagePlan) -> list[Candidate]:
    """
    Return candidates for the tags that follow an image, and its children where it is an index.

    An index that is up to date is fetched only while there are digest-named tags that belong to none of the
    images known so far. Raises OcyncError when it can't be.
    """
    candidate, followers = plan.candidate, plan.candidate.followers
    if followers is None or not len(followers):
        return []
    tags = followers.take(plan.resolved.digest)
    root = plan.root
    if root is None and len(followers) and plan.resolved.media_type in media.INDEXES:
        root = await candidate.source.manifest(str(plan.resolved.digest))
    for child in root.children if root else ():
        tags += followers.take(child.digest)
    return [replace(candidate, tag=tag, target_tag=None, followers=None, optional=True) for tag in tags]
