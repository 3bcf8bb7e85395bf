"""Servers that say exactly the bytes a test tells them to, on real sockets of loopback, and requests to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ocync.registry.http.pool import ConnectionLimits, Origin

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence

    from ocync.registry.http.pool import Pool, Response

    Script = Callable[["Peer"], Awaitable[None]]


@dataclass(slots=True)
class Peer:
    """One connection, seen from the server; `number` counts them from 0."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def request(self) -> bytes:
        """Read a request's head; raises IncompleteReadError where none comes any more."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def body(self, length: int) -> bytes:
        """Read so many bytes of a body."""
        return await self.reader.readexactly(length)

    async def say(self, *parts: bytes) -> None:
        """Write bytes, part by part, each in a packet of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            if len(parts) > 1:
                await asyncio.sleep(0.001)

    async def answer(self, body: bytes = b"", *, status: str = "200 OK", fields: str = "") -> None:
        """Write a whole answer with a Content-Length."""
        await self.say(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)

    def reset(self) -> None:
        """End the connection with a reset instead of an end."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def until_closed(self) -> bytes:
        """Read until the client ends the connection; returns what came."""
        try:
            return await self.reader.read(-1)
        except ConnectionError:
            return b""


@dataclass(slots=True)
class Stage:
    """A server that plays a script with each connection."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    """Written by scripts that care."""
    peers: list[Peer] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """How many have been made so far."""
        return len(self.peers)


@asynccontextmanager
async def playing(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", receive_buffer: int | None = None
) -> AsyncIterator[Stage]:
    """
    Play the script with every connection while the context lasts; each connection is closed after its script.

    What a script raises is raised at the end, except for the client's going away. `receive_buffer` is the kernel's.
    """
    failures: list[Exception] = []
    tasks: set[asyncio.Task[None]] = set()

    async def perform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, len(stage.peers))
        stage.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            # The client went away, or the test is over.
            pass
        except Exception as error:
            failures.append(error)
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # With the protocol named, asyncio sends each packet at once.
    listener = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    listener.bind((host, 0))
    if receive_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    stage = Stage(listener.getsockname()[1])
    server = await asyncio.start_server(perform, sock=listener, ssl=tls, limit=1 << 20)
    try:
        yield stage
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
    if failures:
        raise failures[0]


def answering(*answers: bytes) -> Script:
    """Make a script that answers one request after the other, the last answer again and again."""

    async def script(peer: Peer) -> None:
        for count in range(1_000_000):
            await peer.request()
            await peer.say(answers[min(count, len(answers) - 1)])

    return script


LIMITS = ConnectionLimits(connect=5, idle=5)
HASTY = ConnectionLimits(connect=0.3, idle=0.3)


async def ask(
    pool: Pool,
    stage: Stage,
    method: str = "GET",
    *,
    body: bytes | AsyncIterable[bytes] | None = None,
    fields: Sequence[tuple[str, str]] = (),
    limits: ConnectionLimits = LIMITS,
    scheme: str = "http",
    host: str = "127.0.0.1",
) -> Response:
    """Send a request to a stage."""
    origin = Origin(scheme, host, stage.port)
    return await pool.send(origin, method, b"/", [("Host", origin.authority), *fields], body, limits)


async def whole(response: Response) -> bytes:
    """Read the body of a response to its end."""
    return b"".join([piece async for piece in response.pieces()])


async def fetch(pool: Pool, stage: Stage, method: str = "GET", **options: Any) -> bytes:
    """Send a request and return the whole body of its answer."""
    return await whole(await ask(pool, stage, method, **options))


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    """Give a body piece by piece."""
    for piece in pieces:
        yield piece
