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
        return [tag for name in _names(digest) for tag in self._tags.pop(name, [])]

    def has_others(self, digest: Digest) -> bool:
        """Tell whether there are tags left that do not belong to the digest."""
        return any(name not in _names(digest) for name in self._tags)


def _names(digest: Digest) -> tuple[str, ...]:
    # The referrers tag schema cuts the digest to 64 digits; cosign does not.
    full, cut = f"{digest.algorithm}-{digest.encoded}", f"{digest.algorithm}-{digest.encoded[:64]}"
    return tuple(dict.fromkeys((full, cut)))


async def followers_of(plan: ImagePlan) -> list[Candidate]:
    """
    Return candidates for the tags that follow an image, and its children where it is an index.

    An index that is up to date is fetched only while there are digest-named tags that belong to none of the
    images known so far. Raises OcyncError when it can't be; the tags are there for another try then.
    """
    candidate, followers = plan.candidate, plan.candidate.followers
    if followers is None or not len(followers):
        return []
    digest, root = plan.resolved.digest, plan.root
    if root is None and plan.resolved.media_type in media.INDEXES and followers.has_others(digest):
        root = await candidate.source.manifest(str(digest))
    tags = followers.take(digest)
    for child in root.children if root else ():
        tags += followers.take(child.digest)
    return [replace(candidate, tag=tag, target_tag=None, followers=None, optional=True) for tag in tags]
