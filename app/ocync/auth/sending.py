"""Sending one request without retries, for those who have no client of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ocync.errors import NetworkError, ProtocolError

if TYPE_CHECKING:
    from ocync.auth.token import Send

MAX_BODY = 1024 * 1024
"""Bytes of an answer that are read at most."""


def once(http: httpx.AsyncClient, *, host: str) -> Send:
    """
    Return a Send that makes one attempt with the client; `host` is the registry's, for messages.

    Raises NetworkError without an answer, ProtocolError for one that is larger than a token can be.
    """

    async def send(request: httpx.Request) -> httpx.Response:
        request.extensions.setdefault("timeout", http.timeout.as_dict())
        try:
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                body = await _read(response, host)
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise NetworkError(f"can't ask {request.url.host} for a token: {why}", host=host) from error
        headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() != "content-encoding"]
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    return send


async def _read(response: httpx.Response, host: str) -> bytes:
    pieces = bytearray()
    async for piece in response.aiter_bytes():
        pieces += piece
        if len(pieces) > MAX_BODY:
            raise ProtocolError(f"{response.url.host} answered with more than {MAX_BODY} bytes", host=host)
    return bytes(pieces)
