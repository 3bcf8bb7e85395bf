"""
A connected socket on the event loop, with TLS or without, read on demand in large pieces.

Data that was not requested stays in the kernel, whose buffers slow down the sender. So nothing here is paused,
resumed or queued, and a connection needs the memory of one piece. docs/transport.md compares the cost of asyncio's
transports and of OpenSSL on the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from typing import TYPE_CHECKING

from ocync.registry.http.tls import RECORD, MemoryTls

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

PIECE = 256 * 1024
"""The most bytes that are read at once."""
# Bytes that are encrypted at once: those that the kernel does not accept stay in memory, for each connection.
_SLICE = 64 * 1024
_NOT_NOW = (BlockingIOError, InterruptedError)


class StalledError(Exception):
    """Nothing could be read or written for too long."""


class Scratch:
    """Buffers that all connections of an event loop share: they hold nothing between two steps of the loop."""

    def __init__(self) -> None:
        self.room = memoryview(bytearray(PIECE))
        self.plain = memoryview(bytearray(PIECE + 2 * RECORD))
        """For decrypted data, with room for a record that began in an earlier piece."""


class Wire:
    """
    One connection, used by one task at a time; `sock` is connected and non-blocking.

    Raises OSError (also ssl.SSLError) and StalledError. The caller has to close it.
    """

    def __init__(self, sock: socket.socket, scratch: Scratch) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._scratch = scratch
        self._tls: list[MemoryTls] = []
        self._arrived: bytes | None = None
        self._ended = False
        self._receive_failure: OSError | None = None
        self._drained = True
        self._unsent: deque[memoryview] = deque()
        self._send_failure: OSError | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._watching = False
        self._on_unasked: Callable[[], None] | None = None
        self.closed = False
        self.truncated = False
        """Whether the connection ended without TLS's close_notify."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session, for other connections; TLS 1.3 has it after the first answer."""
        return self._tls[-1].session if self._tls else None

    async def secure(
        self, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None, seconds: float
    ) -> None:
        """Start TLS; a second call starts it within the first session. Raises ValueError for a bad name."""
        tls = MemoryTls(context, server_name, session)
        data = b""
        while True:
            try:
                done = tls.shake_hands(data)
            finally:
                # An alert is sent too, so that the server's log says why.
                self._transmit(tls.take_owed())
            await self._flush(seconds, lambda: False)
            if done:
                break
            data = await self.receive(seconds)
            if not data:
                raise ConnectionResetError("the connection was closed within the TLS handshake")
        self._tls.append(tls)

    # Reading.

    async def receive(self, seconds: float) -> bytes:
        """Return the next bytes, b"" at the end."""
        if not self._drained and (data := self.receive_nowait()) is not None:
            # A source that is always ready must not block the event loop.
            await asyncio.sleep(0)
            return data
        while True:
            if not self.is_ready:
                await self._wait(seconds)
            if (data := self.receive_nowait()) is not None:
                return data

    def receive_nowait(self) -> bytes | None:
        """Return the next bytes, b"" at the end, None if there are none yet."""
        if self._arrived is not None:
            data, self._arrived = self._arrived, None
            return data
        return self._pull()

    @property
    def is_ready(self) -> bool:
        """Whether data, or the end, has been read from the kernel and not been received yet."""
        return self._arrived is not None or self._ended

    def _pull(self) -> bytes | None:
        data = b"" if self._ended else self._read()
        if data:
            return data
        if self._receive_failure is not None:
            raise self._receive_failure
        return b"" if self._ended else None

    def _read(self) -> bytes:
        """Return what the kernel has, and record an end or a failure."""
        room = self._scratch.room
        try:
            count = self._sock.recv_into(room)
        except _NOT_NOW:
            self._drained = True
            return b""
        except OSError as error:
            self._end(error)
            return b""
        self._drained = count < PIECE
        if not count:
            self._end(None)
        data: bytes | memoryview = room[:count]
        for depth, tls in enumerate(self._tls):
            # Copied, because an inner session or another connection uses the buffer next.
            data = bytes(self._scratch.plain[: tls.decrypt(data, self._scratch.plain)])
            self._transmit(tls.take_owed(), depth)
            if tls.ended:
                self._end(tls.failure)
        return bytes(data)

    def _end(self, failure: OSError | None) -> None:
        self._ended = True
        self._receive_failure = self._receive_failure or failure
        self.truncated = not all(tls.ended for tls in self._tls)

    # Writing.

    async def send(
        self, data: bytes | memoryview, seconds: float, is_answered: Callable[[], bool] = lambda: False
    ) -> bool:
        """
        Send all bytes, as fast as the other side accepts them, and return True.

        When data comes meanwhile and `is_answered` returns True, the rest is not sent and the result is False.
        After an error, data that has come can still be received.
        """
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            self._transmit(view[start : start + _SLICE])
            if not await self._flush(seconds, is_answered):
                return False
        return True

    async def _flush(self, seconds: float, is_answered: Callable[[], bool]) -> bool:
        while self._unsent:
            await self._wait(seconds, writing=True)
            if self.is_ready and is_answered():
                return False
        if self._send_failure is not None:
            raise self._send_failure
        return True

    def _transmit(self, data: bytes | memoryview, depth: int | None = None) -> None:
        """Send bytes through all sessions, or through the outer ones alone."""
        if not data or self._send_failure is not None:
            return
        try:
            for tls in reversed(self._tls[:depth]):
                data = tls.encrypt(data)
        except ssl.SSLError as error:
            self._send_failure = error
            return
        self._unsent.append(memoryview(data))
        self._push()

    def _push(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent[0])
                if sent == len(self._unsent[0]):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = self._unsent[0][sent:]
        except _NOT_NOW:
            pass
        except OSError as error:
            self._unsent.clear()
            self._send_failure = error

    # Waiting.

    def watch(self, on_unasked: Callable[[], None] | None) -> None:
        """Call a function when data or the end comes while no task waits for it; None stops that."""
        self._on_unasked = on_unasked
        if on_unasked is not None:
            self._watch()

    def _watch(self) -> None:
        if not self._watching and not self.closed:
            self._loop.add_reader(self._fd, self._on_readable)
            self._watching = True

    async def _wait(self, seconds: float, *, writing: bool = False) -> None:
        """Wait until data has come or, when writing, until all has been sent."""
        self._watch()
        if writing:
            self._loop.add_writer(self._fd, self._on_writable)
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake, False)
        try:
            came = await self._waiter
        finally:
            self._waiter = None
            timer.cancel()
            if writing and not self.closed:
                self._loop.remove_writer(self._fd)
        if not came:
            raise StalledError

    def _wake(self, came: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(came)

    def _on_readable(self) -> None:
        if self._waiter is None and self._on_unasked is not None:
            self._on_unasked()
        elif self._waiter is None or self.is_ready:
            # No task waits for it: it stays in the kernel.
            self._loop.remove_reader(self._fd)
            self._watching = False
        else:
            with contextlib.suppress(OSError):
                # The failure is raised by the next receive.
                self._arrived = self._pull()
            if self._arrived is not None or self._ended:
                self._wake()

    def _on_writable(self) -> None:
        self._push()
        if not self._unsent:
            self._wake()

    # The end.

    def close(self) -> None:
        """Close the connection, with close_notify if that needs no waiting; a task that waits gets an error."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        if not self._unsent:
            # The other side's close_notify is not waited for.
            for depth, tls in reversed(list(enumerate(self._tls))):
                self._transmit(tls.end(), depth)
        self._sock.close()
        self._unsent.clear()
        self._arrived = None
        self._send_failure = ConnectionAbortedError("the connection was closed")
        self._end(self._send_failure)
        self._wake()
