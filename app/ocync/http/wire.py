"""
A connected socket on the event loop, with TLS or without: read when somebody asks, in large pieces.

Reading is pulled: what nobody asked for stays in the kernel, whose buffers hold the sender back. So nothing here
is paused, resumed or queued, and a connection's memory is the piece that is on its way. asyncio's transports would
do too, as would TLS over memory; docs/transport.md has what each costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from typing import TYPE_CHECKING, cast

from ocync.http.tunnel import InnerTls

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

PIECE = 256 * 1024
"""Bytes that are read at once, at most."""
# OpenSSL wants to be asked again with the same bytes when the kernel did not take all of them.
_SLICE = 64 * 1024
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class StalledError(Exception):
    """Nothing could be read or written for too long."""


class Scratch:
    """Room that all connections of an event loop share: nothing stays in it from one step to the next."""

    def __init__(self) -> None:
        self.room = memoryview(bytearray(PIECE))


class Wire:
    """
    One connection, used by one task at a time; `sock` is connected and does not block.

    Raises OSError (ssl.SSLError among them) and StalledError. Has to be closed.
    """

    def __init__(self, sock: socket.socket, scratch: Scratch) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._room = scratch.room
        self._tls: ssl.SSLSocket | None = None
        self._inner: InnerTls | None = None
        self._shaking_hands = False
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
        """Whether the end came without the goodbye that TLS has for it."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """What another connection can begin TLS with; TLS 1.3 has it after the first answer."""
        tls = self._inner or self._tls
        return None if tls is None else tls.session

    async def secure(
        self, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None, seconds: float
    ) -> None:
        """Speak TLS from here on; the second time, within the first session. Raises ValueError for a bad name."""
        if self._tls is not None:
            await self._secure_within(InnerTls(context, server_name, session), seconds)
            return
        # An end without a goodbye is an error that can be told from a proper end.
        tls = context.wrap_socket(
            self._sock,
            server_hostname=server_name,
            session=session,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._sock, self._shaking_hands = tls, True
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._wait(seconds)
            except ssl.SSLWantWriteError:
                await self._wait(seconds, writing=True)
        self._tls, self._shaking_hands = tls, False

    async def _secure_within(self, inner: InnerTls, seconds: float) -> None:
        data = b""
        while True:
            try:
                done = inner.shake_hands(data)
            finally:
                # An alert goes out too: the server's log then says why.
                self._transmit(inner.take_owed())
            if done:
                break
            await self._flush(seconds, lambda: False)
            data = await self.receive(seconds)
            if not data:
                raise ConnectionResetError("the connection was closed within the TLS handshake")
        self._inner = inner

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
        return self._pull()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to receive, if only the end, that is in the kernel no more."""
        return self._arrived is not None or self._ended

    def _pull(self) -> bytes | None:
        count = 0 if self._ended else self._read()
        if count and self._inner is not None:
            data = self._inner.decrypt(bytes(self._room[:count]))
            self._transmit_raw(self._inner.take_owed())
            if self._inner.ended:
                self._end(self._inner.failure)
        else:
            data = bytes(self._room[:count])
        if data:
            return data
        if self._receive_failure is not None:
            raise self._receive_failure
        return b"" if self._ended else None

    def _read(self) -> int:
        """Fill the room with what is there and return how much it is; an end or a failure is noted."""
        count = 0
        try:
            if self._tls is None:
                count = self._sock.recv_into(self._room)
                self._drained = count < PIECE
                if not count:
                    self._end(None)
                return count
            # Into a buffer it reads, and returns the count; the types that are published know only the other way.
            read = cast("Callable[[int, memoryview], int]", self._tls.read)
            self._drained = False
            while count < PIECE:
                # A record at a time, of 16 KiB at most.
                record = read(PIECE - count, self._room[count:])
                if not record:
                    self._end(None)
                    break
                count += record
        except _NOT_NOW:
            self._drained = True
        except OSError as error:
            if _is_cut(error):
                self.truncated = True
                self._end(None)
            else:
                self._end(error)
        return count

    def _end(self, failure: OSError | None) -> None:
        self._ended = True
        self._receive_failure = failure
        if self._inner is not None and not self._inner.ended:
            self.truncated = True

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

    def _transmit(self, data: bytes | memoryview) -> None:
        if data and self._send_failure is None:
            self._transmit_raw(data if self._inner is None else self._inner.encrypt(data))

    def _transmit_raw(self, data: bytes | memoryview) -> None:
        if data:
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
        elif self._waiter is None or self.is_ready:
            # Nobody waits for it: it stays in the kernel.
            self._loop.remove_reader(self._fd)
            self._watching = False
        elif self._shaking_hands:
            self._wake()
        else:
            with contextlib.suppress(OSError):
                # A failure is kept, for whoever receives.
                self._arrived = self._pull()
            if self._arrived is not None or self._ended:
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
        if self._tls is not None and not self._unsent and self._send_failure is None:
            # The other side's goodbye is not waited for.
            with contextlib.suppress(OSError, ValueError):
                self._say_goodbye(self._tls)
        self._sock.close()
        self._unsent.clear()
        self._arrived = None
        self._send_failure = ConnectionAbortedError("the connection was closed")
        self._end(self._send_failure)
        self._wake()

    def _say_goodbye(self, tls: ssl.SSLSocket) -> None:
        """Without it OpenSSL takes the session for a bad one, which can't be resumed."""
        if self._inner is not None:
            tls.send(self._inner.end())
        tls.unwrap()


def _is_cut(error: OSError) -> bool:
    """Tell whether TLS ended without saying so; before 3.11.4 Python has no type for that with OpenSSL 3."""
    return isinstance(error, ssl.SSLEOFError) or getattr(error, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"
