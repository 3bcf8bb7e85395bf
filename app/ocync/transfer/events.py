"""What a pass tells while it runs; progress bars and heartbeats are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.transfer.result import ImageResult


@dataclass(frozen=True, slots=True)
class MappingsCounted:
    """The pass has begun, with this many mappings."""

    total: int


@dataclass(frozen=True, slots=True)
class MappingResolved:
    """This many images more (tags times targets) come of a mapping; `mapping` is its name."""

    mapping: str
    images: int


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """Bytes of this image are about to move; `key` is the target's image name."""

    key: str


@dataclass(frozen=True, slots=True)
class BytesExpected:
    """So many more bytes of this image are about to be sent to its target."""

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class BytesMoved:
    """So many bytes of a blob have been handed to a target."""

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class ImageFinished:
    """An image at a target is done, one way or another."""

    result: ImageResult


Event = MappingsCounted | MappingResolved | ImageStarted | BytesExpected | BytesMoved | ImageFinished
if TYPE_CHECKING:
    Sink = Callable[[Event], None]
    """Takes events; never blocks and never raises."""
