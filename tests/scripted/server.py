"""A listening socket: connections, keep-alive, and putting responses on the wire as told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from scripted.record import Record, Recorded, fingerprint, kept_headers
from scripted.wire import MAX_HEAD, PIECE, BadRequestError, DisconnectError, read_request, reason, respond

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from scripted.wire import Request, Response

    Handler = Callable[[Request, Recorded], Awaitable[Response]]

# As Go's net/http does it: so much of an unread body is read before the answer, else the connection is closed.
_DRAINED = 256 * 1024
_LINGER = 0.5


class Server:
    """Serves one handler on one address, until it is stopped."""

    def __init__(self, handler: Handler, *, name: str, record: Record, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._name = name
        self._record = record
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.errors: list[BaseException] = []
        """Exceptions of the handler: mistakes in the script, each answered with 500."""
        self.address = ""
        """`host:port`"""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self._tls else "http"

    @property
    def url(self) -> str:
        """`scheme://host:port`"""
        return f"{self.scheme}://{self.address}"

    async def start(self, bind: str = "127.0.0.1", port: int = 0) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._connected, bind, port, ssl=self._tls, limit=MAX_HEAD, backlog=1024
        )
        number = self._server.sockets[0].getsockname()[1]
        self.address = f"[{bind}]:{number}" if ":" in bind else f"{bind}:{number}"

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, so that the tasks are ours to end.
        self._record.connections += 1
        number = self._record.connections
        self._record.open.add(number)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, number))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.transport.set_write_buffer_limits(high=4 * PIECE)
        connection = _socket(writer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._exchange(reader, writer, number):
                pass
        except DisconnectError as end:
            if end.reset:
                _reset(writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client has gone
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            self._record.open.discard(number)
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError, OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        try:
            request = await read_request(reader, writer, scheme=self.scheme, connection=number)
        except BadRequestError as error:
            await self._send(writer, None, respond(400, f"{error}\n".encode()), None, close=True)
            await _linger(reader, writer)
            return False
        if request is None:
            return False
        recorded = self._recorded(request)
        self._record.arrive(recorded)
        try:
            response = await self._handle(request, recorded)
            keep = await self._settle(request)
            if response.delivery.lose:
                raise DisconnectError
            if response.delivery.raw is not None:
                writer.write(response.delivery.raw)
                await writer.drain()
                return False
            keep = keep and not response.delivery.until_close
            await self._send(writer, request, response, recorded, close=not keep)
            if not keep and not request.body.finished:
                await _linger(reader, writer)
            return keep and not response.delivery.hang_up
        finally:
            recorded.received = request.body.received
            self._record.depart(recorded, asyncio.get_running_loop().time())

    async def _handle(self, request: Request, recorded: Recorded) -> Response:
        try:
            return await self._handler(request, recorded)
        except (DisconnectError, ConnectionError):
            raise
        except Exception as error:
            # A mistake in the script: kept, and raised when the server is left.
            self.errors.append(error)
            return respond(500, f"{type(error).__name__}: {error}\n".encode())

    async def _settle(self, request: Request) -> bool:
        """Read what is left of a request's body, if it is little; tell whether the connection can stay."""
        body = request.body
        if not body.finished and not body.awaits_continue:
            before = body.received
            async for _ in body.pieces():
                if body.received - before > _DRAINED:
                    break
        return body.finished and (request.headers.get("connection") or "").lower() != "close"

    def _recorded(self, request: Request) -> Recorded:
        scheme, mark = fingerprint(request.headers.get("authorization"))
        return Recorded(
            number=len(self._record) + 1,
            method=request.method,
            target=request.target,
            host=request.host,
            server=self._name,
            connection=request.connection,
            scheme=scheme,
            fingerprint=mark,
            headers=kept_headers(request.headers.items),
            started=asyncio.get_running_loop().time(),
        )

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        request: Request | None,
        response: Response,
        recorded: Recorded | None,
        *,
        close: bool,
    ) -> None:
        bodiless = (request is not None and request.method == "HEAD") or response.status in (204, 304)
        headers = response.headers.copy()
        if response.delivery.chunked:
            headers.set("Transfer-Encoding", "chunked")
        elif not (response.status in (204, 304) or response.delivery.until_close or "content-length" in headers):
            headers.set("Content-Length", str(response.length + response.delivery.claim))
        if close:
            headers.set("Connection", "close")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items)
        writer.write(f"HTTP/1.1 {response.status} {reason(response.status)}\r\n{lines}\r\n".encode("latin-1"))
        if recorded is not None:
            recorded.status = response.status
        if not bodiless:
            async for piece in _paced(response, writer):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if response.delivery.chunked else piece)
                if recorded is not None:
                    recorded.sent += len(piece)
                await writer.drain()
            if response.delivery.chunked:
                writer.write(b"0\r\n\r\n")
        await writer.drain()
        # A length that was a lie leaves nothing that could follow on this connection.
        if response.delivery.claim and not bodiless:
            raise DisconnectError(reset=response.delivery.reset)


async def _paced(response: Response, writer: asyncio.StreamWriter) -> AsyncIterator[bytes | memoryview]:
    """Give the body's pieces at the pace, and with the mutilations, that were asked for; cuts where told."""
    delivery = response.delivery
    stops = sorted(stop for stop in {delivery.cut_after, delivery.stall_after} if stop is not None)
    sent = 0
    for piece in _pieces(response, stops):
        if sent == delivery.cut_after:
            await _cut(writer, reset=delivery.reset)
        if sent == delivery.stall_after:
            await writer.drain()
            await asyncio.sleep(delivery.stall)
        yield piece
        sent += len(piece)
        if delivery.drip is not None:
            await asyncio.sleep(delivery.pause)
    if delivery.cut_after is not None and sent <= delivery.cut_after:
        await _cut(writer, reset=delivery.reset)


async def _cut(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    await writer.drain()
    if reset:
        # What the kernel has not sent yet would be lost with a reset.
        await asyncio.sleep(0.05)
    raise DisconnectError(reset=reset)


def _pieces(response: Response, stops: list[int]) -> Iterator[bytes | memoryview]:
    """Cut the body at the stops and into drips, and invert a bit where that is asked for."""
    delivery = response.delivery
    at = 0
    for piece in response.body.pieces(response.start, response.start + response.length):
        view = memoryview(piece)
        if delivery.flip_at is not None and at <= delivery.flip_at < at + len(view):
            changed = bytearray(view)
            changed[delivery.flip_at - at] ^= 1
            view = memoryview(changed)
        while view:
            size = len(view) if delivery.drip is None else min(delivery.drip, len(view))
            size = min([size, *(stop - at for stop in stops if at < stop)])
            yield view[:size]
            at += size
            view = view[size:]


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give the client time to read an answer that came before its body ended; else the reset would destroy it."""
    with contextlib.suppress(OSError):  # TimeoutError is one; so is a client that has gone
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(_LINGER):
            while await reader.read(PIECE):
                pass


def _socket(writer: asyncio.StreamWriter) -> socket.socket:
    connection: socket.socket = writer.get_extra_info("socket")
    return connection


def _reset(writer: asyncio.StreamWriter) -> None:
    _socket(writer).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
