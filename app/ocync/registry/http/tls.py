"""TLS over memory: what came from below in, what the application sends out, and back. No I/O."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = 16 * 1024
"""Bytes of one record at the most, unencrypted (RFC 8446 section 5.1)."""
# OpenSSL keeps the room that once was needed, for each connection.
_FED = 64 * 1024


class MemoryTls:
    """
    The client's side of one session.

    OpenSSL would read and write the socket record by record, and ask for each record's five bytes first; this way a
    system call moves as much as there is.
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

    def shake_hands(self, data: bytes) -> bool:
        """Take bytes of the handshake; returns whether it is over. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def take_owed(self) -> bytes:
        """Return bytes that the session itself has to send: of the handshake, alerts, new keys."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def decrypt(self, data: bytes | memoryview, room: memoryview) -> int:
        """
        Take bytes and write what they say into `room`, which is longer by two records; returns how much that is.

        Nothing for a part of a record. Raises nothing, see `ended`.
        """
        rest, count = memoryview(data), 0
        while rest and not self.ended:
            self._incoming.write(rest[:_FED])
            rest = rest[_FED:]
            try:
                while got := self._read(len(room) - count, room[count:]):
                    count += got
                self.ended = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.ended = True
            except ssl.SSLError as error:
                self.ended, self.failure = True, error
        return count

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the bytes to send; raises ssl.SSLError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._object.write(rest) :]
        return self._outgoing.read()

    def end(self) -> bytes:
        """Return the bytes that say goodbye: a session that ends without them can not be resumed."""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()
