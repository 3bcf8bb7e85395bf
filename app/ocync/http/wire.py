"""
A connected socket on the event loop: read when somebody asks, in large pieces, through any number of TLS layers.

Reading is pulled: what nobody asked for stays in the kernel, whose buffers hold the sender back. So nothing here
is paused, resumed or queued, and a connection's memory is the piece that is on its way. asyncio's transports would
do too; docs/transport.md has what both cost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from ocync.http.tls import Tls

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

PIECE = 256 * 1024
"""Bytes that are read at once, at most; a TLS record may come on top."""
_RECORD = 16 * 1024 + 512
# What is encrypted at once; the rest of a piece waits unencrypted.
_SLICE = 64 * 1024


class StalledError(Exception):
    """Nothing could be read or written for too long."""


class Scratch:
    """Room that all connections of an event loop share: nothing stays in it from one step to the next."""

    def __init__(self) -> None:
        self.received = memoryview(bytearray(PIECE))
        self.decrypted = memoryview(bytearray(PIECE + 2 * _RECORD))


class Wire:
    """
    One connection, used by one task at a time; `sock` is connected and does not block.

    Raises OSError (ssl.SSLError among them) and StalledError. Has to be closed.
    """

    def __init__(self, sock: socket.socket, scratch: Scratch) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._scratch = scratch
        self._layers: list[Tls] = []
        self._arrived: bytes | None = None
        self._receive_failure: OSError | None = None
        self._unsent: deque[memoryview] = deque()
        self._send_failure: OSError | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._watching = False
        self._on_unasked: Callable[[], None] | None = None
        self._drained = True
        self.closed = False
        self.truncated = False
        """Whether the end came without the goodbye that TLS has for it."""

    @property
    def tls(self) -> Tls | None:
        """The innermost TLS session, where there is one."""
        return self._layers[-1] if self._layers else None

    async def secure(
        self, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None, seconds: float
    ) -> None:
        """Speak TLS from here on."""
        layer = Tls(context, server_name, session)
        data = b""
        while True:
            try:
                done = layer.shake_hands(data)
            finally:
                # An alert goes out too: the server's log then says why.
                self._transmit(layer.take_owed())
            if done:
                break
            await self._flush(seconds, lambda: False)
            data = await self.receive(seconds)
            if not data:
                raise ConnectionResetError("the connection was closed within the TLS handshake")
        self._layers.append(layer)

    # Reading.

    async def receive(self, seconds: float) -> bytes:
        """Return the next bytes, b"" at the end."""
        if not self._drained and (data := self.receive_nowait()) is not None:
            # A source that is always ready must not keep the loop from everybody else.
            await asyncio.sleep(0)
            return data
        while True:
            if not self.is_ready:
                await self._wait(seconds)
            if (data := self.receive_nowait()) is not None:
                return data

    def receive_nowait(self) -> bytes | None:
        """Return the next bytes, b"" at the end, None where nothing has come."""
        if self._arrived is not None:
            data, self._arrived = self._arrived, None
            return data
        if self._receive_failure is not None:
            raise self._receive_failure
        return self._pull()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to receive, if only the end, that is in the kernel no more."""
        return (
            self._arrived is not None
            or self._receive_failure is not None
            or bool(self._layers and self._layers[-1].ended)
        )

    def _pull(self) -> bytes | None:
        layers = self._layers
        if layers and layers[-1].ended:
            return self._end(layers[-1])
        try:
            count = self._sock.recv_into(self._scratch.received)
        except (BlockingIOError, InterruptedError):
            self._drained = True
            return None
        # Then the kernel has no more, most likely; asking it once more is left to the loop.
        self._drained = 0 < count < PIECE
        if not count:
            # A session that was broken from below knows it by now.
            self.truncated = bool(layers)
            return b""
        data: bytes | memoryview = self._scratch.received[:count]
        for layer in layers:
            data = layer.decrypt(data, self._scratch.decrypted)
            self._transmit(layer.take_owed(), layer)
        if layers and not data:
            return self._end(layers[-1]) if layers[-1].ended else None
        return bytes(data)

    def _end(self, layer: Tls) -> bytes:
        if layer.failure is not None:
            raise layer.failure
        return b""

    # Writing.

    async def send(
        self, data: bytes | memoryview, seconds: float, is_answered: Callable[[], bool] = lambda: False
    ) -> bool:
        """
        Hand all bytes to the kernel, which holds us back while the other side does not take them.

        When something comes meanwhile, `is_answered` says whether that makes the rest needless: returns False then.
        After an error what has come can still be received.
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

    def _transmit(self, data: bytes | memoryview, below: Tls | None = None) -> None:
        """Encrypt and send what the kernel takes: by all layers, or only by those below one of them."""
        if not data or self._send_failure is not None:
            return
        layers = self._layers if below is None else self._layers[: self._layers.index(below)]
        for layer in reversed(layers):
            data = layer.encrypt(data)
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
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._unsent.clear()
            self._send_failure = error

    # Waiting.

    def watch(self, on_unasked: Callable[[], None] | None) -> None:
        """Have a function called when something comes, or ends, while nobody waits for anything; None ends that."""
        self._on_unasked = on_unasked
        if on_unasked is not None:
            self._watch()

    def _watch(self) -> None:
        if not self._watching and not self.closed:
            self._loop.add_reader(self._fd, self._on_readable)
            self._watching = True

    async def _wait(self, seconds: float, *, writing: bool = False) -> None:
        """Wait until bytes have come, or until all have gone when there are any to send."""
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
            return
        if self._waiter is None or self.is_ready:
            # Nobody waits for it: it stays in the kernel.
            self._loop.remove_reader(self._fd)
            self._watching = False
            return
        try:
            self._arrived = self._pull()
        except OSError as error:
            self._receive_failure = error
        if self._arrived is not None or self._receive_failure is not None:
            self._wake()

    def _on_writable(self) -> None:
        self._push()
        if not self._unsent:
            self._wake()

    # The end.

    def close(self) -> None:
        """Drop the connection, with a goodbye where that takes no waiting; whoever waits gets an error."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        if not self._unsent and self._send_failure is None:
            with contextlib.suppress(OSError):
                self._say_goodbye()
        self._sock.close()
        self._unsent.clear()
        self._arrived = None
        self._receive_failure = self._send_failure = ConnectionAbortedError("the connection was closed")
        self._wake()

    def _say_goodbye(self) -> None:
        data = b""
        for layer in reversed(self._layers):
            data = (layer.encrypt(data) if data else b"") + layer.end()
        if data:
            self._sock.send(data)
