"""TLS within TLS, for proxies that are spoken to in TLS themselves: Python can wrap a socket once. No I/O."""

from __future__ import annotations

import contextlib
import ssl

_ROOM = 64 * 1024


class InnerTls:
    """The client's side of a session over memory: the outer session's bytes in, the application's out, and back."""

    def __init__(self, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name, session=session
        )
        self.ended = False
        """Whether nothing more comes: the server has said so, or the session is broken."""
        self.failure: ssl.SSLError | None = None
        """Why the session is broken."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """What another connection to the same server can begin with."""
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
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """Take bytes and return what they say, b"" for a part of a record; raises nothing, see `ended`."""
        self._incoming.write(data)
        records: list[bytes] = []
        try:
            while record := self._object.read(_ROOM):
                records.append(record)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.ended, self.failure = True, error
        return b"".join(records)

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the bytes for the outer session; raises ssl.SSLError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._object.write(rest) :]
        return self._outgoing.read()

    def end(self) -> bytes:
        """Return the bytes that say goodbye."""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()
