"""
One HTTP/1.1 connection: one exchange after the other, bodies as they come, nothing stands still for long.

A BufferedProtocol on asyncio's transports: TLS is decrypted straight into the buffer, a body's bytes are copied
once. Reading pauses while nobody takes them, so memory is bounded by the buffer and two pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

import httpx

from ocync.http.message import (
    MAX_HEAD,
    Chunked,
    Framing,
    Head,
    MalformedError,
    find_head_end,
    framing_of,
    parse_head,
    render_request,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Sequence

PIECE = 256 * 1024
"""Bytes that are read from a connection at once, at most."""
_SMALL = 16 * 1024
# Unread bytes of a body, above which reading pauses.
_BACKLOG = PIECE
# What waits to be sent, above which a writer waits.
_HIGH_WATER = 64 * 1024
# After a body could not be sent, the server's answer that says why may be on its way.
_LAST_WORDS = 1.0


class Connection(asyncio.BufferedProtocol):
    """
    Made by `loop.create_connection`; `exchange` is called when `idle` is true.

    Raises errors of httpx (ReadTimeout, WriteTimeout, ReadError, WriteError, RemoteProtocolError), after any of
    which the connection is closed.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_SMALL)
        self._head = bytearray()
        self._pieces: deque[bytes] = deque()
        self._queued = 0
        self._reading = True
        self._ended = False
        self._failure: Exception | None = None
        self._method = ""
        self._response: Head | None = None
        self._framing = Framing.NONE
        self._left = 0
        self._chunked: Chunked | None = None
        self._complete = True
        self._sent_whole = True
        self._writable = True
        self._reader: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None
        self.exchanges = 0
        self.idle_since = self._loop.time()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "idle" if self._complete else "busy"
        return f"<Connection {state}, {self.exchanges} exchanges>"

    @property
    def closed(self) -> bool:
        """Whether no exchange can be made any more."""
        return self._transport is None or self._ended or self._transport.is_closing()

    @property
    def idle(self) -> bool:
        """Whether the last exchange is over, on both sides, and the connection can be used for another one."""
        return self._complete and self._sent_whole and not self.closed

    @property
    def response(self) -> Head:
        """The head of the last answer; there has to be one."""
        assert self._response is not None
        return self._response

    @property
    def response_begun(self) -> bool:
        """Whether anything has come of an answer to the last request."""
        return self._response is not None or bool(self._head)

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Go on in TLS, on a connection that a proxy has joined to a server; raises OSError and ssl.SSLError."""
        assert self._transport is not None
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=server_name)
        if transport is None:
            raise ConnectionResetError("the connection was closed within the TLS handshake")
        self.connection_made(transport)

    def close(self) -> None:
        """Drop the connection; a graceful end of TLS would wait for the other side."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(
        self,
        method: str,
        target: bytes,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] | None,
        *,
        idle: float,
    ) -> Head:
        """
        Send a request and return the head of its answer; `body` then gives the answer's body.

        No wait for the other side is longer than `idle` seconds. An answer that comes while the body is still
        being sent ends the sending. What the body's iterator raises is raised as it is.
        """
        head = render_request(method, target, fields)
        assert self._transport is not None
        self.exchanges += 1
        self._method, self._response, self._complete = method, None, False
        self._pieces.clear()
        self._queued = 0
        if not self._reading:
            self._resume()
        try:
            if isinstance(body, bytes) or body is None:
                self._transport.write(head + (body or b""))
                await self._drain(idle)
            else:
                self._transport.write(head)
                self._sent_whole = False
                await self._send(body, idle)
            while self._response is None:
                await self._wait_to_read(idle)
        except BaseException:
            self.close()
            raise
        return self._response

    async def _send(self, body: AsyncIterable[bytes], idle: float) -> None:
        assert self._transport is not None
        try:
            async for piece in body:
                # An answer before the body's end is a refusal; more of the body would only delay it.
                if self._response is not None:
                    return
                self._transport.write(piece)
                await self._drain(idle)
            self._sent_whole = True
        except httpx.WriteError:
            # Why the server takes no more of the body stands in its answer, which may be here in a moment.
            if self._response is None and not self._ended:
                with contextlib.suppress(httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError):
                    await self._wait_to_read(_LAST_WORDS)
            if self._response is None:
                raise

    async def body(self, *, idle: float) -> AsyncIterator[bytes]:
        """Give the pieces of the answer's body, at most PIECE bytes each; raises when it ends early or stalls."""
        while True:
            if self._pieces:
                piece = self._pieces.popleft()
                self._queued -= len(piece)
                if not self._reading and self._queued < _BACKLOG:
                    self._resume()
                yield piece
            elif self._complete:
                return
            else:
                await self._wait_to_read(idle)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (again after STARTTLS through a proxy)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next bytes go."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that have come."""
        data = bytes(memoryview(self._buffer)[:nbytes])
        try:
            self._take(data)
        except MalformedError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))
        _wake(self._reader)

    def eof_received(self) -> None:
        """Note that nothing more will come."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._end(exc)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """Make writers wait."""
        self._writable = False

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable = True
        _wake(self._writer)

    # From bytes to head and body.

    def _take(self, data: bytes) -> None:
        if self._complete:
            raise MalformedError("bytes came that belong to no exchange")
        if self._response is not None:
            self._take_body(data)
            return
        self._head += data
        end = find_head_end(self._head)
        if end < 0:
            if len(self._head) > MAX_HEAD:
                raise MalformedError("the head of the answer is too long")
            return
        head, rest = parse_head(bytes(self._head[:end])), bytes(self._head[end:])
        self._head.clear()
        if head.status < 200:
            # 100 and 103 are followed by the answer itself.
            if rest:
                self._take(rest)
            return
        self._begin(head)
        if rest:
            if self._complete:
                raise MalformedError("the answer has a body where none can be")
            self._take_body(rest)

    def _begin(self, head: Head) -> None:
        self._framing, self._left = framing_of(self._method, head)
        self._chunked = Chunked() if self._framing is Framing.CHUNKED else None
        self._response = head
        self._complete = self._framing is Framing.NONE
        # A connection that only ever carries small answers keeps its small buffer.
        if self._left > _SMALL and len(self._buffer) < PIECE:
            self._buffer = bytearray(PIECE)
        if self._complete:
            self._after_exchange()

    def _take_body(self, data: bytes) -> None:
        if self._chunked is not None:
            for piece in self._chunked.feed(data):
                self._queue(piece)
            self._complete = self._chunked.done
        elif self._framing is Framing.LENGTH:
            if len(data) > self._left:
                raise MalformedError("the body is longer than its Content-Length")
            self._left -= len(data)
            self._queue(data)
            self._complete = self._left == 0
        else:
            self._queue(data)
        if self._complete:
            self._after_exchange()
        elif self._queued >= _BACKLOG and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _after_exchange(self) -> None:
        self.idle_since = self._loop.time()
        assert self._response is not None
        if not self._response.keeps_connection:
            self._ended = True

    def _queue(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._queued += len(piece)

    def _resume(self) -> None:
        self._reading = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Ends and waits.

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        if not self._complete and self._failure is None:
            if self._response is not None and self._framing is Framing.UNTIL_CLOSE and error is None:
                self._complete = True
            else:
                why = str(error) if error else "the connection was closed before the answer was complete"
                self._failure = httpx.ReadError(why) if error else httpx.RemoteProtocolError(why)
        _wake(self._reader)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._ended = True
        self.close()

    async def _wait_to_read(self, seconds: float) -> None:
        """Wait for bytes or an end; raises the failure once all that came before it has been taken."""
        if self._failure is None:
            self._reader = self._loop.create_future()
            try:
                came = await self._within(self._reader, seconds)
            finally:
                self._reader = None
            if not came:
                self.close()
                raise httpx.ReadTimeout(f"nothing came for {seconds:g} s")
        if self._failure is not None and not self._pieces:
            raise self._failure

    async def _drain(self, seconds: float) -> None:
        """Wait until there is room for another piece; raises WriteError and WriteTimeout."""
        if not self._writable and not self._ended:
            self._writer = self._loop.create_future()
            try:
                came = await self._within(self._writer, seconds)
            finally:
                self._writer = None
            if not came:
                raise httpx.WriteTimeout(f"nothing could be sent for {seconds:g} s")
        if self._ended and self._response is None:
            raise httpx.WriteError("the connection was closed while the request was being sent")

    async def _within(self, waiter: asyncio.Future[bool], seconds: float) -> bool:
        """Return whether the waiter was woken within the time."""
        timer = self._loop.call_later(seconds, _wake, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()


def _wake(waiter: asyncio.Future[bool] | None, came: bool = True) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(came)
