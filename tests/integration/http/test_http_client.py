"""The pool below a client of httpx."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import Peer, answering, in_pieces, playing
from ocync.http.transport import PoolTransport
from servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dialogue import Stage
    from ocync.http.pool import Pool

OK = b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nok"


@asynccontextmanager
async def client_of(pool: Pool, stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{stage.port}"
    async with httpx.AsyncClient(
        transport=PoolTransport(pool), base_url=base, trust_env=False, timeout=2
    ) as client:
        yield client


async def test_requests_and_answers_are_those_of_httpx(pool: Pool) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            heads.append(await peer.request())
            if b"POST" in heads[-1]:
                heads.append(await peer.body(3))
            await peer.say(OK)
        await peer.until_closed()

    async with playing(script) as stage, client_of(pool, stage) as client:
        response = await client.get("/token?scope=a%3Ab%2Fc", headers={"Authorization": "Basic x"})
        posted = await client.post("/", data={"a": "b"})

    assert (response.status_code, response.reason_phrase, response.text) == (200, "Fine", "ok")
    assert response.headers.get_list("set-cookie") == ["a=b", "c=d"]
    assert heads[0].startswith(b"GET /token?scope=a%3Ab%2Fc HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Basic x\r\n" in heads[0]
    assert heads[2] == b"a=b"
    assert posted.status_code == 200
    assert stage.connections == 1


async def test_a_stream_is_read_as_it_comes_and_may_be_left(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegin")
        await peer.until_closed()

    async with playing(script) as stage, client_of(pool, stage) as client:
        async with client.stream("GET", "/") as response:
            assert await anext(response.aiter_raw()) == b"begin"
            assert repr(pool) == "<Pool: 1 busy, 0 idle>"

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def test_a_stream_is_sent_with_its_length(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer((await peer.body(6)).upper())
        await peer.until_closed()

    async with playing(script) as stage, client_of(pool, stage) as client:
        response = await client.put("/", content=in_pieces(b"abc", b"def"), headers={"Content-Length": "6"})
        assert response.text == "ABCDEF"
        with pytest.raises(httpx.LocalProtocolError):
            await client.put("/", content=in_pieces(b"abc", b"def"))


async def test_encodings_are_undone_by_httpx(pool: Pool) -> None:
    packed = gzip.compress(b"hello")

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(packed, fields="Content-Encoding: gzip\r\n")
        await peer.until_closed()

    async with playing(script) as stage, client_of(pool, stage) as client:
        assert (await client.get("/")).text == "hello"


async def test_errors_know_their_request(pool: Pool) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    async with httpx.AsyncClient(transport=PoolTransport(pool), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError) as raised:
            await client.get(url)

    assert str(raised.value.request.url) == url


async def test_the_timeout_is_that_of_the_client(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    async with playing(script) as stage, client_of(pool, stage) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=0.1)


async def test_hosts_in_other_letters_are_asked_by_their_name_in_dns(pool: Pool) -> None:
    async with httpx.AsyncClient(transport=PoolTransport(pool), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError, match=r"no connection to xn--mller-kva\.invalid:80"):
            await client.get("http://müller.invalid/")


async def test_many_at_once(pool: Pool) -> None:
    async with playing(answering(OK)) as stage, client_of(pool, stage) as client:
        responses = await asyncio.gather(*(client.get("/") for _ in range(50)))

        assert {response.text for response in responses} == {"ok"}
