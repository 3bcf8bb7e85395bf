"""What a blob's bytes are kept as: memory, a file, a formula, or only their size and digest."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = 256 * 1024
_BLOCK = 1024 * 1024
_MARK = 8

HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return `algorithm:hex` of the bytes."""
    return f"{algorithm}:{HASHES[algorithm](data).hexdigest()}"


class Content(Protocol):
    """Bytes that can be read from any offset."""

    @property
    def size(self) -> int:
        """How many there are."""

    def pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """Give the bytes from `start` up to `stop`."""


class Bytes:
    """Content in memory."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for at in range(start, stop, PIECE):
            yield view[at : min(at + PIECE, stop)]


class FileContent:
    """Content in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE, stop - start))):
                start += len(piece)
                yield piece


class GeneratedBlob:
    """
    Pseudo-random content of any size, made while it is read: nothing is held but one block of 1 MiB.

    The block repeats with its number in front, so no two MiB are equal. `digest()` reads it all once.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.seed = seed

    def pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        block = memoryview(_block(self.seed))
        stop = min(stop, self.size)
        while start < stop:
            number, offset = divmod(start, _BLOCK)
            if offset < _MARK:
                piece: bytes | memoryview = number.to_bytes(_MARK, "big")[offset : offset + stop - start]
            else:
                piece = block[offset : min(offset + PIECE, _BLOCK, offset + stop - start)]
            start += len(piece)
            yield piece

    def digest(self, algorithm: str = "sha256") -> str:
        """Return the digest of the whole."""
        return _digest_of_generated(self.size, self.seed, algorithm)


class Discarded:
    """Content of which only the size was kept; reading it is an error of the test."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        raise LookupError(f"bytes {start}-{stop} of a blob that was discarded at upload")


@lru_cache(maxsize=16)
def _block(seed: int) -> bytes:
    return random.Random(seed).randbytes(_BLOCK)


@lru_cache(maxsize=256)
def _digest_of_generated(size: int, seed: int, algorithm: str) -> str:
    hasher = HASHES[algorithm]()
    for piece in GeneratedBlob(size, seed).pieces(0, size):
        hasher.update(piece)
    return f"{algorithm}:{hasher.hexdigest()}"
