"""One TLS session over memory: the wire's bytes in, the application's bytes out, and back. No I/O."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# What OpenSSL keeps for a session grows with what it is fed at once, and is not given back before the end.
_FEED = 64 * 1024


class Tls:
    """
    The client's side of a session; raises ssl.SSLError.

    asyncio has one of its own (`asyncio.sslproto`). This one needs no buffers per connection, resumes sessions, and
    tells a proper end (close_notify) from a connection that was cut.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name, session=session
        )
        # Into a buffer it reads, and returns the count; the types that are published know only the other way.
        self._read = cast("Callable[[int, memoryview], int]", self._object.read)
        self.ended = False
        """Whether nothing more comes: the server has said so, or the session is broken."""
        self.failure: ssl.SSLError | None = None
        """Why the session is broken."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """What another connection to the same server can begin with; TLS 1.3 has it after the first answer."""
        return self._object.session

    @property
    def resumed(self) -> bool:
        """Whether the session given was taken up."""
        return bool(self._object.session_reused)

    def shake_hands(self, data: bytes) -> bool:
        """Take bytes of the handshake; returns whether it is over. What is owed to the server is in `take_owed`."""
        self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def take_owed(self) -> bytes:
        """Return bytes that the session itself has to send: of the handshake, alerts, new keys."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def decrypt(self, data: bytes | memoryview, room: memoryview) -> bytes:
        """
        Take bytes of the wire and return what they say; `room` is longer than the bytes by a record (16 KiB).

        Raises nothing: see `ended`.
        """
        filled = 0
        try:
            for start in range(0, len(data), _FEED):
                self._incoming.write(data[start : start + _FEED])
                try:
                    while count := self._read(len(room) - filled, room[filled:]):
                        filled += count
                    self.ended = True
                    break
                except ssl.SSLWantReadError:
                    continue
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            # What came before it counts.
            self.ended, self.failure = True, error
        return bytes(room[:filled])

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the bytes for the wire."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._object.write(rest) :]
        return self._outgoing.read()

    def end(self) -> bytes:
        """
        Return the bytes that say goodbye (close_notify).

        Without them OpenSSL takes the session for a bad one, and it can't be resumed.
        """
        # The other side's goodbye is not waited for.
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()
