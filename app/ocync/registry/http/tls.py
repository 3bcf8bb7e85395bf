"""TLS in memory: encrypts and decrypts, without I/O."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = 16 * 1024
"""The most bytes of one record, unencrypted (RFC 8446 section 5.1)."""
# Bytes given to OpenSSL at once: its buffers never shrink, for each connection.
_FED = 64 * 1024


class MemoryTls:
    """
    The client's side of one session.

    On a socket, OpenSSL reads each record by two system calls, one for its header. Here a system call reads as much
    as there is.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name, session=session
        )
        # Given a buffer it returns the count; typeshed knows only the form without.
        self._read = cast("Callable[[int, memoryview], int]", self._object.read)
        self.ended = False
        """Whether no more data follows: the server has said so, or the session is broken."""
        self.failure: ssl.SSLError | None = None
        """Why the session is broken."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, for other connections to the same server; TLS 1.3 has it after the first answer."""
        return self._object.session

    def shake_hands(self, data: bytes) -> bool:
        """Process bytes of the handshake, and return whether it is complete. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def take_owed(self) -> bytes:
        """Return bytes that the session itself sends: of the handshake, alerts, new keys."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def decrypt(self, data: bytes | memoryview, room: memoryview) -> int:
        """
        Decrypt bytes into `room`, which is longer by two records, and return the number of bytes written.

        A part of a record gives none. An error is not raised, but ends the session: see `ended` and `failure`.
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
        """Return the bytes of close_notify: a session that ends without them can't be resumed."""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()
