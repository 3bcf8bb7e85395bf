"""Bodies that we send: held back by slow servers, cut short by early answers, never half and half."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import HASTY, LIMITS, Peer, ask, fetch, in_pieces, playing, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.registry.http.pool import Pool
    from scripted.certificates import Authority

MIB = 1024 * 1024
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much"


class Body:
    """A stream of zeros that knows how much of it was taken, and whether it was closed."""

    def __init__(self, size: int, piece: int = 256 * 1024) -> None:
        self.size = size
        self.taken = 0
        self.closed = False
        self._piece = bytes(piece)

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [("Content-Length", str(self.size))]

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while self.taken < self.size:
                piece = self._piece[: self.size - self.taken]
                self.taken += len(piece)
                yield piece
        finally:
            self.closed = True


def length_of(request: bytes) -> int:
    return int(request.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


async def storing(peer: Peer) -> None:
    """Read each request's body, say how long it was."""
    while True:
        body = await peer.body(length_of(await peer.request()))
        await peer.answer(str(len(body)).encode(), status="201 Created")


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 5 * MIB])
@pytest.mark.parametrize("as_stream", [False, True], ids=["bytes", "stream"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_body_arrives_whole(
    pool: Pool, tls_pool: Pool, authority: Authority, size: int, as_stream: bool, scheme: str
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            got.append(await peer.body(length_of(await peer.request())))
            await peer.say(CREATED)
        await peer.until_closed()

    tls = authority.server_context() if scheme == "https" else None
    async with playing(script, tls=tls) as stage:
        for _ in range(2):
            body = in_pieces(data[:1000], b"", data[1000:]) if as_stream else data
            fields = [("Content-Length", str(size))]
            await fetch(tls_pool if tls else pool, stage, "PUT", body=body, fields=fields, scheme=scheme)

        assert got == [data, data]
        assert stage.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_slow_server_holds_the_body_back(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str
) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await go_on.wait()
        peer.writer.transport.resume_reading()
        await storing(peer)

    body = Body(64 * MIB)
    tls = authority.server_context() if scheme == "https" else None
    async with playing(script, tls=tls) as stage, asyncio.TaskGroup() as group:
        ours = tls_pool if tls else pool
        options = {"body": body.pieces(), "fields": body.fields, "scheme": scheme}
        sending = group.create_task(fetch(ours, stage, "PUT", **options))
        await asyncio.sleep(0.5)
        then = body.taken
        await asyncio.sleep(0.1)

        # What the kernel's buffers take, and no more.
        assert 0 < then == body.taken < 20 * MIB
        go_on.set()
        assert await sending == str(64 * MIB).encode()


async def test_a_large_body_needs_little_memory(tls_pool: Pool, authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        left = length_of(await peer.request())
        while left:
            left -= len(await peer.reader.read(64 * 1024))
        await peer.say(CREATED)

    body = Body(64 * MIB)
    async with playing(script, tls=authority.server_context()) as stage:
        tracemalloc.start()
        try:
            await fetch(tls_pool, stage, "PUT", body=body.pieces(), fields=body.fields, scheme="https")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        # The server's own reading is in it.
        assert peak < 6 * MIB


async def test_a_server_that_takes_nothing_is_a_timeout(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.sleep(10)

    body = Body(64 * MIB)
    async with playing(script) as stage:
        with pytest.raises(httpx.WriteTimeout, match=r"nothing could be sent for 0\.3 s"):
            await ask(pool, stage, "PUT", body=body.pieces(), fields=body.fields, limits=HASTY)

        assert body.closed
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("reads_on", [True, False], ids=["server reads on", "server reads no more"])
async def test_an_early_answer_ends_the_sending(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str, reads_on: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n", REFUSED)
        if reads_on:
            await peer.until_closed()
        else:
            await asyncio.sleep(0.3)

    body = Body(500 * MIB)
    tls = authority.server_context() if scheme == "https" else None
    async with playing(script, tls=tls) as stage:
        ours = tls_pool if tls else pool
        response = await ask(ours, stage, "PUT", body=body.pieces(), fields=body.fields, scheme=scheme)

        assert response.status == 413
        assert await whole(response) == b"too much"
        assert body.taken < 100 * MIB
        assert body.closed
        assert repr(ours) == "<Pool: 0 busy, 0 idle>"


async def test_an_early_answer_is_seen_while_nothing_can_be_sent(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.transport.pause_reading()
        await asyncio.sleep(0.3)
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n", REFUSED)
        await seen.wait()

    seen = asyncio.Event()
    body = Body(500 * MIB)
    async with playing(script) as stage:
        response = await ask(pool, stage, "PUT", body=body.pieces(), fields=body.fields)
        seen.set()

        assert await whole(response) == b"too much"


async def test_an_early_answer_is_seen_while_there_is_nothing_to_send(pool: Pool) -> None:
    taken = 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal taken
        for taken in range(1000):  # noqa: B007
            yield b"x"
            await asyncio.sleep(0.005)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.body(1)
        await peer.say(REFUSED)
        await peer.until_closed()

    async with playing(script) as stage:
        response = await ask(pool, stage, "PUT", body=slow(), fields=[("Content-Length", "1000")])

        assert await whole(response) == b"too much"
        assert taken < 100
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_answer_that_came_before_a_reset_is_the_answer(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.body(MIB)
        await peer.say(REFUSED)
        peer.reset()

    tls = authority.server_context() if scheme == "https" else None
    async with playing(script, tls=tls) as stage:
        ours = tls_pool if tls else pool
        for _ in range(20):
            body = Body(20 * MIB)
            response = await ask(ours, stage, "PUT", body=body.pieces(), fields=body.fields, scheme=scheme)
            assert response.status == 413
            response.close()


async def test_a_reset_without_an_answer_is_an_error(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.body(MIB)
        peer.reset()

    body = Body(50 * MIB)
    async with playing(script) as stage:
        with pytest.raises(httpx.WriteError, match="could not be sent"):
            await ask(pool, stage, "PUT", body=body.pieces(), fields=body.fields)

        assert body.closed
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def test_an_end_without_an_answer_is_an_error(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.body(MIB)

    body = Body(50 * MIB)
    async with playing(script) as stage:
        with pytest.raises(httpx.WriteError):
            await ask(pool, stage, "PUT", body=body.pieces(), fields=body.fields)


async def test_what_the_body_raises_is_raised_and_ends_the_connection(pool: Pool) -> None:
    class OursError(Exception):
        pass

    error = OursError()
    got: list[bytes] = []

    async def broken() -> AsyncIterator[bytes]:
        yield b"12345"
        raise error

    async def script(peer: Peer) -> None:
        await peer.request()
        got.append(await peer.until_closed())

    async with playing(script) as stage:
        with pytest.raises(OursError) as raised:
            await ask(pool, stage, "PUT", body=broken(), fields=[("Content-Length", "10")])

        assert raised.value is error
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"
        await asyncio.sleep(0.05)
        assert got == [b"12345"]


@pytest.mark.parametrize("cause", [OSError("disk"), httpx.WriteError("source"), TimeoutError("mine")])
async def test_even_an_error_like_our_own(pool: Pool, cause: Exception) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"12345"
        raise cause

    async with playing(storing) as stage:
        with pytest.raises(type(cause)) as raised:
            await ask(pool, stage, "PUT", body=broken(), fields=[("Content-Length", "10")])

        assert raised.value is cause


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        pytest.param([b"12345"], "ended 5 bytes before", id="short"),
        pytest.param([], "ended 10 bytes before", id="empty"),
        pytest.param([b"12345", b"123456"], "longer than its Content-Length", id="long"),
        pytest.param([b"1234567890", b"1"], "longer than its Content-Length", id="long after its end"),
    ],
)
async def test_a_body_of_another_length_leaves_no_connection(pool: Pool, pieces: list[bytes], why: str) -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        got.append(await peer.until_closed())

    async with playing(script) as stage:
        with pytest.raises(httpx.LocalProtocolError, match=why):
            await ask(pool, stage, "PUT", body=in_pieces(*pieces), fields=[("Content-Length", "10")])

        await asyncio.sleep(0.05)
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"
        assert len(got[0]) <= 10


async def test_a_stream_without_a_length_is_not_sent(pool: Pool) -> None:
    async with playing(storing) as stage:
        with pytest.raises(httpx.LocalProtocolError, match="needs a Content-Length"):
            await ask(pool, stage, "PUT", body=in_pieces(b"a"))

        assert stage.connections == 0


async def test_a_source_that_stalls_is_ended_by_the_time_of_the_caller(pool: Pool) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"12345"
        await asyncio.sleep(10)

    async with playing(storing) as stage:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(pool, stage, "PUT", body=stalling(), fields=[("Content-Length", "10")], limits=LIMITS)

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"
