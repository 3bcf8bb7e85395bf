"""Bodies as streams: bounded memory, slow readers, bodies that nobody wants to the end."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import Peer, ask, fetch, playing, whole

if TYPE_CHECKING:
    from ocync.registry.http.pool import Pool
    from scripted.certificates import Authority

MIB = 1024 * 1024
BLOCK = bytes(64 * 1024)
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"


class Source:
    """Answers the first request with a large body, later ones with `next`; counts what the client took."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.say(f"HTTP/1.1 200 OK\r\nContent-Length: {self.size}\r\n\r\n".encode())
            while self.sent < self.size:
                await peer.say(BLOCK)
                self.sent += len(BLOCK)
            await peer.request()
        await peer.say(NEXT)
        await peer.until_closed()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_reader_that_pauses_holds_the_server_back(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(200 * MIB)
    turns_of_the_loop = 0
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    wait = selector.select

    def counted(timeout: float | None = None) -> object:
        nonlocal turns_of_the_loop
        turns_of_the_loop += 1
        return wait(timeout)

    monkeypatch.setattr(selector, "select", counted)
    tls = authority.server_context() if scheme == "https" else None
    async with playing(source, tls=tls) as stage:
        response = await ask(tls_pool if tls else pool, stage, scheme=scheme)
        pieces = response.pieces()
        await anext(pieces)
        await asyncio.sleep(0.5)
        then, turns = source.sent, turns_of_the_loop
        await asyncio.sleep(0.2)

        # What the kernel's buffers take, and no more.
        assert then == source.sent < 40 * MIB
        # Nor does it cost anything to wait for the reader.
        assert turns_of_the_loop - turns < 20
        await pieces.aclose()
        response.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_large_body_needs_little_memory(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str
) -> None:
    source = Source(96 * MIB)
    tls = authority.server_context() if scheme == "https" else None
    async with playing(source, tls=tls) as stage:
        response = await ask(tls_pool if tls else pool, stage, scheme=scheme)
        tracemalloc.start()
        try:
            size = largest = 0
            async for piece in response.pieces():
                size += len(piece)
                largest = max(largest, len(piece))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert size == source.size
        assert largest <= 300 * 1024
        assert peak < 4 * MIB


async def test_a_source_that_is_always_ready_leaves_time_for_others(pool: Pool) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async with playing(Source(64 * MIB)) as stage, asyncio.TaskGroup() as group:
        ticker = group.create_task(tick())
        response = await ask(pool, stage)
        count = 0
        ticks = 0
        async for _piece in response.pieces():
            count += 1
        ticker.cancel()

        assert ticks >= count // 2


async def test_a_body_read_to_its_end_gives_the_connection_back(pool: Pool) -> None:
    async with playing(Source(2 * MIB)) as stage:
        response = await ask(pool, stage)
        assert repr(pool) == "<Pool: 1 busy, 0 idle>"
        assert len(await whole(response)) == 2 * MIB
        assert repr(pool) == "<Pool: 0 busy, 1 idle>"

        assert await fetch(pool, stage) == b"next"
        assert stage.connections == 1


@pytest.mark.parametrize("pieces", [0, 1])
async def test_a_large_body_that_nobody_reads_to_the_end_closes_the_connection(pool: Pool, pieces: int) -> None:
    async with playing(Source(2 * MIB)) as stage:
        response = await ask(pool, stage)
        reading = response.pieces()
        for _ in range(pieces):
            await anext(reading)
        await reading.aclose()
        response.close()
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"

        assert await fetch(pool, stage) == b"next"
        assert stage.connections == 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Content-Length: 9\r\n\r\n<a>x</a>\n", id="length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n9\r\n<a>x</a>\n\r\n0\r\n\r\n", id="chunks"),
    ],
)
async def test_a_small_body_that_is_here_need_not_be_read(pool: Pool, body: bytes) -> None:
    async def script(peer: Peer) -> None:
        for _ in range(3):
            await peer.request()
            await peer.say(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\n" + body)
        await peer.until_closed()

    async with playing(script) as stage:
        for _ in range(3):
            (await ask(pool, stage)).close()

        assert stage.connections == 1
        assert repr(pool) == "<Pool: 0 busy, 1 idle>"


async def test_a_small_body_that_is_not_here_is_not_waited_for(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 9\r\n\r\n<a>")
        await peer.until_closed()

    async with playing(script) as stage:
        (await ask(pool, stage)).close()

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def test_a_response_that_is_closed_has_no_more_pieces(pool: Pool) -> None:
    async with playing(Source(2 * MIB)) as stage:
        response = await ask(pool, stage)
        response.close()
        response.close()

        assert await whole(response) == b""


async def test_a_small_piece_arrives_before_the_next_one_is_sent(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await asyncio.sleep(0.2)
        await peer.say(b"1\r\nb\r\n0\r\n\r\n")
        await peer.until_closed()

    async with playing(script) as stage:
        response = await ask(pool, stage)
        async with asyncio.timeout(0.15):
            assert await anext(response.pieces()) == b"a"

        assert await whole(response) == b"b"


async def test_who_reads_when_the_pool_is_closed_gets_an_error(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await peer.until_closed()

    async with playing(script) as stage, asyncio.TaskGroup() as group:
        response = await ask(pool, stage)
        reading = group.create_task(_raised_by(response))
        await asyncio.sleep(0.05)
        await pool.close()

        assert isinstance(await reading, httpx.ReadError)
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def _raised_by(response: object) -> BaseException | None:
    try:
        await whole(response)  # type: ignore[arg-type]
    except httpx.TransportError as error:
        return error
    return None
