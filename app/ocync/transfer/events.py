"""Events of a running pass, for progress bars and heartbeats."""

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
    """A mapping has this many images (tags times targets); `mapping` is its name."""

    mapping: str
    images: int


@dataclass(frozen=True, slots=True)
class ImageStarted:
    """Bytes of this image are about to move; `key` is the target's image name."""

    key: str


@dataclass(frozen=True, slots=True)
class BytesExpected:
    """This many more bytes of the image are about to be sent to its target."""

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class BytesMoved:
    """This many more bytes of the image have been handed to its target."""

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class ImageFinished:
    """An image at a target is done, or has failed."""

    result: ImageResult


Event = MappingsCounted | MappingResolved | ImageStarted | BytesExpected | BytesMoved | ImageFinished
if TYPE_CHECKING:
    Sink = Callable[[Event], None]
    """Takes events; never blocks and never raises."""
