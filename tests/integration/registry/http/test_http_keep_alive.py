"""Connections that are kept, those that must not be, and those that the server closes at the wrong moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import HASTY, Peer, answering, ask, fetch, in_pieces, playing, whole

if TYPE_CHECKING:
    from ocync.registry.http.pool import Pool
    from scripted.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def with_fields(fields: str, minor: int = 1) -> bytes:
    return f"HTTP/1.{minor} 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok".encode()


async def settled() -> None:
    """Give the loop the time to hear of what happened on loopback."""
    await asyncio.sleep(0.05)


async def test_the_connection_used_last_is_used_first(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(str(peer.number).encode())

    async with playing(script) as stage:
        responses = [await ask(pool, stage) for _ in range(3)]
        numbers = [await whole(responses[i]) for i in (0, 2, 1)]
        assert numbers == [b"0", b"2", b"1"]

        assert [await fetch(pool, stage) for _ in range(2)] == [b"1", b"1"]
        again = [await ask(pool, stage) for _ in range(3)]
        assert [await whole(response) for response in again] == [b"1", b"2", b"0"]
        assert stage.connections == 3


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        pytest.param(with_fields(""), 1, id="1.1"),
        pytest.param(with_fields("Connection: close\r\n"), 3, id="close"),
        pytest.param(with_fields("", minor=0), 3, id="1.0"),
        pytest.param(with_fields("Connection: keep-alive\r\n", minor=0), 1, id="1.0 that keeps it"),
        pytest.param(with_fields("Keep-Alive: timeout=30\r\n"), 1, id="kept for long"),
        pytest.param(with_fields("Keep-Alive: timeout=1\r\n"), 3, id="kept for a second, which may be over"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            3,
            id="length and chunks",
        ),
    ],
)
async def test_the_server_says_what_is_kept(pool: Pool, answer: bytes, connections: int) -> None:
    async with playing(answering(answer)) as stage:
        assert [await fetch(pool, stage) for _ in range(3)] == [b"ok"] * 3
        assert stage.connections == connections


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("as_stream", [False, True], ids=["bytes", "stream"])
@pytest.mark.parametrize("with_reset", [False, True], ids=["end", "reset"])
async def test_a_connection_closed_while_idle_is_replaced(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str, as_stream: bool, with_reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 0:
            if with_reset:
                peer.reset()
            return
        await peer.until_closed()

    tls = authority.server_context() if scheme == "https" else None
    async with playing(script, tls=tls) as stage:
        ours = tls_pool if tls else pool
        await fetch(ours, stage, scheme=scheme)
        await settled()
        body = in_pieces(b"abc") if as_stream else b"abc"

        assert await fetch(ours, stage, "PUT", body=body, fields=[("Content-Length", "3")], scheme=scheme) == b"ok"
        assert stage.connections == 2


@pytest.mark.parametrize("with_reset", [False, True], ids=["end", "reset"])
async def test_a_connection_closed_when_the_request_arrives_is_replaced_once(pool: Pool, with_reset: bool) -> None:
    async def script(peer: Peer) -> None:
        if peer.number < 5:
            await peer.request()
            await peer.say(OK)
        await peer.request()
        if peer.number < 5:
            if with_reset:
                peer.reset()
            return
        await peer.say(OK)
        await peer.until_closed()

    async with playing(script) as stage:
        for response in [await ask(pool, stage) for _ in range(5)]:
            await whole(response)
        assert repr(pool) == "<Pool: 0 busy, 5 idle>"

        assert await fetch(pool, stage, "PUT", body=b"abc") == b"ok"
        # The four others may still be good: one failure says nothing of them.
        assert repr(pool) == "<Pool: 0 busy, 5 idle>"
        assert stage.connections == 6


async def test_a_new_connection_that_is_closed_is_not_replaced(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with playing(script) as stage:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(pool, stage)

        assert stage.connections == 1


async def test_a_stream_that_was_begun_is_not_sent_again(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.body(3)

    async with playing(script) as stage:
        await fetch(pool, stage)
        with pytest.raises((httpx.RemoteProtocolError, httpx.WriteError)):
            await ask(pool, stage, "PUT", body=in_pieces(b"abc"), fields=[("Content-Length", "3")])

        assert stage.connections == 1


async def test_a_request_whose_answer_had_begun_is_not_sent_again(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"HTTP/1.1 2")

    async with playing(script) as stage:
        await fetch(pool, stage)
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(pool, stage)

        assert stage.connections == 1


async def test_an_answer_that_nobody_asked_for_is_never_taken(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number == 0:
            await asyncio.sleep(0.02)
            await peer.say(OK.replace(b"ok", b"no"))
        await peer.until_closed()

    async with playing(script) as stage:
        await fetch(pool, stage)
        await settled()

        assert await fetch(pool, stage) == b"ok"
        assert stage.connections == 2


async def test_a_connection_that_went_silent_takes_the_idle_ones_with_it(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number >= 3:
            await peer.request()
            await peer.say(OK)
        await peer.until_closed()

    async with playing(script) as stage:
        for response in [await ask(pool, stage) for _ in range(3)]:
            await whole(response)
        with pytest.raises(httpx.ReadTimeout):
            await ask(pool, stage, limits=HASTY)

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"
        assert await fetch(pool, stage) == b"ok"


async def test_an_idle_connection_is_not_used_about_when_the_server_closes_it(pool: Pool) -> None:
    async with playing(answering(with_fields("Keep-Alive: timeout=2\r\n"))) as stage:
        for response in [await ask(pool, stage) for _ in range(2)]:
            await whole(response)
        await asyncio.sleep(0.5)
        # The one that is not used again is dropped when another one comes back after its time.
        await fetch(pool, stage)
        await asyncio.sleep(0.6)
        await fetch(pool, stage)
        assert stage.connections == 2
        assert repr(pool) == "<Pool: 0 busy, 1 idle>"

        await asyncio.sleep(1.1)
        await fetch(pool, stage)
        assert stage.connections == 3


async def test_origins_do_not_share_connections(pool: Pool) -> None:
    async with playing(answering(OK)) as one, playing(answering(OK)) as other:
        for _ in range(2):
            await fetch(pool, one)
            await fetch(pool, other)

        assert (one.connections, other.connections) == (1, 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_is_closed_with_the_server(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str
) -> None:
    tls = authority.server_context() if scheme == "https" else None
    ours = tls_pool if tls else pool
    # A server that ends waits for our part of the end.
    async with playing(answering(OK), tls=tls) as stage:
        await fetch(ours, stage, scheme=scheme)


async def test_nothing_is_kept_once_the_pool_is_closed(pool: Pool) -> None:
    async with playing(answering(OK)) as stage:
        await fetch(pool, stage)
        late = await ask(pool, stage)
        await pool.close()
        late.close()

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def test_a_server_may_close_each_connection_under_load(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(3 + peer.number % 3):
            await peer.request()
            await peer.say(OK)

    async def worker() -> int:
        return sum([await fetch(pool, stage) == b"ok" for _ in range(50)])

    async with playing(script) as stage:
        assert sum(await asyncio.gather(*(worker() for _ in range(8)))) == 400
