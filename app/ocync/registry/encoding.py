"""Undoing a Content-Encoding that we asked not to have (some registries and proxies gzip all the same)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ocync.errors import NetworkError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ocync.http.pool import Response

_PIECE = 256 * 1024


async def decoded(response: Response, *, host: str) -> AsyncIterator[bytes]:
    """
    Give the body's bytes as they are stored at the registry: digests are over these.

    A gzip body is unpacked in bounded pieces, so that a bomb is a long stream and not a large one; who reads it
    holds the limit. Raises ProtocolError for another encoding, NetworkError for a broken or short gzip body.
    """
    encoding = (response.headers.get("content-encoding") or "identity").strip().lower()
    if encoding in ("", "identity"):
        async for piece in response.pieces():
            yield piece
        return
    if encoding not in ("gzip", "x-gzip"):
        raise ProtocolError(
            f"{host} sent a body with the encoding {encoding[:40]!r}, which was not asked for", host=host
        )
    unpacker = Gunzip()
    try:
        async for piece in response.pieces():
            for out in unpacker.feed(piece):
                yield out
    except zlib.error as error:
        raise NetworkError(f"{host} sent a broken gzip body", host=host) from error
    if not unpacker.complete:
        raise NetworkError(f"{host} sent a gzip body that ends early", host=host)


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
        """Give what comes of the next bytes, in bounded pieces; raises zlib.error."""
        rest = piece
        while rest:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            self._begun = True
            out = self._member.decompress(rest, _PIECE)
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if out:
                yield out
