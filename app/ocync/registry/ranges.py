"""Reading a blob from the middle (RFC 9110 section 14): what is asked, and whether the answer is it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocync.registry.call import content_length, encoding_of

if TYPE_CHECKING:
    from ocync.registry.http.message import Headers

_CONTENT_RANGE = re.compile(r"\s*bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\s*", re.ASCII | re.IGNORECASE)


def asking_from(start: int) -> dict[str, str]:
    """Return the fields that ask for all from the byte `start` on; none for the whole."""
    return {"Range": f"bytes={start}-"} if start else {}


def is_rest(headers: Headers, start: int, size: int) -> bool:
    """
    Tell whether a 206 holds exactly the bytes from `start` to the end of a blob of `size` bytes.

    The part of an encoding is not that of the blob, and is told by its length: where that of the whole is the
    blob's, an encoding is only said to be there. Several parts in one body (multipart/byteranges) have no
    Content-Range of their own.
    """
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range") or "")
    if match is None or (int(match[1]), int(match[2])) != (start, size - 1):
        return False
    is_whole_known = match[3] == str(size)
    if not is_whole_known and (match[3] != "*" or encoding_of(headers)):
        return False
    return content_length(headers) in (None, size - start)
