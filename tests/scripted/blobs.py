"""Reading and deleting blobs (distribution-spec 1.1, "Pulling blobs"; RFC 9110, 14 for ranges)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripted.names import check_digest
from scripted.problem import RefusedError
from scripted.wire import Headers, Response, respond

if TYPE_CHECKING:
    from scripted.content import Content
    from scripted.exchange import Exchange
    from scripted.wire import Request


async def handle(exchange: Exchange) -> Response:
    """Answer a request to /v2/NAME/blobs/DIGEST."""
    digest = check_digest(exchange.rest)
    repository = exchange.repository
    content = repository.blobs.get(digest) if repository else None
    if repository is None or content is None:
        raise RefusedError(
            404, "BLOB_UNKNOWN" if repository else "NAME_UNKNOWN", f"no blob {digest} in {exchange.name}"
        )
    if exchange.request.method in ("GET", "HEAD"):
        fields = [("Docker-Content-Digest", digest), ("Etag", f'"{digest}"')]
        return ranged(exchange.request, content, Headers(fields), ranges=exchange.behaviour.ranges)
    if exchange.request.method == "DELETE":
        if not exchange.behaviour.delete:
            raise RefusedError(405, "UNSUPPORTED", "deleting is off")
        del repository.blobs[digest]
        return respond(202)
    raise RefusedError(405, "UNSUPPORTED")


def ranged(request: Request, content: Content, headers: Headers, *, ranges: bool = True) -> Response:
    """Answer with content, or the part of it that Range asks for."""
    headers.set("Content-Type", "application/octet-stream")
    if not ranges:
        return Response(200, headers, content)
    headers.set("Accept-Ranges", "bytes")
    wanted = request.headers.get("range") if request.method == "GET" else None
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted.replace(" ", "")) if wanted else None
    # Several ranges and other units may be ignored.
    if match is None or match[0] == "bytes=-":
        return Response(200, headers, content)
    first, last = match[1], match[2]
    if first:
        start, stop = int(first), min(int(last) + 1 if last else content.size, content.size)
        if last and int(last) < start:
            return Response(200, headers, content)
    else:
        start, stop = max(content.size - int(last), 0), content.size
    if start >= content.size:
        raise RefusedError(416, "RANGE_INVALID", "", [("Content-Range", f"bytes */{content.size}")])
    headers.set("Content-Range", f"bytes {start}-{stop - 1}/{content.size}")
    return Response(206, headers, content, start, stop)
