"""
Connections, kept per origin: made when none is idle, the one used last is used first.

How many there are is not decided here: callers hold slots.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx

from ocync.http.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence

    from ocync.http.message import Headers

_KEEPALIVE = 60.0
"""Seconds after which an idle connection is not used again; servers close theirs after 60 to 75."""
# Failures of a connection that had been idle: the server had closed it before the request reached it.
_STALE = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection leads to."""

    scheme: str
    host: str
    """Without brackets around an IPv6 address."""
    port: int

    @property
    def authority(self) -> str:
        """The Host field: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to wait for a connection, and for the other side at any time after that."""

    connect: float
    idle: float


class Response:
    """An answer whose body has not been read; it has to be closed."""

    def __init__(self, connection: Connection, release: Callable[[Connection], None], limits: Limits) -> None:
        head = connection.response
        self.status: int = head.status
        self.reason: str = head.reason
        self.headers: Headers = head.headers
        self.url = ""
        """Set by who follows redirects: the URL that answered."""
        self._connection = connection
        self._release = release
        self._limits = limits
        self._closed = False

    def pieces(self) -> AsyncIterator[bytes]:
        """Give the body as it comes, once; raises ReadError, ReadTimeout, RemoteProtocolError of httpx."""
        return self._connection.body(idle=self._limits.idle)

    def close(self) -> None:
        """Give the connection back, or drop it when the body was not read whole. Does nothing the second time."""
        if not self._closed:
            self._closed = True
            self._release(self._connection)


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
        self._trust = trust
        self._proxy = proxy
        self._idle: dict[Origin, list[Connection]] = defaultdict(list)
        self._busy: set[Connection] = set()

    async def send(  # noqa: PLR0917 -- an exchange has these parts
        self,
        origin: Origin,
        method: str,
        target: bytes,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] | None,
        limits: Limits,
    ) -> Response:
        """
        Send one request; raises errors of httpx.

        Where a kept connection turns out to have been closed, the request goes out again on another one, unless
        its body is a stream, of which nothing is kept.
        """
        replayable = body is None or isinstance(body, bytes)
        proxy = self._proxy(origin.scheme, origin.host, origin.port)
        if proxy is not None and origin.scheme == "http":
            target = f"http://{origin.authority}".encode("ascii") + target
            fields = [*fields, *_proxy_authorization(proxy)]
        while (connection := self._take_idle(origin)) is not None:
            try:
                return await self._exchange(connection, origin, method, target, fields, body, limits)
            except _STALE:
                if not replayable or connection.response_begun:
                    raise
        connection = await self._connect(origin, proxy, limits)
        return await self._exchange(connection, origin, method, target, fields, body, limits)

    async def _exchange(  # noqa: PLR0917 -- handed on as they came
        self,
        connection: Connection,
        origin: Origin,
        method: str,
        target: bytes,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] | None,
        limits: Limits,
    ) -> Response:
        self._busy.add(connection)
        try:
            await connection.exchange(method, target, fields, body, idle=limits.idle)
        except BaseException:
            self._busy.discard(connection)
            raise
        return Response(connection, lambda used: self._release(origin, used), limits)

    def _take_idle(self, origin: Origin) -> Connection | None:
        idle = self._idle[origin]
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if connection.idle and now - connection.idle_since < _KEEPALIVE:
                return connection
            connection.close()
        return None

    def _release(self, origin: Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection.idle:
            self._idle[origin].append(connection)
        else:
            connection.close()

    async def _connect(self, origin: Origin, proxy: str | None, limits: Limits) -> Connection:
        try:
            async with asyncio.timeout(limits.connect):
                if proxy is None:
                    return await self._open(origin)
                return await self._open_through(proxy, origin, limits)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {limits.connect:g} s") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(_why(error)) from error

    async def _open(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        tls = origin.scheme == "https"
        _, connection = await loop.create_connection(
            Connection,
            origin.host,
            origin.port,
            ssl=self._trust() if tls else None,
            server_hostname=origin.host if tls else None,
            # Another address is tried after 250 ms (RFC 8305), so a dead IPv6 route costs little.
            happy_eyeballs_delay=0.25,
        )
        return connection

    async def _open_through(self, proxy: str, origin: Origin, limits: Limits) -> Connection:
        parts = urlsplit(proxy)
        assert parts.hostname is not None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = await self._open(Origin(parts.scheme, parts.hostname, port))
        if origin.scheme == "http":
            return connection
        authority = f"{origin.host}:{origin.port}" if ":" not in origin.host else f"[{origin.host}]:{origin.port}"
        fields = [("Host", authority), *_proxy_authorization(proxy)]
        head = await connection.exchange("CONNECT", authority.encode("ascii"), fields, None, idle=limits.idle)
        if head.status != 200:
            connection.close()
            raise httpx.ProxyError(f"the proxy answered {head.status} {head.reason}")
        await connection.start_tls(self._trust(), origin.host)
        return connection

    async def close(self) -> None:
        """Drop all connections."""
        for connections in (*self._idle.values(), list(self._busy)):
            for connection in connections:
                connection.close()
        self._idle.clear()
        self._busy.clear()
        # A turn of the loop, in which the sockets are closed.
        await asyncio.sleep(0)


def _proxy_authorization(proxy: str) -> list[tuple[str, str]]:
    parts = urlsplit(proxy)
    if not parts.username:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return [("Proxy-Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}")]


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
