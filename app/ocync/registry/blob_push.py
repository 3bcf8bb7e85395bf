"""A blob on its way to a repository: what its requests have in common, whole or in parts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError
from ocync.oci.media import OCTET_STREAM
from ocync.registry.call import Call
from ocync.registry.client import stream_time
from ocync.registry.headers import stored_length
from ocync.registry.limits.kinds import Kind
from ocync.registry.retry import seconds_to_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.manifest import Descriptor
    from ocync.registry.auth.scope import Scope
    from ocync.registry.call import Answer
    from ocync.registry.http.origin import Url
    from ocync.registry.repository_api import RepositoryApi

log = logging.getLogger(__name__)

_CONFLICT = 409


class StoredError(Exception):
    """Another writer was first: the repository holds the blob, and there is nothing left to send."""


class Blob:
    """A blob on its way to a repository: what its requests have in common."""

    def __init__(self, api: RepositoryApi, descriptor: Descriptor) -> None:
        self.api = api
        self.client = api.client
        self.descriptor = descriptor
        self.what = f"push blob {descriptor.digest.algorithm}:{descriptor.digest.short} to {api.name}"

    def opening(self, query: str = "", *, scopes: frozenset[Scope] = frozenset()) -> Call:
        """Return the POST that opens a session or mounts; `scopes` are asked for besides the repository's own."""
        return Call(
            "POST",
            self.api.url(f"blobs/uploads/{query}"),
            f"open an upload at {self.api.name}",
            self.api.scopes | scopes,
            kind=Kind.UPLOAD,
            headers={"Content-Length": "0"},
            expect=frozenset({202}),
        )

    async def send(
        self,
        method: str,
        url: Url,
        content: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        span: str | None = None,
    ) -> Answer:
        """
        Send bytes and return the answer, whatever it is. The caller holds a slot.

        `length` of them are in `content`, or all; `span` is where they stand, as `0-99`. Raises StoredError for a
        conflict (409) about a blob that turns out to be there.
        """
        length = self.descriptor.size if length is None else length
        headers = {"Content-Type": OCTET_STREAM}
        if span is not None:
            # No "bytes ", no total: ACR refuses any other form (dotnet/sdk-container-builds#258).
            headers["Content-Range"] = span
        if not isinstance(content, bytes):
            # Without a length the body would be chunked, which zot ignores and GAR refuses.
            headers["Content-Length"] = str(length)
        # A part is stored for itself; what commits may have to copy everything.
        stored = length if method == "PATCH" else self.descriptor.size
        answer = await self.client.once(
            Call(
                method,
                url,
                self.what,
                self.api.scopes,
                kind=Kind.UPLOAD,
                headers=headers,
                content=content,
                patience=seconds_to_store(stored),
            ),
            seconds=stream_time(stored),
        )
        if answer.status == _CONFLICT and await self.is_there():
            log.debug("%s: another writer was first", self.what)
            raise StoredError
        return answer

    async def is_there(self) -> bool:
        """Look for the blob, once: where that can't be told, what was said before the look is the error."""
        look = Call(
            "HEAD", self.api.url(f"blobs/{self.descriptor.digest}"), self.what, self.api.scopes, is_timed=True
        )
        try:
            answer = await self.client.once(look)
        except OcyncError as error:
            log.debug("can't tell what is there: %s", error)
            return False
        return answer.status == 200 and stored_length(answer.headers) in (None, self.descriptor.size)
