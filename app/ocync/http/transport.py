"""The pool as a transport of httpx, for those who speak httpx; docs/transport.md measures it beside others."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import httpx

from ocync.http.origin import PORTS, Limits, Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from ocync.http.pool import Pool, Response


class PoolTransport(httpx.AsyncBaseTransport):
    """
    Sends the requests of an httpx client over a pool; the pool is closed by its owner.

    No wait is without end: where the client has no timeout, 10 s hold for a connection and 60 s after that. Bodies
    that are streams need a Content-Length.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's stream has to be closed. Raises what Pool.send does."""
        url = request.url
        # raw_host is the name as DNS has it: `host` would be in the user's letters.
        host = url.raw_host.decode("ascii").strip("[]")
        origin = Origin(url.scheme, host, url.port or PORTS[url.scheme])
        timeout = request.extensions.get("timeout", {})
        limits = Limits(timeout.get("connect") or 10.0, timeout.get("read") or 60.0)
        # A ByteStream is bytes in memory, or none; anything else can be read only once.
        body: bytes | AsyncIterable[bytes] | None
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join(cast("httpx.SyncByteStream", request.stream)) or None
        else:
            body = cast("AsyncIterable[bytes]", request.stream)
        try:
            response = await self._pool.send(
                origin, request.method, url.raw_path, _fields(request.headers), body, limits
            )
        except httpx.TransportError as error:
            error.request = request
            raise
        return httpx.Response(
            status_code=response.status,
            headers=response.headers.items(),
            stream=_Stream(response),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": response.reason.encode("latin-1")},
        )


def _fields(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw]


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._response.pieces():
            yield piece

    async def aclose(self) -> None:
        self._response.close()
