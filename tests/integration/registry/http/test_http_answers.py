"""Answers over a socket: heads and bodies of every form, whole, cut off and wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import HASTY, Peer, answering, ask, fetch, playing, whole

if TYPE_CHECKING:
    from ocync.registry.http.pool import Pool

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x="y"\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: a\r\n\r\n'
)
FOLDED = b"HTTP/1.1 200 OK\nContent-Length:\n 5\nX: a\n\tb\n\nhello"
HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + PLAIN


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(PLAIN, id="length"),
        pytest.param(CHUNKED, id="chunks"),
        pytest.param(FOLDED, id="folded lines that end in LF"),
        pytest.param(HINTED, id="hints first"),
        pytest.param(b"HTTP/1.1 102 Go on\r\n\r\n" * 20 + PLAIN, id="many hints first"),
    ],
)
async def test_an_answer_is_the_same_wherever_it_is_cut(pool: Pool, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        for cut in range(1, len(answer)):
            await peer.request()
            await peer.say(answer[:cut], answer[cut:])
        await peer.until_closed()

    async with playing(script) as stage:
        bodies = [await fetch(pool, stage) for _ in range(1, len(answer))]

        assert bodies == [b"hello"] * (len(answer) - 1)
        assert stage.connections == 1


async def test_an_answer_may_come_byte_by_byte(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*(bytes([byte]) for byte in HINTED + CHUNKED[:0]))

    async with playing(script) as stage:
        response = await ask(pool, stage)

        assert response.headers.items() == [("content-length", "5")]
        assert await whole(response) == b"hello"


async def test_a_body_without_a_length_ends_with_the_connection(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n", b"hel", b"lo")

    async with playing(script) as stage:
        assert [await fetch(pool, stage) for _ in range(2)] == [b"hello"] * 2
        assert stage.connections == 2


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", id="HEAD"),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="HEAD, chunked"),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", id="HEAD without a length"),
        pytest.param("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", id="304"),
        pytest.param("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="empty"),
    ],
)
async def test_an_answer_without_a_body_is_over_at_once(pool: Pool, method: str, answer: bytes) -> None:
    async with playing(answering(answer)) as stage:
        assert [await fetch(pool, stage, method, limits=HASTY) for _ in range(3)] == [b""] * 3
        assert stage.connections == 1


async def test_a_body_that_comes_with_the_answer_to_a_head_is_dropped_with_its_connection(pool: Pool) -> None:
    async with playing(answering(PLAIN)) as stage:
        assert [await fetch(pool, stage, "HEAD") for _ in range(3)] == [b""] * 3
        assert stage.connections == 3


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(b"", "before the answer was complete", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "before the answer was complete", id="half a head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "before the answer was complete", id="only hints"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 9999 + PLAIN, "too many hints", id="hints without end"),
        pytest.param(b"220 smtp.example ESMTP\r\n", "not HTTP/1.1", id="another protocol"),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", "another protocol", id="101"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, "too long", id="endless head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "length", id="lengths"),
    ],
)
async def test_what_is_no_answer_is_an_error(pool: Pool, answer: bytes, why: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    async with playing(script) as stage:
        with pytest.raises(httpx.RemoteProtocolError, match=why):
            await ask(pool, stage)

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(PLAIN[:-2], "closed 2 bytes before the end", id="length"),
        pytest.param(CHUNKED[:-20], "before the end", id="chunks"),
        pytest.param(CHUNKED[:-2], "before the end", id="last line of the chunks"),
        pytest.param(PLAIN + b"more", "longer than its Content-Length", id="more than its length"),
        pytest.param(CHUNKED.replace(b"3\r\n", b"2\r\n"), "longer than its size", id="more than its chunk"),
    ],
)
async def test_a_body_that_ends_early_or_late_is_an_error(pool: Pool, answer: bytes, why: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    async with playing(script) as stage:
        response = await ask(pool, stage)
        with pytest.raises(httpx.RemoteProtocolError, match=why):
            await whole(response)
        response.close()

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def test_a_reset_within_the_body_is_an_error(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(PLAIN[:-2])
        await asyncio.sleep(0.05)
        peer.reset()

    async with playing(script) as stage:
        with pytest.raises(httpx.ReadError, match="reset"):
            await fetch(pool, stage)


async def test_silence_before_the_answer_is_a_timeout(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    async with playing(script) as stage:
        with pytest.raises(httpx.ReadTimeout, match=r"nothing came for 0\.3 s"):
            await ask(pool, stage, limits=HASTY)


async def test_silence_within_the_body_is_a_timeout(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(PLAIN[:-1])
        await peer.until_closed()

    async with playing(script) as stage:
        response = await ask(pool, stage, limits=HASTY)
        with pytest.raises(httpx.ReadTimeout):
            await whole(response)
        response.close()


async def test_a_drip_is_ended_by_the_time_of_the_caller(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            await peer.say(b"x")
            await asyncio.sleep(0.02)

    async with playing(script) as stage:
        response = await ask(pool, stage, limits=HASTY)
        got = b""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                async for piece in response.pieces():
                    got += piece
        response.close()

        assert 10 < len(got) < 1000
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


@pytest.mark.parametrize("breaking", ["GET", "/x\r\nA: b", "b\r\nC: d"])
async def test_a_request_that_breaks_out_of_its_lines_is_never_sent(pool: Pool, breaking: str) -> None:
    async with playing(answering(PLAIN)) as stage:
        with pytest.raises(httpx.LocalProtocolError):
            await ask(pool, stage, breaking + "\n", fields=[("A", breaking)])

        assert stage.connections == 0
