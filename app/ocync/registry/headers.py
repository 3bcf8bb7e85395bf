"""What header fields of answers say of their bodies, and to people. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocync.registry.http.message import Headers

_CONTENT_RANGE = re.compile(r"\s*bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\s*", re.ASCII | re.IGNORECASE)
# Only this form is allowed (distribution-spec 1.1, "Warnings"): code 299, agent "-", no date.
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
MAX_WARNINGS = 4096
"""Bytes of one answer's warnings that are read at most, as the specification allows."""


def encoding_of(headers: Headers) -> str:
    """Return the Content-Encoding, in lower case; empty for none."""
    encoding = (headers.get("content-encoding") or "").strip().lower()
    return "" if encoding == "identity" else encoding


def content_length(headers: Headers) -> int | None:
    """Return Content-Length; None where it is not told."""
    length = headers.get("content-length") or ""
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


def stored_length(headers: Headers) -> int | None:
    """Return Content-Length as the size of what is stored; None where it is not told, or is that of an encoding."""
    return None if encoding_of(headers) else content_length(headers)


def asking_from(start: int) -> dict[str, str]:
    """Return the fields that ask for all from the byte `start` on; none for the whole."""
    return {"Range": f"bytes={start}-"} if start else {}


def is_rest(headers: Headers, start: int, size: int) -> bool:
    """
    Return whether a 206 holds exactly the bytes from `start` to the end of a blob of `size` bytes (RFC 9110, 14).

    The part of an encoding is not that of the blob. Its length tells it: where that of the whole is the blob's, an
    encoding is only said to be there. Several parts in one body (multipart/byteranges) have no Content-Range of
    their own.
    """
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range") or "")
    if match is None or (int(match[1]), int(match[2])) != (start, size - 1):
        return False
    is_whole_known = match[3] == str(size)
    if not is_whole_known and (match[3] != "*" or encoding_of(headers)):
        return False
    return content_length(headers) in (None, size - start)


def warnings(values: Sequence[str]) -> Iterator[str]:
    """Yield the texts of an answer's Warning fields (`299 - "text"`); those of another form are left out."""
    left = MAX_WARNINGS
    for value in values:
        left -= len(value)
        if left < 0:
            return
        for match in _WARNING.finditer(value):
            yield _ESCAPED.sub(r"\1", match.group(1))
