"""New connections to an origin: DNS, TCP to the first address that answers, a proxy if there is one, TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx

from ocync.registry.http.connection import Connection
from ocync.registry.http.dns import Resolver
from ocync.registry.http.message import render_request
from ocync.registry.http.origin import PORTS, ConnectionLimits, Origin
from ocync.registry.http.socket_errors import reason
from ocync.registry.http.stream import Scratch, StalledError, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from ocync.registry.http.dns import Address


class Dialer:
    """
    Makes connections, and keeps addresses and TLS sessions, which make the next one cheaper.

    `trust` gives the TLS context; `proxy` the proxy's URL for scheme, host and port, or None for none.
    """

    def __init__(
        self, *, trust: Callable[[], ssl.SSLContext], proxy: Callable[[str, str, int], str | None]
    ) -> None:
        self._trust = trust
        self._proxy_for = proxy
        self._proxies: dict[Origin, Proxy | None] = {}
        self._resolver = Resolver()
        self._scratch = Scratch()
        self._sessions: dict[Origin, ssl.SSLSession] = {}

    def proxy(self, origin: Origin) -> Proxy | None:
        """Return the proxy that leads to an origin, if any."""
        if origin not in self._proxies:
            url = self._proxy_for(origin.scheme, origin.host, origin.port)
            self._proxies[origin] = None if url is None else Proxy(url)
        return self._proxies[origin]

    async def open(self, origin: Origin, limits: ConnectionLimits) -> Connection:
        """
        Return a new connection.

        Raises httpx.ConnectTimeout, httpx.ConnectError and, where a proxy is to blame, httpx.ProxyError.
        """
        proxy = self.proxy(origin)
        limit = asyncio.timeout(limits.connect)
        try:
            async with limit:
                if proxy is None:
                    return Connection(await self._connect(origin, limits))
                return Connection(await self._connect_through(proxy, origin, limits))
        except (TimeoutError, StalledError) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                # The operating system's own time limit.
                raise httpx.ConnectError(_failed(origin, reason(error))) from error
            why = f"no connection to {origin.address} within {limits.connect:g} s"
            raise httpx.ConnectTimeout(why if proxy is None else f"{why}, through {proxy}") from error
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(_failed(origin, reason(error))) from error

    def remember(self, origin: Origin, connection: Connection) -> None:
        """Keep the TLS session of a connection that has been used, for the next handshake."""
        session = connection.tls_session
        if session is not None:
            self._sessions[origin] = session

    async def _connect(self, origin: Origin, limits: ConnectionLimits) -> Wire:
        addresses = await self._resolver.addresses(origin.host, origin.port)
        try:
            sock, address = await connect_first(addresses)
        except OSError:
            self._resolver.forget(origin.host, origin.port)
            raise
        self._resolver.reached(origin.host, origin.port, address.family)
        wire = Wire(sock, self._scratch)
        if origin.scheme == "https":
            await self._secure(wire, origin, limits)
        return wire

    async def _connect_through(self, proxy: Proxy, origin: Origin, limits: ConnectionLimits) -> Wire:
        try:
            wire = await self._connect(proxy.origin, limits)
        except (OSError, ValueError) as error:
            raise httpx.ProxyError(f"{proxy} can't be used: {reason(error)}") from error
        if origin.scheme == "https":
            await self._open_tunnel(wire, proxy, origin, limits)
            await self._secure(wire, origin, limits)
        return wire

    async def _secure(self, wire: Wire, origin: Origin, limits: ConnectionLimits) -> None:
        try:
            # A final dot excludes search domains from the look-up; certificates have none.
            name = origin.host.rstrip(".")
            await wire.secure(self._trust(), name, self._sessions.get(origin), limits.connect)
        except BaseException:
            # The server may refuse the session: the next attempt makes a full handshake.
            self._sessions.pop(origin, None)
            wire.close()
            raise

    async def _open_tunnel(self, wire: Wire, proxy: Proxy, origin: Origin, limits: ConnectionLimits) -> None:
        authority = origin.address
        try:
            request = render_request("CONNECT", authority.encode(), [("Host", authority), *proxy.fields], None)
            head = await Connection(wire).exchange(request, idle=limits.connect)
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException) as error:
            raise httpx.ProxyError(f"{proxy} gave no answer: {error}") from error
        except ValueError as error:
            wire.close()
            raise httpx.ConnectError(_failed(origin, "the host's name is not valid")) from error
        if head.status >= 300:
            wire.close()
            what = "wants other credentials" if head.status in (401, 407) else f"does not lead to {authority}"
            raise httpx.ProxyError(f"{proxy} {what}: {head.status} {head.reason}".rstrip())


class Proxy:
    """An HTTP proxy, from its URL; its str has no password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.origin = Origin(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])
        self.fields: list[tuple[str, str]] = []
        """The header fields of requests to the proxy itself."""
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self.fields.append(("Proxy-Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"))

    def __str__(self) -> str:
        return f"the proxy {self.origin.address}"


def _failed(origin: Origin, why: str) -> str:
    return f"no connection to {origin.address}: {why}"


HEAD_START = 0.25
"""Seconds after which the next address is tried while the one before it is still tried."""


async def connect_first(addresses: Sequence[Address]) -> tuple[socket.socket, Address]:
    """
    Return a connected socket and its address: the first that connects (Happy Eyeballs, RFC 8305).

    Raises OSError when no address can be reached.
    """
    if len(addresses) == 1:
        return await _connect(addresses[0]), addresses[0]
    race = _Race()
    try:
        await race.run(addresses)
    except BaseException:
        if race.winner is not None:
            race.winner[0].close()
        raise
    if race.winner is None:
        raise OSError("; ".join(dict.fromkeys(race.failures)))
    return race.winner


class _Race:
    def __init__(self) -> None:
        self.winner: tuple[socket.socket, Address] | None = None
        self.failures: list[str] = []
        self._runners: list[asyncio.Task[None]] = []

    async def run(self, addresses: Sequence[Address]) -> None:
        async with asyncio.TaskGroup() as group:
            for address in addresses:
                over = asyncio.Event()
                self._runners.append(group.create_task(self._try(address, over)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEAD_START):
                        await over.wait()
                if self.winner is not None:
                    return

    async def _try(self, address: Address, over: asyncio.Event) -> None:
        try:
            sock = await _connect(address)
        except OSError as error:
            self.failures.append(f"{address}: {reason(error)}")
            return
        finally:
            over.set()
        if self.winner is not None:
            sock.close()
            return
        self.winner = sock, address
        for runner in self._runners:
            if runner is not asyncio.current_task():
                runner.cancel()


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Requests are written whole: waiting for more data gains nothing.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock
