"""
HTTP/1.1 messages (RFC 9112) for a client. Pure.

h11 is too slow for thousands of small exchanges and gigabytes of bodies: docs/transport.md has figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Sequence

MAX_HEAD = 256 * 1024
"""Bytes of a response's head; upload Locations of some registries are longer than 4 KiB."""
MAX_FIELDS = 500
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r]*))?", re.ASCII)
_BEGINNING = b"HTTP/1."
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_SENT_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")
# Lines may end in a bare LF (RFC 9112 section 2.2 allows it; Docker Hub's abuse limit is answered so).
_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LINE_LIMIT = 16 * 1024


class MalformedError(ValueError):
    """The bytes are no HTTP/1.1 response."""


@lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    # Cached: there are few names, and they come with every message.
    return _TOKEN.fullmatch(text) is not None


class Headers:
    """The fields of a head, in order; names are case-insensitive."""

    __slots__ = ("_fields", "_values")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]
        self._values: dict[str, list[str]] = {}
        for name, value in self._fields:
            if name in self._values:
                self._values[name].append(value)
            else:
                self._values[name] = [value]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a field, several joined by commas as RFC 9110 section 5.2 says."""
        values = self._values.get(name.lower())
        return ", ".join(values) if values else default

    def get_list(self, name: str) -> list[str]:
        """Return the values of all fields of the name."""
        return self._values.get(name.lower(), [])[:]

    def members(self, name: str) -> list[str]:
        """Return the members of a list field (RFC 9110 section 5.6.1), in lower case."""
        values = self._values.get(name.lower(), ())
        found = [part.strip().lower() for value in values for part in value.split(",")]
        return [part for part in found if part]

    def items(self) -> list[tuple[str, str]]:
        """Return all fields, names in lower case."""
        return list(self._fields)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

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
        options = self.headers.members("connection")
        return "close" not in options and (self.minor == 1 or "keep-alive" in options)

    @property
    def keep_alive(self) -> float | None:
        """Seconds for which the server keeps an idle connection, if it says so (`Keep-Alive: timeout=5`)."""
        for parameter in self.headers.members("keep-alive"):
            name, _, value = parameter.partition("=")
            if name.strip() == "timeout" and value.strip().isascii() and value.strip().isdigit():
                return float(value.strip()[:9])
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """A rendered request; `length` is that of the body."""

    method: str
    head: bytes
    body: bytes | AsyncIterable[bytes] | None
    length: int

    @property
    def is_replayable(self) -> bool:
        """Whether the body can be sent again: a stream can't."""
        return self.body is None or isinstance(self.body, bytes)


def render_request(
    method: str, target: bytes, fields: Sequence[tuple[str, str]], body: bytes | AsyncIterable[bytes] | None
) -> Request:
    """
    Return a request; a body of bytes gets a Content-Length if the fields have none, a stream must come with one.

    Raises ValueError for a method, target or field that would break out of its line, and for a Content-Length that
    is not the body's: no value of a registry or a config can smuggle in a header or a request.
    """
    if not method.isascii() or not method.isalpha():
        raise ValueError("a method is letters")
    if not _TARGET.fullmatch(target):
        raise ValueError("a request target is visible ASCII")
    lines = [f"{method} {target.decode('ascii')} HTTP/1.1"]
    told: list[str] = []
    for name, value in fields:
        if not _is_name(name) or not _SENT_VALUE.fullmatch(value):
            raise ValueError(f"the header field {name[:40]!r} can't be sent")
        lowered = name.lower()
        if lowered == "transfer-encoding":
            raise ValueError("bodies are sent with their length, not in chunks")
        if lowered == "content-length":
            told.append(value)
        lines.append(f"{name}: {value}")
    length = _length_to_send(told, body)
    if body and not told:
        lines.append(f"Content-Length: {length}")
    return Request(method, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body, length)


def _length_to_send(told: list[str], body: bytes | AsyncIterable[bytes] | None) -> int:
    if len(told) > 1 or any(not _is_length(value) for value in told):
        raise ValueError("a request has one Content-Length, a number")
    if body is None or isinstance(body, bytes):
        length = len(body or b"")
        if told and int(told[0]) != length:
            raise ValueError("the Content-Length is not that of the body")
        return length
    if not told:
        raise ValueError("a body that is a stream needs a Content-Length")
    return int(told[0])


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


