"""
How often something is read from a source that several images bring to several destinations.

An image reads a thing once for all destinations that nobody has claimed before it. Which image comes first is not
known, so neither is the number of reads where images differ in their destinations: bounds hold for every order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ocync.analyze.requests import NONE, Bounds

if TYPE_CHECKING:
    from collections.abc import Collection, Set

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Reader(Generic[D]):
    """An image that wants the thing: the place it reads from, and its destinations."""

    source: str
    destinations: frozenset[D]


def reads(readers: Collection[Reader[D]], *, sure: Set[D], most: int | None = None) -> dict[str, Bounds]:
    """
    Return how often the thing is read from each source place.

    `sure` are the destinations that are known not to have it. With `most`, an image may want it for some of its
    destinations only, because the others turn out to have what lists it; it is then read so often at most.
    """
    counts: dict[str, Bounds] = {}
    for group in _connected(readers):
        wanted = frozenset[D]().union(*(reader.destinations for reader in group))
        missing = wanted & sure
        # Each read is for destinations of one reader, and the first of equal readers leaves nothing to the others.
        widest = max(len(reader.destinations & missing) for reader in group)
        low = -(-len(missing) // widest) if missing else 0
        different = len({reader.destinations for reader in group})
        high = min(len(wanted), different if most is None else most)
        sources = {reader.source for reader in group}
        for source in sources:
            # Of several sources nobody knows which one is read.
            bounds = Bounds(low if len(sources) == 1 else 0, high)
            counts[source] = counts.get(source, NONE) + bounds
    return counts


def _connected(readers: Collection[Reader[D]]) -> list[list[Reader[D]]]:
    """Return the readers in groups that have no destination in common."""
    groups: list[tuple[set[D], list[Reader[D]]]] = []
    for reader in readers:
        destinations, members = set(reader.destinations), [reader]
        apart = []
        for group in groups:
            if group[0].isdisjoint(reader.destinations):
                apart.append(group)
            else:
                destinations |= group[0]
                members += group[1]
        groups = [*apart, (destinations, members)]
    return [members for _, members in groups]
