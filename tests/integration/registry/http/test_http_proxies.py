"""Through proxies: plain requests, tunnels, proxies that want credentials, proxies behind TLS."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import HASTY, LIMITS, Peer, answering, fetch, in_pieces, playing, whole
from ocync.config.model import TlsSettings
from ocync.registry.http.pool import Origin, Pool
from ocync.registry.http.proxy import ProxyRules
from ocync.registry.http.trust import context
from servers.process import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from scripted.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NAME = "registry.example"


class Tunnels:
    """A proxy that leads every CONNECT to one port of loopback, whatever name was asked for."""

    def __init__(self, established: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.port = 0
        self.asked: list[bytes] = []
        self._established = established

    async def __call__(self, peer: Peer) -> None:
        self.asked.append(await peer.request())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await peer.say(self._established)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pour(peer.reader, writer))
                group.create_task(pour(reader, peer.writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@contextlib.asynccontextmanager
async def pool_through(proxy: str, trusted: ssl.SSLContext | None = None) -> AsyncIterator[Pool]:
    pool = Pool(trust=lambda: trusted or context(TlsSettings()), proxy=lambda *_origin: proxy)
    yield pool
    await pool.close()


@pytest.fixture
def trusted(authority: Authority) -> ssl.SSLContext:
    return context(TlsSettings(ca_file=authority.ca_file))


@pytest.fixture
def server(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(authority.issue("elsewhere", [NAME, "127.0.0.1"]))


async def get(pool: Pool, *, host: str = NAME, scheme: str = "https") -> bytes:
    origin = Origin(scheme, host, 443 if scheme == "https" else 80)
    response = await pool.send(origin, "GET", b"/v2/?a=b", [("Host", origin.authority)], None, LIMITS)
    return await whole(response)


async def test_a_plain_request_names_the_whole_url() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            heads.append(await peer.request())
            await peer.say(OK)
        await peer.until_closed()

    async with playing(script) as proxy, pool_through(f"http://us%40r:p%3Aw@127.0.0.1:{proxy.port}") as pool:
        assert [await get(pool, scheme="http") for _ in range(2)] == [b"ok"] * 2
        assert proxy.connections == 1

    expected = (
        b"GET http://registry.example/v2/?a=b HTTP/1.1\r\nHost: registry.example\r\n"
        b"Proxy-Authorization: Basic dXNAcjpwOnc=\r\n\r\n"
    )
    assert heads == [expected] * 2


async def test_tls_goes_through_a_tunnel(server: ssl.SSLContext, trusted: ssl.SSLContext) -> None:
    tunnels = Tunnels()
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            heads.append(await peer.request())
            await peer.say(OK)
        await peer.until_closed()

    async with (
        playing(script, tls=server) as stage,
        playing(tunnels) as proxy,
        pool_through(f"http://user:secret@127.0.0.1:{proxy.port}", trusted) as pool,
    ):
        tunnels.port = stage.port
        assert [await get(pool) for _ in range(2)] == [b"ok"] * 2

    assert tunnels.asked == [
        b"CONNECT registry.example:443 HTTP/1.1\r\nHost: registry.example:443\r\n"
        b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n"
    ]
    # The server hears nothing of the proxy's password.
    assert heads == [b"GET /v2/?a=b HTTP/1.1\r\nHost: registry.example\r\n\r\n"] * 2


@pytest.mark.parametrize(
    "established",
    [
        pytest.param(b"HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n", id="1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", id="close"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", id="length"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\n", id="201 after 100"),
    ],
)
async def test_proxies_agree_in_many_words(
    server: ssl.SSLContext, trusted: ssl.SSLContext, established: bytes
) -> None:
    tunnels = Tunnels(established)
    async with (
        playing(answering(OK), tls=server) as stage,
        playing(tunnels) as proxy,
        pool_through(f"http://127.0.0.1:{proxy.port}", trusted) as pool,
    ):
        tunnels.port = stage.port
        assert [await get(pool) for _ in range(2)] == [b"ok"] * 2
        assert len(tunnels.asked) == 1


async def test_a_proxy_may_be_behind_tls_itself(server: ssl.SSLContext, trusted: ssl.SSLContext) -> None:
    tunnels = Tunnels()
    got: list[int] = []
    size = 3 * 1024 * 1024

    async def script(peer: Peer) -> None:
        await peer.request()
        got.append(len(await peer.body(size)))
        await peer.answer(bytes(size))
        await peer.until_closed()

    async with (
        playing(script, tls=server) as stage,
        playing(tunnels, tls=server) as proxy,
        pool_through(f"https://127.0.0.1:{proxy.port}", trusted) as pool,
    ):
        tunnels.port = stage.port
        origin = Origin("https", NAME, 443)
        fields = [("Host", NAME), ("Content-Length", str(size))]
        response = await pool.send(origin, "PUT", b"/", fields, in_pieces(bytes(size)), LIMITS)

        assert len(await whole(response)) == size
        assert got == [size]
        assert repr(pool) == "<Pool: 0 busy, 1 idle>"


async def test_a_dot_at_the_end_of_a_name_is_not_in_its_certificate(
    server: ssl.SSLContext, trusted: ssl.SSLContext
) -> None:
    tunnels = Tunnels()
    async with (
        playing(answering(OK), tls=server) as stage,
        playing(tunnels) as proxy,
        pool_through(f"http://127.0.0.1:{proxy.port}", trusted) as pool,
    ):
        tunnels.port = stage.port
        assert await get(pool, host=f"{NAME}.") == b"ok"


async def test_a_name_of_dots_is_no_name(server: ssl.SSLContext, trusted: ssl.SSLContext) -> None:
    tunnels = Tunnels()
    async with (
        playing(answering(OK), tls=server) as stage,
        playing(tunnels) as proxy,
        pool_through(f"http://127.0.0.1:{proxy.port}", trusted) as pool,
    ):
        tunnels.port = stage.port
        with pytest.raises(httpx.ConnectError, match="the host's name is not valid"):
            await get(pool, host="..")


async def test_the_server_behind_the_proxy_is_verified(authority: Authority, trusted: ssl.SSLContext) -> None:
    tunnels = Tunnels()
    async with (
        playing(answering(OK), tls=authority.server_context()) as stage,
        playing(tunnels) as proxy,
        pool_through(f"http://127.0.0.1:{proxy.port}", trusted) as pool,
    ):
        tunnels.port = stage.port
        with pytest.raises(httpx.ConnectError, match=r"registry\.example:443: the certificate is not trusted"):
            await get(pool)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!",
            "wants other credentials: 407 Proxy Authentication Required",
            id="407",
        ),
        pytest.param(b"HTTP/1.0 401 Unauthorized\r\n\r\n", "wants other credentials: 401", id="401, as tinyproxy"),
        pytest.param(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            r"does not lead to registry\.example:443: 403 Forbidden",
            id="403",
        ),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", "302 Found", id="portal"),
        pytest.param(b"", "gave no answer: the connection was closed", id="closed"),
        pytest.param(b"\x05\x00", "gave no answer: the answer is not HTTP/1.1", id="SOCKS"),
    ],
)
async def test_a_proxy_that_refuses_is_to_blame(answer: bytes, why: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    async with playing(script) as proxy, pool_through(f"http://user:hunter2@127.0.0.1:{proxy.port}") as pool:
        with pytest.raises(httpx.ProxyError, match=rf"the proxy 127\.0\.0\.1:{proxy.port} .*{why}") as raised:
            await get(pool)

        assert "hunter2" not in str(raised.value)
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_to_blame(scheme: str) -> None:
    async with pool_through(f"http://127.0.0.1:{free_port()}") as pool:
        with pytest.raises(httpx.ProxyError, match=r"the proxy 127\.0\.0\.1:\d+ can't be used: Connection refused"):
            await get(pool, scheme=scheme)


async def test_a_proxy_that_is_silent_is_named() -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    async with playing(script) as proxy, pool_through(f"http://127.0.0.1:{proxy.port}") as pool:
        origin = Origin("https", NAME, 443)
        with pytest.raises(httpx.TransportError, match=rf"the proxy 127\.0\.0\.1:{proxy.port}"):
            await pool.send(origin, "GET", b"/", [], None, HASTY)


async def test_no_proxy_is_asked_where_the_rules_say_so() -> None:
    rules = ProxyRules.from_environment({"HTTP_PROXY": "http://proxy.invalid:1", "NO_PROXY": "10.0.0.0/8"})
    assert rules.proxy_for("http", "10.1.2.3", 80) is None
    async with playing(answering(OK)) as stage, _direct(rules) as direct:
        # Loopback never goes through a proxy.
        assert await fetch(direct, stage) == b"ok"


@contextlib.asynccontextmanager
async def _direct(rules: ProxyRules) -> AsyncIterator[Pool]:
    pool = Pool(trust=lambda: context(TlsSettings()), proxy=rules.proxy_for)
    yield pool
    await pool.close()


async def test_a_kept_connection_to_a_proxy_is_for_one_origin() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.say(OK)
        await peer.until_closed()

    async with playing(script) as proxy, pool_through(f"http://127.0.0.1:{proxy.port}") as pool:
        await get(pool, scheme="http", host="one.example")
        await get(pool, scheme="http", host="other.example")

        assert proxy.connections == 2


async def test_an_environment_leads_a_pool() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.until_closed()

    async with playing(script) as proxy:
        rules = ProxyRules.from_environment({"ALL_PROXY": f"http://127.0.0.1:{proxy.port}"})
        async with _direct(rules) as pool:
            assert await get(pool, scheme="http", host="registry.invalid") == b"ok"
