"""One HTTP/1.1 connection: one exchange at a time, bodies in pieces, a time limit for every wait."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx

from ocync.registry.http.message import Chunked, Framing, HeadReader, MalformedError, framing_of, is_ambiguous
from ocync.registry.http.socket_errors import reason
from ocync.registry.http.stream import StalledError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from ocync.registry.http.message import Head, Request
    from ocync.registry.http.stream import Wire

# Seconds to wait, after a body could not be sent, for an answer that says why.
_LAST_WORDS = 1.0
# Seconds for which an idle connection can be used again; most servers close theirs after 60 to 75.
_KEPT = 55.0
# Bytes of an unread body, already received, that are cheaper to read than a new connection is to make.
_SKIMMED = 64 * 1024
# Informational answers (1xx) to one request. A slow registry may send several; an endless series is an error.
_MOST_HINTS = 200
# Bytes of a body that is sent in one piece with the head.
_SMALL = 16 * 1024


class Connection:
    """
    One exchange at a time: `exchange`, then `read` until it returns b"". While `idle` is true, another may follow.

    Raises errors of httpx: ReadTimeout, WriteTimeout, ReadError, WriteError, RemoteProtocolError,
    LocalProtocolError. After any of them, and after a cancellation, the connection is closed.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._reader = HeadReader()
        self._method = ""
        self._response: Head | None = None
        self._hints = 0
        self._framing = Framing.NONE
        self._left = 0
        self._chunked = Chunked()
        self._here = b""
        self._complete = True
        self._sent_whole = True
        self._spoilt = False
        self._kept = _KEPT
        self._kept_until = 0.0
        self.exchanges = 0
        self.body_begun = False
        """Whether a part of the last request's body was read from its iterator."""

    def __repr__(self) -> str:
        state = "closed" if self.closed else "idle" if self.idle else "busy"
        return f"<Connection {state}, {self.exchanges} exchanges>"

    @property
    def closed(self) -> bool:
        """Whether the connection was closed on this side."""
        return self._wire.closed

    @property
    def idle(self) -> bool:
        """Whether the last exchange is complete in both directions, and another one may follow."""
        return self._complete and self._sent_whole and not self._spoilt and not self.closed

    @property
    def response_begun(self) -> bool:
        """Whether a part of the answer to the last request has been received."""
        return self._response is not None or self._reader.begun

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """The TLS session, for other connections to the same server."""
        return self._wire.session

    def is_expired(self) -> bool:
        """Return whether the server is likely to close the idle connection soon."""
        return self._loop.time() >= self._kept_until

    def is_alive(self) -> bool:
        """Return whether the other side keeps an idle connection open; bytes that nobody requested end it too."""
        try:
            return self.idle and self._wire.receive_nowait() is None
        except OSError:
            return False

    def rest(self) -> None:
        """Watch the idle connection until the next exchange, and close it as soon as the other side does."""
        self._wire.watch(self._on_unasked)

    def _on_unasked(self) -> None:
        if not self.is_alive():
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    # The request.

    async def exchange(self, request: Request, *, idle: float, patience: float = 0.0) -> Head:
        """
        Send a request and return the head of its answer; `read` then gives the answer's body.

        No wait for the other side is longer than `idle` seconds, or `idle` and `patience` for the answer. An answer
        that comes while the body is being sent ends the sending. Errors of the body's iterator are not changed.
        """
        self._prepare(request)
        try:
            await self._send(request, idle)
            while self._response is None:
                self._take(await self._receive(idle + patience))
        except MalformedError as error:
            self.close()
            raise httpx.RemoteProtocolError(str(error)) from error
        except BaseException:
            self.close()
            raise
        return self._response

    def _prepare(self, request: Request) -> None:
        self._wire.watch(None)
        self.exchanges += 1
        self._method = request.method
        self._response = None
        self._hints = 0
        self._complete = self._sent_whole = self.body_begun = False

    async def _send(self, request: Request, idle: float) -> None:
        body = request.body
        if body is None or isinstance(body, bytes):
            first = request.head + body if body and len(body) <= _SMALL else request.head
            if not await self._write(first, idle):
                return
            if body and len(body) > _SMALL and not await self._write(body, idle):
                return
            self._sent_whole = True
        elif await self._write(request.head, idle):
            await self._send_stream(body, request.length, idle)

    async def _send_stream(self, body: AsyncIterable[bytes], length: int, idle: float) -> None:
        left = length
        pieces = aiter(body)
        try:
            async for piece in pieces:
                self.body_begun = True
                left -= len(piece)
                if left < 0:
                    raise httpx.LocalProtocolError("the body is longer than its Content-Length")
                if not await self._write(piece, idle):
                    return
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        if left:
            raise httpx.LocalProtocolError(f"the body ended {left} bytes before its Content-Length")
        self._sent_whole = True

    async def _write(self, data: bytes, idle: float) -> bool:
        """Send the data; return False if an answer comes before the body's end, so that the rest is not sent."""
        try:
            if self.body_begun and self._is_answered():
                return False
            return await self._wire.send(data, idle, self._is_answered)
        except StalledError as error:
            raise httpx.WriteTimeout(f"nothing could be sent for {idle:g} s") from error
        except OSError as error:
            cause = await self._last_words() or error
            if self._response is not None:
                return False
            raise httpx.WriteError(f"the request could not be sent: {reason(cause)}") from error

    async def _last_words(self) -> ssl.SSLError | None:
        """
        Receive the answer that says why the server has closed the connection, if it comes within a moment.

        Returns the TLS alert that came instead.
        """
        try:
            async with asyncio.timeout(_LAST_WORDS):
                while self._response is None:
                    self._take(await self._wire.receive(_LAST_WORDS))
        except ssl.SSLError as alert:
            return alert
        except (OSError, StalledError, httpx.RemoteProtocolError):
            pass
        return None

    def _is_answered(self) -> bool:
        """Receive what has come, and return whether there is an answer."""
        while self._response is None and (data := self._wire.receive_nowait()) is not None:
            if not data:
                raise ConnectionResetError("the connection was closed by the other side")
            self._take(data)
        return self._response is not None

    # The answer.

    def _take(self, data: bytes) -> None:
        """Parse bytes of the answer's head; raises MalformedError, and httpx.RemoteProtocolError at the end."""
        if not data:
            raise httpx.RemoteProtocolError("the connection was closed before the answer was complete")
        while (found := self._reader.feed(data)) is not None:
            head, data = found
            if head.status == 101:
                raise MalformedError("the answer goes over to another protocol")
            if head.status >= 200:
                self._begin(head, data)
                return
            # 100 and 103 are followed by the answer itself.
            self._hints += 1
            if self._hints > _MOST_HINTS:
                raise MalformedError("too many hints come before the answer")
            if not data:
                return

    def _begin(self, head: Head, rest: bytes) -> None:
        self._framing, self._left = framing_of(self._method, head)
        self._response = head
        self._spoilt = not head.keeps_connection or is_ambiguous(head)
        self._kept = _KEPT if head.keep_alive is None else min(_KEPT, head.keep_alive - 1)
        self._here = rest
        if self._framing is Framing.CHUNKED:
            self._chunked = Chunked()
        elif self._framing is Framing.NONE:
            # A body where none is allowed (some servers send one in the answer to a HEAD) is not read.
            self._finish(rest)

    def _finish(self, excess: bytes) -> None:
        self._here = b""
        self._complete = True
        # TLS may have ended at the same time; nothing would show that later.
        self._spoilt = self._spoilt or bool(excess) or self._wire.is_ready
        self._kept_until = self._loop.time() + self._kept

    async def read(self, *, idle: float) -> bytes:
        """Return the next piece of the answer's body, b"" at its end; raises if it ends early or stalls."""
        try:
            while not self._complete:
                data, self._here = self._here or await self._receive(idle), b""
                piece = self._take_body(data)
                if piece:
                    return piece
        except MalformedError as error:
            self.close()
            raise httpx.RemoteProtocolError(str(error)) from error
        except BaseException:
            self.close()
            raise
        return b""

    def skim(self) -> None:
        """Read the rest of the body if it is small and already received, so that the connection can be reused."""
        budget = _SKIMMED
        try:
            while not self._complete and budget > 0 and not self._spoilt and not self.closed:
                data, self._here = self._here or self._wire.receive_nowait(), b""
                if data is None:
                    return
                budget -= len(data)
                self._take_body(data)
        except (OSError, MalformedError, httpx.RemoteProtocolError):
            self.close()

    def _take_body(self, data: bytes) -> bytes:
        """Return the bytes of the body in the data, which is b"" at the end of the connection."""
        if not data:
            self._end_body()
            return b""
        if self._framing is Framing.LENGTH:
            self._left -= len(data)
            if self._left < 0:
                raise MalformedError("the body is longer than its Content-Length")
            if not self._left:
                self._finish(b"")
            return data
        if self._framing is Framing.CHUNKED:
            piece = self._chunked.feed(data)
            if self._chunked.done:
                self._finish(self._chunked.rest)
            return piece
        return data

    def _end_body(self) -> None:
        if self._framing is not Framing.UNTIL_CLOSE:
            missing = f"{self._left} bytes " if self._framing is Framing.LENGTH else ""
            raise httpx.RemoteProtocolError(f"the connection was closed {missing}before the end of the body")
        if self._wire.truncated:
            raise httpx.RemoteProtocolError("the connection was cut: TLS did not end, so the body may not be whole")
        self._spoilt = True
        self._finish(b"")

    async def _receive(self, idle: float) -> bytes:
        try:
            return await self._wire.receive(idle)
        except StalledError as error:
            raise httpx.ReadTimeout(f"nothing came for {idle:.3g} s") from error
        except OSError as error:
            raise httpx.ReadError(f"the connection broke: {reason(error)}") from error
