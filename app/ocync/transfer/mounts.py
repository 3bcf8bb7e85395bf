"""
Which mounts between repositories of one host to request, and when.

Refused mounts are remembered for each pair of repositories, and for the whole host once several repositories were
refused and no mount was ever granted. Some registries (ECR) mount a blob only if a manifest in its repository lists
it: there a manifest that needs the blob waits for one that will list it.

No manifests wait in a circle. They are numbered as they begin, and wait only for lower numbers. A manifest that is
put as soon as its blobs are there never waits for one that waits for more, such as an image for its artifacts. So
the lowest number of the first kind waits for no manifest and ends, then the next, and after them the second kind
likewise.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.oci.digest import Digest
    from ocync.oci.repository import TargetRepository

# Pairs of repositories that were refused before a host that never granted a mount is not asked again.
_NEVER = 3
# Repositories with the blob that are compared to choose the one to mount from.
_LOOKED_AT = 8


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A manifest on its way to one repository, which commits the blobs that it lists when it is put."""

    number: int
    path: str
    blobs: frozenset[Digest]
    is_immediate: bool
    """Whether it is put as soon as its blobs are there."""
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Mounts:
    """What is known of mounts at one host; used from one event loop, never across an await."""

    def __init__(self) -> None:
        self._granted: set[tuple[str, str]] = set()
        self._refused: set[tuple[str, str]] = set()
        self._refusing: set[str] = set()
        """Repositories from which a mount was refused."""
        self._numbers = count()
        self._units: dict[tuple[str, Digest], list[Unit]] = {}
        self._uncommitted: set[tuple[str, Digest]] = set()
        self._commits_matter = False

    def __repr__(self) -> str:
        return f"<Mounts: {len(self._granted)} pairs granted, {len(self._refused)} refused>"

    @property
    def are_never_granted(self) -> bool:
        """Whether the host appears to grant no mounts at all."""
        return len(self._refused) >= _NEVER and len(self._refusing) > 1 and not self._granted

    def may_ask(self, holder: str, path: str) -> bool:
        """Return whether a mount from one repository to another may be granted."""
        return (holder, path) not in self._refused and not self.are_never_granted

    def granted(self, holder: str, path: str) -> None:
        """Record that a blob was mounted."""
        self._granted.add((holder, path))
        self._refused.discard((holder, path))

    def refused(self, holder: str, path: str) -> None:
        """Record that a blob was not mounted; if others of this pair were, the reason is the blob alone."""
        if (holder, path) not in self._granted:
            self._refused.add((holder, path))
            self._refusing.add(holder)

    def choose(self, holders: Iterable[TargetRepository], path: str, digest: Digest) -> TargetRepository | None:
        """Return the repository to mount from: the first that may grant the mount, preferably at once."""
        looked_at = list(islice(holders, 1 if self.are_never_granted else _LOOKED_AT))
        return min(
            looked_at,
            key=lambda each: (
                not self.may_ask(each.path, path),
                each.path in self._refusing,
                not self.is_committed(each.path, digest),
            ),
            default=None,
        )

    # When

    def begin(self, repository: TargetRepository, blobs: Iterable[Digest], *, is_immediate: bool) -> Unit | None:
        """
        Record that a manifest without children is on its way to a repository; `end` must be called in the end.

        Returns None if the host mounts any blob. `is_immediate` says that the manifest is put once its blobs are
        there.
        """
        if not repository.mounts_after_commit:
            return None
        self._commits_matter = True
        unit = Unit(
            number=next(self._numbers), path=repository.path, blobs=frozenset(blobs), is_immediate=is_immediate
        )
        for blob in unit.blobs:
            self._units.setdefault((unit.path, blob), []).append(unit)
        return unit

    def end(self, unit: Unit, *, committed: bool) -> None:
        """Record that the manifest was put, or will not be; may be called twice."""
        if unit.ended.done():
            return
        for blob in unit.blobs:
            units = self._units[unit.path, blob]
            units.remove(unit)
            if not units:
                del self._units[unit.path, blob]
        if committed:
            self.committed(unit.path, unit.blobs)
        unit.ended.set_result(None)

    def committed(self, path: str, blobs: Iterable[Digest]) -> None:
        """Record that a manifest in the repository lists these blobs."""
        if self._uncommitted:
            self._uncommitted.difference_update((path, blob) for blob in blobs)

    def brought(self, path: str, digest: Digest) -> None:
        """Record that this pass brought a blob to a repository, where no manifest lists it yet."""
        if self._commits_matter:
            self._uncommitted.add((path, digest))

    def is_committed(self, path: str, digest: Digest) -> bool:
        """Return whether a blob that a repository has can be mounted from it, as far as that is known."""
        return (path, digest) not in self._uncommitted

    def until(self, holder: str, digest: Digest, unit: Unit | None) -> asyncio.Future[None] | None:
        """Return what the manifest `unit` has to wait for before it can mount a blob; None for nothing."""
        if unit is None or self.is_committed(holder, digest):
            return None
        for other in self._units.get((holder, digest), ()):
            if other.number < unit.number and (other.is_immediate or not unit.is_immediate):
                return other.ended
        return None
