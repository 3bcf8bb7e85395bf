"""
Undoing a Content-Encoding that we asked not to have (some registries and proxies gzip all the same).

Others only say so: storage that was told of the encoding of a layer (`tar+gzip`) gives its bytes as they are, and
labels them. What the label is worth is decided by what is known of the bytes.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ocync.lib.errors import NetworkError, ProtocolError
from ocync.registry.headers import content_length, encoding_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ocync.registry.http.pool import Response

_PIECE = 256 * 1024
_MAGIC = b"\x1f\x8b"
# Bytes of a body after which it has to have shown what it is.
_ENOUGH = 64 * 1024


async def decoded(
    response: Response, *, host: str, is_as_stored: bool = False, is_packed: bool = False
) -> AsyncIterator[bytes]:
    """
    Yield the body's bytes as they are stored at the registry: digests are over these.

    `is_as_stored` says that its length is that of what is stored: then it is taken as it is, whatever its label
    says, as is one that is no gzip. `is_packed` says that what is stored is gzip itself: where no length is told,
    it is unpacked only if that leaves gzip. Bodies are unpacked in bounded pieces, so that a bomb is a long stream
    and not a large one; who reads it holds the limit. Raises ProtocolError for another encoding, NetworkError for a
    broken or short gzip body.
    """
    encoding, pieces = encoding_of(response.headers), response.pieces()
    beginning, is_gzip = b"", False
    if encoding and not is_as_stored:
        beginning, is_gzip = await _beginning(
            pieces, is_packed=is_packed and content_length(response.headers) is None
        )
        # Nothing at all, as after a HEAD, is no encoding of anything.
        if beginning and encoding not in ("gzip", "x-gzip"):
            raise ProtocolError(
                f"{host} sent a body with the encoding {encoding[:40]!r}, which was not asked for", host=host
            )
    if is_gzip:
        pieces = _unpacked(beginning, pieces, host=host)
    elif beginning:
        yield beginning
    async for piece in pieces:
        yield piece


async def _unpacked(beginning: bytes, pieces: AsyncIterator[bytes], *, host: str) -> AsyncIterator[bytes]:
    unpacker = Gunzip()
    try:
        for out in unpacker.feed(beginning):
            yield out
        async for piece in pieces:
            for out in unpacker.feed(piece):
                yield out
    except zlib.error as error:
        raise NetworkError(f"{host} sent a broken gzip body", host=host) from error
    if not unpacker.complete:
        raise NetworkError(f"{host} sent a gzip body that ends early", host=host)


async def _beginning(pieces: AsyncIterator[bytes], *, is_packed: bool) -> tuple[bytes, bool]:
    """Return as much as tells whether a body that is said to be gzip is to be unpacked, and whether it is."""
    beginning = b""
    async for piece in pieces:
        beginning += piece
        is_encoded = _is_encoded(beginning, is_packed=is_packed)
        if is_encoded is not None:
            return beginning, is_encoded
    return beginning, False


def _is_encoded(beginning: bytes, *, is_packed: bool) -> bool | None:
    """Tell what a beginning shows; None where more has to be seen."""
    if not _MAGIC.startswith(beginning[:2]):
        return False
    if len(beginning) < len(_MAGIC):
        return None
    if not is_packed:
        return True
    unpacked = b""
    try:
        for out in Gunzip().feed(beginning[:_ENOUGH]):
            unpacked += out
            if len(unpacked) >= len(_MAGIC):
                return unpacked.startswith(_MAGIC)
    except zlib.error:
        return True
    return True if len(beginning) >= _ENOUGH else None


class Gunzip:
    """Unpacks gzip of one or more members (RFC 1952 section 2.2); nothing at all is complete: a HEAD's body."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False

    @property
    def complete(self) -> bool:
        """Whether the bytes so far are whole members."""
        return not self._begun or self._member.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what comes of the next bytes, in bounded pieces; raises zlib.error."""
        rest = piece
        while rest:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            self._begun = True
            out = self._member.decompress(rest, _PIECE)
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if out:
                yield out
