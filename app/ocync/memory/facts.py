"""
The facts that are remembered, and how they stand in a row.

A row is (kind, key, repository, value, learned, mark). The mark is a checksum of all else: SQLite does not notice a
flipped bit, and a fact that lies about artifacts would hide signatures.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_VALUE = 64 * 1024
"""Bytes of a value that are kept at most."""
_NUMBERS = struct.Struct("<qqqq").pack
_ALGORITHMS = {"sha256": 1, "sha384": 2, "sha512": 3}
_BY_NUMBER = {1: ("sha256", 32), 2: ("sha384", 48), 3: ("sha512", 64)}


class Kind(IntEnum):
    """
    What a row tells. The numbers stand in files: they are never used anew for something else.

    3 was the entries of an index; such rows of earlier versions are asked for by nobody and grow old.
    """

    BLOB = 1
    """A repository holds the blob."""
    MANIFEST = 2
    """A repository holds the manifest, and all that it lists."""
    ARTIFACT_SET = 4
    """A target's repository has these artifacts of a subject (value: their digests, as keys, sorted)."""
    BARE = 5
    """Nothing refers to the manifest of a source's repository."""
    OWNED = 6
    """A repository was empty before this program wrote to it, so what it holds is what is known of it."""
    HINT = 7
    """Anything else that is worth a try: limits, forms of uploads, refused mounts (key: kind and name)."""


class Belief(Enum):
    """How well something is known to be at a place."""

    FRESH = "fresh"
    """Learned within the time that facts are believed."""
    AGED = "aged"
    """Learned before that: likely, and to be looked at."""
    NONE = "none"
    """Nothing is known."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fact as it is stored; `repository` is 0 where a fact is not of one."""

    kind: int
    key: bytes
    repository: int
    value: bytes
    learned: int
    """Milliseconds since 1970."""
    mark: int

    @classmethod
    def of(cls, kind: int, key: bytes, repository: int, value: bytes, learned: int) -> Row:
        """Make a row with its mark."""
        return cls(kind, key, repository, value, learned, mark_of(kind, key, repository, value, learned))

    @classmethod
    def read(cls, fields: tuple[Any, ...]) -> Row | None:
        """Read the columns of a row; None for one that somebody has damaged."""
        kind, key, repository, value, learned, mark = fields
        # SQLite keeps in a column what was put there, of whatever type that is.
        if type(key) is not bytes or type(value) is not bytes or type(learned) is not int:
            return None
        if type(kind) is not int or type(repository) is not int:
            return None
        if mark != mark_of(kind, key, repository, value, learned):
            return None
        return cls(kind, key, repository, value, learned, mark)

    @property
    def fields(self) -> tuple[int, bytes, int, bytes, int, int]:
        """The columns in their order."""
        return (self.kind, self.key, self.repository, self.value, self.learned, self.mark)


def mark_of(kind: int, key: bytes, repository: int, value: bytes, learned: int) -> int:
    """Return the checksum of a row, whose numbers have 64 bits."""
    return zlib.crc32(value, zlib.crc32(_NUMBERS(kind, repository, learned, len(key)) + key))


def digest_key(digest: Digest) -> bytes:
    """Return a digest as a key, in half the bytes of its text."""
    return bytes((_ALGORITHMS[digest.algorithm],)) + bytes.fromhex(digest.encoded)


def digest_set(digests: Iterable[Digest]) -> bytes:
    """Return digests as a value: the same for the same set, whatever its order."""
    return b"".join(sorted(map(digest_key, set(digests))))


def digests_in(value: bytes) -> tuple[Digest, ...]:
    """Return the digests that keys stand for, one after the other; raises ValueError for anything else."""
    found = []
    while value:
        algorithm, length = _BY_NUMBER.get(value[0], ("", 0))
        encoded, value = value[1 : 1 + length], value[1 + length :]
        if not length or len(encoded) < length:
            raise ValueError("no digests")
        found.append(Digest(algorithm, encoded.hex()))
    return tuple(found)


def hint_key(kind: str, name: str) -> bytes:
    """Return the key of a hint."""
    return f"{kind}\0{name}".encode()


def repository_key(place: str, path: str) -> int:
    """Return the number of a repository: the same in every file, so that two of them can be merged."""
    return int.from_bytes(hashlib.sha256(f"{place}\0{path}".encode()).digest()[:8], "big", signed=True) or 1
