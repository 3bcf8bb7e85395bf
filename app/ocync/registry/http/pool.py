"""
Connections by origin: the idle one that was used last is used first, and a new one is made when none is idle.

Their number is not limited here, but by the slots that callers hold.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import httpx

from ocync.registry.http.connect import Dialer
from ocync.registry.http.message import render_request
from ocync.registry.http.origin import ConnectionLimits, Origin, Url

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

    from ocync.registry.http.connection import Connection
    from ocync.registry.http.message import Head, Headers, Request

__all__ = ["ConnectionLimits", "Origin", "Pool", "Response"]

# Errors of an idle connection that the server closed while the request was on its way.
_STALE = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Response:
    """A response with its body unread; the caller has to close it."""

    def __init__(
        self,
        origin: Origin,
        head: Head,
        connection: Connection,
        release: Callable[[Connection], None],
        idle: float,
    ) -> None:
        self.origin = origin
        self.status: int = head.status
        self.reason: str = head.reason
        self.headers: Headers = head.headers
        self.url: Url | None = None
        """The URL that answered; set by the caller that follows redirects."""
        self.seconds: float | None = None
        """Seconds until the head came, for requests that are timed; set by the caller."""
        self.note: Any = None
        """Data that the caller keeps with the response."""
        self.when_closed: Callable[[], None] = lambda: None
        """Called once, when the response is closed."""
        self._connection = connection
        self._release = release
        self._idle = idle
        self._closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """
        Yield the body as it comes, once; at its end the response is closed.

        Raises ReadError, ReadTimeout and RemoteProtocolError of httpx. After `close` there is nothing more.
        """
        while not self._closed and (piece := await self._connection.read(idle=self._idle)):
            yield piece
        self.close()

    def close(self) -> None:
        """Return the connection to the pool, or close it if the body was not read whole. May be called again."""
        if not self._closed:
            self._closed = True
            self._connection.skim()
            self._release(self._connection)
            self.when_closed()


class Pool:
    """
    All connections of one trust setting.

    `trust` gives the TLS context; `proxy` the proxy's URL for scheme, host and port, or None for none.
    """

    def __init__(
        self,
        *,
        trust: Callable[[], ssl.SSLContext],
        proxy: Callable[[str, str, int], str | None] = lambda _scheme, _host, _port: None,
    ) -> None:
        self._dialer = Dialer(trust=trust, proxy=proxy)
        self._idle: dict[Origin, list[Connection]] = defaultdict(list)
        self._busy: set[Connection] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Pool: {len(self._busy)} busy, {sum(map(len, self._idle.values()))} idle>"

    async def send(  # noqa: PLR0917 -- an exchange has these parts
        self,
        origin: Origin,
        method: str,
        target: bytes,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] | None,
        limits: ConnectionLimits,
    ) -> Response:
        """
        Send one request and return the answer with its body unread.

        Raises TransportErrors of httpx: LocalProtocolError (the request can't be sent as it is), ConnectTimeout,
        ConnectError, ProxyError, WriteTimeout, WriteError, ReadTimeout, ReadError, RemoteProtocolError; and what
        `trust` and the body's iterator raise.

        If an idle connection turns out to be closed, the request is sent once more on a new one, unless part of its
        body was read from a stream, which can't be read again.
        """
        request = self._render(origin, method, target, fields, body)
        connection = self._take_idle(origin)
        if connection is not None:
            try:
                return await self._exchange(connection, origin, request, limits)
            except _STALE:
                if connection.response_begun or not (request.is_replayable or not connection.body_begun):
                    raise
            except httpx.ReadTimeout:
                # A firewall or proxy has forgotten the connection, and the others that were idle with it.
                self._drop_idle(origin)
                raise
        connection = await self._dialer.open(origin, limits)
        return await self._exchange(connection, origin, request, limits)

    def _render(
        self,
        origin: Origin,
        method: str,
        target: bytes,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] | None,
    ) -> Request:
        try:
            if origin.scheme == "http" and (proxy := self._dialer.proxy(origin)) is not None:
                target = f"http://{origin.authority}".encode("ascii") + target
                fields = [*fields, *proxy.fields]
            return render_request(method, target, fields, body)
        except ValueError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    async def _exchange(
        self, connection: Connection, origin: Origin, request: Request, limits: ConnectionLimits
    ) -> Response:
        self._busy.add(connection)
        try:
            head = await connection.exchange(request, idle=limits.idle, patience=limits.patience)
        except BaseException:
            self._busy.discard(connection)
            raise
        return Response(origin, head, connection, lambda used: self._release(origin, used), limits.idle)

    def _take_idle(self, origin: Origin) -> Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if not connection.is_expired() and connection.is_alive():
                return connection
            connection.close()
        return None

    def _release(self, origin: Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        if self._closed or not connection.idle:
            connection.close()
            return
        if connection.exchanges == 1:
            self._dialer.remember(origin, connection)
        connection.rest()
        idle = self._idle[origin]
        idle.append(connection)
        # The one that has been idle longest comes first.
        while idle and (idle[0].closed or idle[0].is_expired()):
            idle.pop(0).close()

    def _drop_idle(self, origin: Origin) -> None:
        for connection in self._idle.pop(origin, ()):
            connection.close()

    async def close(self) -> None:
        """Close all connections; tasks that still use one get an error."""
        self._closed = True
        for origin in list(self._idle):
            self._drop_idle(origin)
        for connection in list(self._busy):
            connection.close()
        self._busy.clear()
        # One turn of the loop, in which these tasks get their error.
        await asyncio.sleep(0)
