"""The scripted server's HTTP, byte by byte."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from scripted import ScriptedRegistry, faults

HELLO = hashlib.sha256(b"hello").hexdigest()


async def talk(registry: ScriptedRegistry, *parts: bytes, pause: float = 0) -> bytes:
    """Send the parts, then read until the server closes."""
    host, _, port = registry.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def upload_path(registry: ScriptedRegistry) -> bytes:
    answer = await talk(registry, b"POST /v2/a/uploads/../b HTTP/1.0\r\nHost: x\r\n\r\n")
    assert b"404" in answer
    answer = await talk(registry, b"POST /v2/a/blobs/uploads/ HTTP/1.0\r\nHost: x\r\n\r\n")
    location = next(line for line in answer.split(b"\r\n") if line.startswith(b"Location: "))
    return location.removeprefix(b"Location: http://x")


async def test_several_requests_in_a_row_share_a_connection() -> None:
    async with ScriptedRegistry() as registry:
        once = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await talk(registry, once, once, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert answer.count(b"Connection: close\r\n") == 1
        assert registry.requests.connections == 1


async def test_head_has_the_length_and_no_body() -> None:
    async with ScriptedRegistry() as registry:
        answer = await talk(registry, b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"Content-Length: 2\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


async def test_a_body_may_come_in_chunks() -> None:
    async with ScriptedRegistry() as registry:
        path = await upload_path(registry)
        head = b"PUT %b&digest=sha256:%b HTTP/1.1\r\nHost: x\r\n" % (path, HELLO.encode())
        body = b"2\r\nhe\r\n3;name=value\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
        answer = await talk(
            registry, head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", body, pause=0.01
        )
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert registry.repositories["a"].read(f"sha256:{HELLO}") == b"hello"


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with ScriptedRegistry() as registry:
        path = await upload_path(registry)
        head = b"PUT %b&digest=sha256:%b HTTP/1.1\r\nHost: x\r\n" % (path, HELLO.encode())
        fields = b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
        answer = await talk(registry, head + fields, b"hello", pause=0.05)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


async def test_an_answer_before_a_long_body_is_read_arrives_and_closes() -> None:
    async with ScriptedRegistry() as registry:
        head = b"PUT /v2/a/blobs/uploads/gone?digest=sha256:%b HTTP/1.1\r\n" % HELLO.encode()
        answer = await talk(
            registry, head + b"Host: x\r\nContent-Length: 100000000\r\n\r\n", bytes(400_000), pause=0.01
        )
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"Connection: close\r\n" in answer


async def test_a_short_body_that_is_not_wanted_leaves_the_connection_open() -> None:
    async with ScriptedRegistry() as registry:
        head = b"PUT /v2/a/blobs/uploads/gone HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        answer = await talk(registry, head, b"GET /v2/ HTTP/1.0\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 404 " in answer
        assert b"HTTP/1.1 200 " in answer


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="the beginning of TLS"),
        pytest.param(b"GET /v2/\r\n\r\n", id="no version"),
        pytest.param(b"GET /v2/ HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n", id="a line without a colon"),
        pytest.param(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"x" * 600_000), id="an endless head"),
    ],
)
async def test_what_is_no_request_is_answered_with_400(head: bytes) -> None:
    async with ScriptedRegistry() as registry:
        assert (await talk(registry, head)).startswith(b"HTTP/1.1 400 ")
        assert len(registry.requests) == 0


async def test_leaving_ends_connections_that_are_idle_or_at_work() -> None:
    async with ScriptedRegistry() as registry:
        host, _, port = registry.host.rpartition(":")
        idle, first = await asyncio.open_connection(host, int(port))
        busy, second = await asyncio.open_connection(host, int(port))
        second.write(b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
        await asyncio.sleep(0.05)
    for reader, writer in ((idle, first), (busy, second)):
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_hundreds_of_connections_are_served_at_once() -> None:
    async with ScriptedRegistry() as registry:
        registry.on("GET", "/v2/", respond=faults.stall(0.5))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(300):
                tasks.create_task(talk(registry, b"GET /v2/ HTTP/1.0\r\n\r\n"))
        assert registry.count(status=200) == registry.requests.connections == 300
        assert registry.requests.peak == 300


async def test_a_mistake_in_the_script_fails_the_test() -> None:
    async def wrong(request: object, proceed: object) -> None:
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        async with ScriptedRegistry() as registry:
            registry.on("GET", "/v2/", respond=wrong)
            assert (await talk(registry, b"GET /v2/ HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
