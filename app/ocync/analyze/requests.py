"""Kinds of requests, and counts of which only the bounds are known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class RequestKind(StrEnum):
    """What a pass asks of a registry; the values are part of the contract with readers of `--json`."""

    TAG_LIST = "tag_list"
    """One page of a tag list."""
    REFERRERS = "referrers"
    """One page of a list of referrers."""
    MANIFEST_HEAD = "manifest_head"
    MANIFEST_GET = "manifest_get"
    BLOB_GET = "blob_get"
    BLOB_HEAD = "blob_head"
    BLOB_MOUNT = "blob_mount"
    """POST that asks for a mount from another repository."""
    BLOB_POST = "blob_post"
    """POST that opens an upload, or sends the whole blob where a registry takes that."""
    BLOB_PUT = "blob_put"
    """PUT that sends a blob and ends its upload."""
    MANIFEST_PUT = "manifest_put"


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number that is not less than `low` and not more than `high`."""

    low: int
    high: int

    @classmethod
    def exactly(cls, number: int) -> Bounds:
        """Return the bounds of a number that is known."""
        return cls(number, number)

    @property
    def is_exact(self) -> bool:
        """Whether the number is known."""
        return self.low == self.high

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.low + other.low, self.high + other.high)

    def times(self, factor: int) -> Bounds:
        """Return the bounds of the number times a factor that is not negative."""
        return Bounds(self.low * factor, self.high * factor)


NONE = Bounds(0, 0)


def total(bounds: Iterable[Bounds]) -> Bounds:
    """Return the bounds of a sum."""
    return sum(bounds, NONE)


def summed(*requests: Mapping[RequestKind, Bounds]) -> dict[RequestKind, Bounds]:
    """Add requests up by kind, in the order of a pass; kinds of which there are none are left out."""
    sums = {kind: total(each.get(kind, NONE) for each in requests) for kind in RequestKind}
    return {kind: bounds for kind, bounds in sums.items() if bounds.high}
