"""Reading a blob from the middle (RFC 9110 section 14): what is asked, and whether the answer is it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocync.registry.call import stored_length

if TYPE_CHECKING:
    from ocync.http.message import Headers

_CONTENT_RANGE = re.compile(r"\s*bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\s*", re.ASCII | re.IGNORECASE)


def asking_from(start: int) -> dict[str, str]:
    """Return the fields that ask for all from the byte `start` on; none for the whole."""
    return {"Range": f"bytes={start}-"} if start else {}


def is_rest(headers: Headers, start: int, size: int) -> bool:
    """
    Tell whether a 206 holds exactly the bytes from `start` to the end of a blob of `size` bytes.

    The part of an encoding is not that of the blob; several parts in one body (multipart/byteranges) have no
    Content-Range of their own.
    """
    if (headers.get("content-encoding") or "identity").strip().lower() != "identity":
        return False
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range") or "")
    if match is None or (int(match[1]), int(match[2])) != (start, size - 1) or match[3] not in (str(size), "*"):
        return False
    return stored_length(headers) in (None, size - start)
