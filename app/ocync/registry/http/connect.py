"""Connections to an origin: looked up, connected, through a proxy where there is one, with TLS."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx

from ocync.registry.http.connection import Connection
from ocync.registry.http.dns import Resolver
from ocync.registry.http.happy_eyeballs import connect
from ocync.registry.http.message import render_request
from ocync.registry.http.origin import PORTS, ConnectionLimits, Origin
from ocync.registry.http.socket_errors import reason
from ocync.registry.http.stream import Scratch, StalledError, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


class Dialer:
    """
    Makes connections and remembers what makes the next one cheaper: addresses, TLS sessions.

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
                    return Connection(await self._reach(origin, limits))
                return Connection(await self._reach_through(proxy, origin, limits))
        except (TimeoutError, StalledError) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                # The system's own limit for a connection.
                raise httpx.ConnectError(_failed(origin, reason(error))) from error
            why = f"no connection to {origin.address} within {limits.connect:g} s"
            raise httpx.ConnectTimeout(why if proxy is None else f"{why}, through {proxy}") from error
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(_failed(origin, reason(error))) from error

    def remember(self, origin: Origin, connection: Connection) -> None:
        """Keep the TLS session of a connection that has been used once, so that the next one costs less."""
        session = connection.tls_session
        if session is not None:
            self._sessions[origin] = session

    async def _reach(self, origin: Origin, limits: ConnectionLimits) -> Wire:
        addresses = await self._resolver.addresses(origin.host, origin.port)
        try:
            sock, address = await connect(addresses)
        except OSError:
            self._resolver.forget(origin.host, origin.port)
            raise
        self._resolver.reached(origin.host, origin.port, address.family)
        wire = Wire(sock, self._scratch)
        if origin.scheme == "https":
            await self._secure(wire, origin, limits)
        return wire

    async def _reach_through(self, proxy: Proxy, origin: Origin, limits: ConnectionLimits) -> Wire:
        try:
            wire = await self._reach(proxy.origin, limits)
        except (OSError, ValueError) as error:
            raise httpx.ProxyError(f"{proxy} can't be used: {reason(error)}") from error
        if origin.scheme == "https":
            await self._open_tunnel(wire, proxy, origin, limits)
            await self._secure(wire, origin, limits)
        return wire

    async def _secure(self, wire: Wire, origin: Origin, limits: ConnectionLimits) -> None:
        try:
            # A dot at the end keeps a name from being looked up below search domains; certificates have none.
            name = origin.host.rstrip(".")
            await wire.secure(self._trust(), name, self._sessions.get(origin), limits.connect)
        except BaseException:
            # A session that a server does not like any more must not stand in the way of the next attempt.
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
    """An HTTP proxy, from its URL; shown without its password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.origin = Origin(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])
        self.fields: list[tuple[str, str]] = []
        """What each request to the proxy itself has to carry."""
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self.fields.append(("Proxy-Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"))

    def __str__(self) -> str:
        return f"the proxy {self.origin.address}"


def _failed(origin: Origin, why: str) -> str:
    return f"no connection to {origin.address}: {why}"
