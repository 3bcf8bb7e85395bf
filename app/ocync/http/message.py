"""
HTTP/1.1 messages (RFC 9112) as a client needs them: pure, no I/O.

Written here and not taken from h11, because a pass is thousands of small exchanges and gigabytes of bodies:
h11 and the layers above it cost four times the CPU of everything else together (docs/performance.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HEAD = 256 * 1024
"""Bytes of a response's head; upload Locations of some registries are longer than 4 KiB."""
MAX_FIELDS = 500
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_LINE_LIMIT = 16 * 1024


class MalformedError(ValueError):
    """The bytes are no HTTP/1.1 response."""


class Headers:
    """The fields of a head, in order; names compare without regard to case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a field, several joined by commas as RFC 9110 section 5.2 says."""
        values = self.get_list(name)
        return ", ".join(values) if values else default

    def get_list(self, name: str) -> list[str]:
        """Return the values of all fields of the name."""
        name = name.lower()
        return [value for field, value in self._fields if field == name]

    def items(self) -> list[tuple[str, str]]:
        """Return all fields, names in lower case."""
        return list(self._fields)

    def __contains__(self, name: str) -> bool:
        name = name.lower()
        return any(field == name for field, _ in self._fields)

    def __repr__(self) -> str:
        # Values hold tokens and signed URLs.
        return f"<Headers: {', '.join(name for name, _ in self._fields)}>"


@dataclass(frozen=True, slots=True)
class Head:
    """A response's status line and fields."""

    minor: int
    """The x of HTTP/1.x."""
    status: int
    reason: str
    headers: Headers

    @property
    def keeps_connection(self) -> bool:
        """Whether the connection can be used for another exchange after the body (RFC 9112 section 9.3)."""
        options = (self.headers.get("connection") or "").lower()
        return "keep-alive" in options if self.minor == 0 else "close" not in options


def render_request(method: str, target: bytes, fields: Iterable[tuple[str, str]]) -> bytes:
    """
    Return a request's head.

    Raises ValueError for a method, target or field that would break out of its line: nothing that a registry
    or a config says can smuggle a header in.
    """
    if not method.isascii() or not method.isalpha():
        raise ValueError("a method is letters")
    if not target or any(byte <= 0x20 or byte == 0x7F or byte > 0x7E for byte in target):
        raise ValueError("a request target is visible ASCII")
    lines = [method.encode("ascii") + b" " + target + b" HTTP/1.1"]
    for name, value in fields:
        if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise ValueError(f"the header field {name[:40]!r} can't be sent")
        lines.append(f"{name}: {value}".encode("latin-1"))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def find_head_end(data: bytearray) -> int:
    """
    Return where the body begins; -1 when the head is not complete.

    Lines may end in a bare LF (RFC 9112 section 2.2 allows it; Docker Hub's abuse limit is answered so).
    """
    crlf = data.find(b"\r\n\r\n")
    bare = data.find(b"\n\n")
    if bare >= 0 and (crlf < 0 or bare < crlf):
        return bare + 2
    return crlf + 4 if crlf >= 0 else -1


def parse_head(data: bytes) -> Head:
    """Read a complete head; raises MalformedError."""
    lines = data.split(b"\n")
    status = _STATUS_LINE.fullmatch(lines[0].rstrip(b"\r"))
    if status is None:
        raise MalformedError("the answer is not HTTP/1.1")
    fields: list[tuple[str, str]] = []
    for raw in lines[1:]:
        line = raw.rstrip(b"\r").decode("latin-1")
        if not line:
            continue
        if line[0] in " \t":
            # Obsolete folding (RFC 9112 section 5.2): the line goes on with the field before it.
            if not fields:
                raise MalformedError("the head begins with a folded line")
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise MalformedError("the head holds a line that is no field")
        fields.append((name, value.strip(" \t")))
        if len(fields) > MAX_FIELDS:
            raise MalformedError("the head has too many fields")
    reason = (status.group(3) or b"").decode("latin-1")
    return Head(int(status.group(1)), int(status.group(2)), reason, Headers(fields))


class Framing(Enum):
    """How a body's end is told."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


def framing_of(method: str, head: Head) -> tuple[Framing, int]:
    """Return how the body ends, and its length where that is told (RFC 9112 section 6.3); raises MalformedError."""
    if method == "HEAD" or head.status in (204, 304) or (method == "CONNECT" and head.status < 300):
        return Framing.NONE, 0
    codings = [
        c.strip().lower() for v in head.headers.get_list("transfer-encoding") for c in v.split(",") if c.strip()
    ]
    if codings:
        if codings != ["chunked"]:
            raise MalformedError("the body has a transfer coding that is not known")
        return Framing.CHUNKED, 0
    lengths = {part.strip() for value in head.headers.get_list("content-length") for part in value.split(",")}
    if not lengths:
        return Framing.UNTIL_CLOSE, 0
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) < 19):
        raise MalformedError("the body's length is not a number")
    return (Framing.LENGTH, int(length)) if int(length) else (Framing.NONE, 0)


class Chunked:
    """Reads a chunked body (RFC 9112 section 7.1) piece by piece."""

    def __init__(self) -> None:
        self.done = False
        self._line = bytearray()
        self._left = 0
        self._state = "size"

    def feed(self, data: bytes) -> list[bytes]:
        """Return the body's bytes in the data; raises MalformedError. What follows the end is an error too."""
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self.done:
                raise MalformedError("bytes follow the end of a chunked body")
            if self._state == "data":
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = "end"
                continue
            newline = data.find(b"\n", position)
            end = len(data) if newline < 0 else newline + 1
            self._line += data[position:end]
            position = end
            if len(self._line) > _LINE_LIMIT:
                raise MalformedError("a line within a chunked body is too long")
            if newline >= 0:
                line = bytes(self._line).rstrip(b"\r\n")
                self._line.clear()
                self._take(line)
        return pieces

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            size = line.partition(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size):
                raise MalformedError("the size of a chunk is not a number")
            self._left = int(size, 16)
            self._state = "data" if self._left else "trailer"
        elif self._state == "end":
            if line:
                raise MalformedError("a chunk is longer than its size")
            self._state = "size"
        elif not line:
            self.done = True
