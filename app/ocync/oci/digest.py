"""Digests (image-spec descriptor.md, "Digests") and the verification of bytes."""

from __future__ import annotations

import copy
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ocync.lib.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

# Other algorithms can't be verified and are refused.
_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_HASHES: dict[str, Callable[[], Hasher]] = {
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


class Hasher(Protocol):
    """The methods of hashlib's objects that are used here."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""

    def copy(self) -> Hasher:
        """Return a hasher with the same state."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm:hex`; the algorithm is sha256, sha384 or sha512."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Return the digest in `sha256:…`; raises ValueError for an unknown algorithm, a wrong length or case."""
        algorithm, separator, encoded = text.partition(":")
        length = _HEX_LENGTH.get(algorithm)
        if not separator or length is None:
            raise ValueError(f"{text!r:.80} is not a digest of a known algorithm (sha256, sha384, sha512)")
        if len(encoded) != length or not _HEX.fullmatch(encoded):
            raise ValueError(f"{text!r:.120} is not a digest: {algorithm} has {length} lower-case hex digits")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """Return the digest of the bytes."""
        hasher = _HASHES[algorithm]()
        hasher.update(data)
        return cls(algorithm, hasher.hexdigest())

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people to compare."""
        return self.encoded[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


class Verifier:
    """
    Verifies a stream of bytes against a digest and a size, piece by piece.

    `size` is None if unknown (a manifest fetched by tag). The piece that exceeds the size raises an error, so that
    a stream can't be endless.
    """

    def __init__(self, digest: Digest, size: int | None, *, what: str, host: str = "") -> None:
        self._expected = digest
        self._size = size
        self._what = what
        self._host = host
        self._hasher = _HASHES[digest.algorithm]()
        self.received = 0

    def copy(self) -> Verifier:
        """Return an independent verifier of the same bytes so far."""
        twin = copy.copy(self)
        twin._hasher = self._hasher.copy()
        return twin

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add the next piece; raises VerificationError if there are more bytes than `size`."""
        self.received += len(data)
        if self._size is not None and self.received > self._size:
            raise VerificationError(
                f"{self._what} from {self._host or 'the source'} is longer than the {self._size} bytes its "
                f"descriptor gives",
                host=self._host,
            )
        self._hasher.update(data)

    def finish(self) -> None:
        """Raise VerificationError unless all bytes have come and match the digest."""
        if self._size is not None and self.received != self._size:
            raise VerificationError(
                f"{self._what} from {self._host or 'the source'} ended after {self.received} of {self._size} bytes",
                host=self._host,
            )
        actual = self._hasher.hexdigest()
        if actual != self._expected.encoded:
            raise VerificationError(
                f"{self._what} from {self._host or 'the source'} hashes to "
                f"{self._expected.algorithm}:{actual}, not to {self._expected}",
                host=self._host,
            )


def verify(data: bytes, digest: Digest, size: int | None, *, what: str, host: str = "") -> None:
    """Raise VerificationError unless the bytes have the digest and size."""
    verifier = Verifier(digest, size, what=what, host=host)
    verifier.update(data)
    verifier.finish()
