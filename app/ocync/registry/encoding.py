"""Undoing a Content-Encoding that we asked not to have (some registries and proxies gzip all the same)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ocync.errors import NetworkError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    unpacker = zlib.decompressobj(wbits=31)
    try:
        async for piece in response.pieces():
            rest = piece
            while rest:
                out = unpacker.decompress(rest, _PIECE)
                rest = unpacker.unconsumed_tail
                if out:
                    yield out
    except zlib.error as error:
        raise NetworkError(f"{host} sent a broken gzip body", host=host) from error
    if not unpacker.eof:
        raise NetworkError(f"{host} sent a gzip body that ends early", host=host)
