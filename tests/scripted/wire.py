"""HTTP/1.1 as the scripted servers speak it: one request in, one response out, over asyncio streams (RFC 9112)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from scripted.content import Content

PIECE = 256 * 1024
MAX_HEAD = 256 * 1024


class DisconnectError(Exception):
    """Ends the connection at once: with a TCP reset, or with an orderly close that comes too early."""

    def __init__(self, *, reset: bool = True) -> None:
        super().__init__("reset" if reset else "close")
        self.reset = reset


class BadRequestError(Exception):
    """What came is no HTTP/1.1 request."""


class Headers:
    """Header fields in their order; names are compared without regard to case."""

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self.items = list(items)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field."""
        return next((value for key, value in self.items if key.lower() == name.lower()), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for key, value in self.items if key.lower() == name.lower()]

    def set(self, name: str, value: str | None) -> None:
        """Put one value in the place of all there were; None removes the field."""
        self.items = [(key, old) for key, old in self.items if key.lower() != name.lower()]
        if value is not None:
            self.items.append((name, value))

    def add(self, name: str, value: str) -> None:
        """Add one more value."""
        self.items.append((name, value))

    def copy(self) -> Headers:
        """Return an independent copy."""
        return Headers(self.items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


class Body:
    """The body of a request: read once, by Content-Length or in chunks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Headers) -> None:
        self._reader = reader
        self._writer = writer
        self.chunked = (headers.get("transfer-encoding") or "").lower() == "chunked"
        length = headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise BadRequestError(f"Content-Length {length!r}")
        self.length = None if self.chunked else int(length or 0)
        self.received = 0
        self.finished = self.length == 0
        self.awaits_continue = (headers.get("expect") or "").lower() == "100-continue"
        self._chunk_left = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give what has not been read yet; raises DisconnectError when the client goes away before the end."""
        if self.awaits_continue:
            self.awaits_continue = False
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.finished:
            piece = await (self._next_of_chunk() if self.chunked else self._next())
            if piece:
                self.received += len(piece)
                yield piece

    async def read(self, limit: int) -> bytes | None:
        """Return the whole body, or None when it is longer than `limit` bytes."""
        whole = bytearray()
        async for piece in self.pieces():
            whole += piece
            if len(whole) > limit:
                return None
        return bytes(whole)

    async def _next(self) -> bytes:
        left = (self.length or 0) - self.received
        piece = await self._reader.read(min(PIECE, left))
        if not piece:
            raise DisconnectError(reset=False)
        self.finished = len(piece) == left
        return piece

    async def _next_of_chunk(self) -> bytes:
        try:
            if self._chunk_left == 0:
                size = await self._reader.readuntil(b"\r\n")
                self._chunk_left = int(size.split(b";")[0], 16)
                if self._chunk_left == 0:
                    while await self._reader.readuntil(b"\r\n") != b"\r\n":
                        pass
                    self.finished = True
                    return b""
            piece = await self._reader.read(min(PIECE, self._chunk_left))
            if not piece:
                raise DisconnectError(reset=False)
            self._chunk_left -= len(piece)
            if self._chunk_left == 0:
                await self._reader.readexactly(2)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise DisconnectError(reset=False) from error
        return piece


@dataclass(slots=True, kw_only=True)
class Request:
    """A request whose head has been read."""

    method: str
    target: str
    """Path and query exactly as they came."""
    headers: Headers
    body: Body
    scheme: str
    connection: int
    """The number of the connection it came by, from 1."""

    @property
    def raw_path(self) -> str:
        """The path as it came."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.raw_path)

    @property
    def raw_query(self) -> str:
        """The query as it came, without the question mark; empty for none."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's parameters, decoded, in their order."""
        return parse_qsl(self.raw_query, keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        """Return the first value of a parameter of the query."""
        return next((value for key, value in self.query if key == name), None)

    @property
    def host(self) -> str:
        """The Host field: how the client calls this server."""
        return self.headers.get("host") or ""

    @property
    def base(self) -> str:
        """`scheme://host` as the client sees it."""
        return f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a response is put on the wire; the default is as it should be."""

    cut_after: int | None = None
    """Close after so many bytes of the body."""
    reset: bool = False
    """Make that close a reset."""
    stall_after: int | None = None
    """Stand still after so many bytes of the body, for `stall` seconds."""
    stall: float = 0.0
    drip: int | None = None
    """Send the body in pieces of so many bytes, one each `pause` seconds."""
    pause: float = 0.0
    flip_at: int | None = None
    """Invert the lowest bit of the byte at this offset of the body."""
    claim: int = 0
    """Bytes that Content-Length is too high, or too low, by."""
    chunked: bool = False
    """Send the body in chunks, without a Content-Length."""
    hang_up: bool = False
    """Close the connection after the response without having said so."""
    lose: bool = False
    """Do everything but send the response: reset instead."""
    until_close: bool = False
    """Send no Content-Length: the body (if any) ends with the connection."""
    raw: bytes | None = None
    """Send these bytes instead of the response, then close."""


@dataclass(slots=True)
class Response:
    """A response; `body` is empty, bytes, or content that is made while it is sent."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: Content = field(default_factory=lambda: Bytes(b""))
    start: int = 0
    """The first byte of `body` to send."""
    stop: int | None = None
    """The byte to stop before; None for the end."""
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def length(self) -> int:
        """Bytes of the body that are sent."""
        return (self.body.size if self.stop is None else self.stop) - self.start

    def whole(self) -> bytes:
        """Return the body as bytes."""
        return b"".join(bytes(piece) for piece in self.body.pieces(self.start, self.start + self.length))

    def deliver(self, **changes: object) -> Response:
        """Change how it is delivered, and return itself."""
        self.delivery = replace(self.delivery, **changes)  # type: ignore[arg-type]
        return self


def respond(status: int, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Make a response of bytes."""
    return Response(status, Headers(headers), Bytes(body))


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, scheme: str, connection: int
) -> Request | None:
    """Read the head of the next request; None when the client closed instead."""
    first = await reader.read(1)
    if not first:
        return None
    if not first.isalpha() and first not in b"\r\n":
        # Most likely the beginning of TLS, which would never come to a line's end.
        raise BadRequestError("this is not HTTP")
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise BadRequestError("the head was cut") from error
    except asyncio.LimitOverrunError as error:
        raise BadRequestError("the head is too long") from error
    line, *lines = head.decode("latin-1").rstrip("\r\n").lstrip("\r\n").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequestError(f"request line {line[:100]!r}")
    headers = Headers()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(f"header line {line[:100]!r}")
        headers.add(name, value.strip())
    if parts[2] == "HTTP/1.0":
        headers.set("Connection", headers.get("connection") or "close")
    elif "host" not in headers:
        raise BadRequestError("no Host")
    return Request(
        method=parts[0],
        target=parts[1],
        headers=headers,
        body=Body(reader, writer, headers),
        scheme=scheme,
        connection=connection,
    )


def reason(status: int) -> str:
    """Return the words that belong to a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