class HeadReader:
    """Collects bytes until a head is whole."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def begun(self) -> bool:
        """Whether a part of a head has been fed."""
        return bool(self._data)

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Add bytes, and return the head and the bytes behind it once it is complete. Raises MalformedError."""
        if self._data:
            # The end may begin in the earlier bytes.
            seen = max(len(self._data) - 2, 0)
            self._data += data
            data = b""
            end = _HEAD_END.search(self._data, seen)
        else:
            seen = 0
            end = _HEAD_END.search(data)
        whole = self._data or data
        # Raised early: a server of another protocol may wait for an answer in turn.
        if whole[: len(_BEGINNING)] != _BEGINNING[: len(whole)]:
            raise MalformedError("the answer is not HTTP/1.1")
        if (end.end() if end else len(whole)) > MAX_HEAD:
            raise MalformedError("the head of the answer is too long")
        if end is None:
            if not self._data:
                self._data += data
            return None
        head, rest = parse_head(bytes(whole[: end.end()])), bytes(whole[end.end() :])
        self._data.clear()
        return head, rest


def parse_head(data: bytes) -> Head:
    """Parse a complete head; raises MalformedError."""
    lines = data.decode("latin-1").split("\n")
    status = _STATUS_LINE.fullmatch(lines[0].removesuffix("\r"))
    if status is None:
        raise MalformedError("the answer is not HTTP/1.1")
    fields: list[tuple[str, str]] = []
    for raw in lines[1:]:
        line = raw.removesuffix("\r")
        if not line:
            continue
        if "\r" in line or "\0" in line:
            raise MalformedError("the head holds a control character")
        if line[0] in " \t":
            # Obsolete folding (RFC 9112 section 5.2): the line goes on with the field before it.
            if not fields:
                raise MalformedError("the head begins with a folded line")
            name, value = fields[-1]
            more = line.strip(" \t")
            fields[-1] = (name, f"{value} {more}".strip(" \t"))
            continue
        name, colon, value = line.partition(":")
        if not colon or not _is_name(name):
            raise MalformedError("the head holds a line that is no field")
        fields.append((name, value.strip(" \t")))
        if len(fields) > MAX_FIELDS:
            raise MalformedError("the head has too many fields")
    return Head(int(status.group(1)), int(status.group(2)), status.group(3) or "", Headers(fields))


class Framing(Enum):
    """How the end of a body is marked."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


def framing_of(method: str, head: Head) -> tuple[Framing, int]:
    """Return the framing of the body and its length if known (RFC 9112 section 6.3); raises MalformedError."""
    if method == "HEAD" or head.status in (204, 304) or (method == "CONNECT" and head.status < 300):
        return Framing.NONE, 0
    if "transfer-encoding" in head.headers:
        # A Content-Length beside it does not count, though a proxy may have used it: see is_ambiguous.
        if head.headers.members("transfer-encoding") != ["chunked"]:
            raise MalformedError("the body has a transfer coding that is not known")
        return Framing.CHUNKED, 0
    if "content-length" not in head.headers:
        return Framing.UNTIL_CLOSE, 0
    lengths = {part.strip() for value in head.headers.get_list("content-length") for part in value.split(",")}
    length = lengths.pop()
    if lengths or not _is_length(length):
        raise MalformedError("the body's length is not a number")
    return (Framing.LENGTH, int(length)) if int(length) else (Framing.NONE, 0)


def is_ambiguous(head: Head) -> bool:
    """Return whether two parsers could find different ends of the body, so that the connection can't be reused."""
    return "transfer-encoding" in head.headers and (head.minor == 0 or "content-length" in head.headers)


class Chunked:
    """Parses a chunked body (RFC 9112 section 7.1) in pieces; trailers are dropped."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        """What followed the end of the body."""
        self._line = bytearray()
        self._left = 0
        self._state = "size"
        self._lines = 0

    def feed(self, data: bytes) -> bytes:
        """Return the body's bytes in the data; raises MalformedError."""
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self.done:
                self.rest = data[position:]
                break
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
        return b"".join(pieces)

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            size = line.partition(b";")[0].strip(b" \t")
            if not _CHUNK_SIZE.fullmatch(size):
                raise MalformedError("the size of a chunk is not a number")
            self._left = int(size, 16)
            self._state = "data" if self._left else "trailer"
        elif self._state == "end":
            if line:
                raise MalformedError("a chunk is longer than its size")
            self._state = "size"
        elif line:
            self._lines += 1
            if self._lines > MAX_FIELDS:
                raise MalformedError("a chunked body has too many trailers")
        else:
            self.done = True
