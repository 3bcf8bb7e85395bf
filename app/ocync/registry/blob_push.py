"""A blob on its way to a repository: what its requests have in common, whole or in parts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError
from ocync.oci.media import OCTET_STREAM
from ocync.registry.call import stored_length
from ocync.registry.client import stream_time
from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.manifest import Descriptor
    from ocync.registry.auth.scope import Scope
    from ocync.registry.client import Answer, RegistryClient

log = logging.getLogger(__name__)

_CONFLICT = 409
# Bytes per second at which a registry is expected to store what it has received, at least: after the last byte it
# may copy the whole blob within its storage before it answers (distribution does so on S3).
_STORES = 32 * 1024 * 1024


class StoredError(Exception):
    """Another writer was first: the repository holds the blob, and there is nothing left to send."""


class Blob:
    """A blob on its way to a repository: what its requests have in common."""

    def __init__(
        self, client: RegistryClient, repository: str, descriptor: Descriptor, scopes: frozenset[Scope]
    ) -> None:
        self.client = client
        self.repository = repository
        self.descriptor = descriptor
        self.scopes = scopes
        self.name = f"{client.host}/{repository}"
        self.what = f"push blob {descriptor.digest.algorithm}:{descriptor.digest.short} to {self.name}"
        self.path = f"/v2/{repository}/blobs/uploads/"

    async def send(
        self,
        method: str,
        url: str,
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
        answer = await self.client.once(
            Kind.UPLOAD,
            method,
            url,
            what=self.what,
            scopes=self.scopes,
            headers=headers,
            content=content,
            # A part is stored for itself; what commits may have to copy everything.
            seconds=stream_time(length if method == "PATCH" else self.descriptor.size),
            patience=(length if method == "PATCH" else self.descriptor.size) / _STORES,
        )
        if answer.status == _CONFLICT and await self._is_there():
            log.debug("%s: another writer was first", self.what)
            raise StoredError
        return answer

    async def _is_there(self) -> bool:
        """Look for the blob, once: where that can't be told, what was said before the look is the error."""
        path = f"/v2/{self.repository}/blobs/{self.descriptor.digest}"
        try:
            answer = await self.client.once(
                Kind.METADATA, "HEAD", path, what=self.what, scopes=self.scopes, is_timed=True
            )
        except OcyncError as error:
            log.debug("can't tell what is there: %s", error)
            return False
        return answer.status == 200 and stored_length(answer.headers) in (None, self.descriptor.size)
