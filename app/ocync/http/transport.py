"""
The transport below httpx: HTTP/1.1 connections kept per origin, over plain asyncio streams.

httpx's own pool walks all its connections at every request, and anyio hands TLS out in records of 16 KiB. A free
list per origin and larger reads cost a third of the CPU, with the same tested HTTP/1.1 code (httpcore, h11).
How many connections there are is not decided here: callers hold slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

PIECE = 128 * 1024
"""Bytes that are read from a connection at once, at most."""
_KEEPALIVE = 60.0
# Locations of some registries are longer than 4 KiB; a header block larger than this is an attack.
_MAX_HEADER = 256 * 1024
# Failures of a connection that had been idle: the server had closed it before the request reached it.
_STALE = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)


class _Connection(httpcore.AsyncHTTP11Connection):
    READ_NUM_BYTES = PIECE
    MAX_INCOMPLETE_EVENT_SIZE = _MAX_HEADER


class Transport(httpx.AsyncBaseTransport):
    """
    Sends requests over kept connections, one request per connection at a time.

    `trust` gives the TLS context of a request's host; `proxy` the proxy's URL, or None for none. Errors are
    those of httpx. A body that is not replayable is never sent twice.
    """

    def __init__(
        self,
        *,
        trust: Callable[[], ssl.SSLContext],
        proxy: Callable[[str, str, int], str | None] = lambda _scheme, _host, _port: None,
    ) -> None:
        self._trust = trust
        self._proxy = proxy
        self._backend = _AsyncioBackend()
        self._idle: dict[tuple[bytes, bytes, int], list[httpcore.AsyncConnectionInterface]] = defaultdict(list)
        self._proxies: dict[tuple[bytes, bytes, int], httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's stream has to be closed, which frees the connection."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        key = (url.raw_scheme, url.raw_host, port)
        core = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=key[0], host=key[1], port=port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _httpx_errors(request):
            proxy = self._proxy(url.scheme, url.host, port)
            if proxy is not None:
                response = await self._through(proxy, key).handle_async_request(core)
                return _answer(response, request, lambda: None)
            connection, response = await self._direct(key, core, replayable=_is_replayable(request))
        return _answer(response, request, lambda: self._release(key, connection))

    async def aclose(self) -> None:
        """Close all connections."""
        for connections in self._idle.values():
            for connection in connections:
                await connection.aclose()
        self._idle.clear()
        for pool in self._proxies.values():
            await pool.aclose()
        self._proxies.clear()

    async def _direct(
        self, key: tuple[bytes, bytes, int], request: httpcore.Request, *, replayable: bool
    ) -> tuple[httpcore.AsyncConnectionInterface, httpcore.Response]:
        idle = self._idle[key]
        while idle:
            connection = idle.pop()
            if connection.is_closed() or connection.has_expired():
                await connection.aclose()
                continue
            try:
                return connection, await connection.handle_async_request(request)
            except _STALE:
                await connection.aclose()
                if not replayable:
                    raise
        connection = await self._connect(key, request)
        try:
            return connection, await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise

    async def _connect(self, key: tuple[bytes, bytes, int], request: httpcore.Request) -> _Connection:
        scheme, host, port = key
        timeout = request.extensions.get("timeout", {}).get("connect")
        name = host.decode("ascii")
        stream = await self._backend.connect_tcp(name, port, timeout=timeout)
        if scheme == b"https":
            stream = await stream.start_tls(self._trust(), server_hostname=name, timeout=timeout)
        return _Connection(httpcore.Origin(*key), stream, keepalive_expiry=_KEEPALIVE)

    def _release(self, key: tuple[bytes, bytes, int], connection: httpcore.AsyncConnectionInterface) -> None:
        if connection.is_idle() and not connection.is_closed():
            self._idle[key].append(connection)

    def _through(self, url: str, key: tuple[bytes, bytes, int]) -> httpcore.AsyncConnectionPool:
        if key not in self._proxies:
            parts = httpx.URL(url)
            self._proxies[key] = httpcore.AsyncHTTPProxy(
                proxy_url=httpcore.URL(str(parts.copy_with(username=None, password=None))),
                proxy_auth=(parts.username, parts.password) if parts.username else None,
                ssl_context=self._trust(),
                proxy_ssl_context=self._trust() if parts.scheme == "https" else None,
                max_connections=None,
                keepalive_expiry=_KEEPALIVE,
                network_backend=self._backend,
            )
        return self._proxies[key]


def _is_replayable(request: httpx.Request) -> bool:
    # httpx gives a request with a bytes body (or none) a ByteStream, which can be iterated again.
    return isinstance(request.stream, httpx.ByteStream)


def _answer(response: httpcore.Response, request: httpx.Request, release: Callable[[], None]) -> httpx.Response:
    return httpx.Response(
        status_code=response.status,
        headers=response.headers,
        stream=_ResponseStream(response, request, release),
        extensions=response.extensions,
    )


class _ResponseStream(httpx.AsyncByteStream):
    """A response's body; closing it gives the connection back, or ends it when the body was not read whole."""

    def __init__(self, response: httpcore.Response, request: httpx.Request, release: Callable[[], None]) -> None:
        self._response = response
        self._request = request
        self._release: Callable[[], None] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors(self._request):
            async for piece in cast("AsyncIterable[bytes]", self._response.stream):
                yield piece

    async def aclose(self) -> None:
        if self._release is None:
            return
        release, self._release = self._release, None
        with _httpx_errors(self._request):
            await self._response.aclose()
        release()


@contextlib.contextmanager
def _httpx_errors(request: httpx.Request) -> Any:
    """Raise httpcore's errors as the errors of httpx with the same names, which is how httpx does it too."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError) as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error) or type(error).__name__, request=request) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error), request=request) from error


class _AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Connections of plain asyncio, reading up to PIECE bytes at once."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del local_address, socket_options
        try:
            async with asyncio.timeout(timeout):
                # Two addresses are tried in parallel after 250 ms (RFC 8305), so a dead IPv6 route costs little.
                reader, writer = await asyncio.open_connection(host, port, limit=PIECE, happy_eyeballs_delay=0.25)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection within {timeout} s") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(_why(error)) from error
        return _AsyncioStream(reader, writer)


class _AsyncioStream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(f"nothing came for {timeout} s") from error
        except OSError as error:
            raise httpcore.ReadError(_why(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore.WriteTimeout(f"nothing could be sent for {timeout} s") from error
        except (OSError, RuntimeError) as error:
            raise httpcore.WriteError(_why(error)) from error

    async def aclose(self) -> None:
        # A graceful TLS shutdown waits for the peer; a connection that is given up is simply dropped.
        self._writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as error:
            self._writer.transport.abort()
            raise httpcore.ConnectTimeout(f"no TLS handshake within {timeout} s") from error
        except (OSError, ssl.SSLError) as error:
            self._writer.transport.abort()
            raise httpcore.ConnectError(_why(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # On an idle connection only its end can be read. (Data would be an answer to nothing; it makes the next
            # exchange fail as a protocol error.)
            return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()
        return self._writer.get_extra_info({"client_addr": "sockname", "server_addr": "peername"}.get(info, info))


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
