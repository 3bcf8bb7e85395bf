"""Blobs of one repository: looked for, and read from any byte on (distribution-spec 1.1)."""

from __future__ import annotations

import logging
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from ocync.lib.errors import VerificationError
from ocync.lib.looks import unless_refused
from ocync.registry.call import Call
from ocync.registry.headers import asking_from, content_length, is_rest, stored_length
from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from ocync.oci.manifest import Descriptor
    from ocync.registry.call import Answer
    from ocync.registry.http.pool import Response
    from ocync.registry.repository_api import RepositoryApi

log = logging.getLogger(__name__)

# A HEAD of a blob that is refused for itself. GitLab and others redirect it to a URL that was signed for GET, which
# is 403 (moby/moby#50065).
_REFUSED = frozenset({400, 403, 405, 501})


class BlobReader:
    """The blobs of one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api
        self._client = api.client

    @asynccontextmanager
    async def open(self, descriptor: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """
        Open a blob for one read from the byte `start` on; the caller holds a slot.

        It is always asked for at the registry: where that sends us on to may be signed for minutes only. A part
        that is not the one asked for is not taken; a registry without parts is read from the blob's start, and what
        stands before `start` is not used.
        """
        what = f"fetch blob {descriptor.digest.algorithm}:{descriptor.digest.short} of {self._api.name}"
        if start and not self._client.ignores_ranges:
            async with self._reading(descriptor, start, what) as response:
                if response.status == 206 and is_rest(response.headers, start, descriptor.size):
                    async with aclosing(self._pieces(response, descriptor, what)) as pieces:
                        yield pieces
                    return
                if response.status not in (200, 206, 416):
                    raise await self._client.refusal_of(response, what=what)
                self._client.ignores_ranges = True
                log.info(
                    "%s does not give parts of blobs: what breaks is read again from its start", self._client.host
                )
                if response.status == 200:
                    async with aclosing(self._whole(response, descriptor, start, what)) as pieces:
                        yield pieces
                    return
        async with self._reading(descriptor, 0, what) as response:
            if response.status != 200:
                raise await self._client.refusal_of(response, what=what)
            async with aclosing(self._whole(response, descriptor, start, what)) as pieces:
                yield pieces

    def _reading(self, descriptor: Descriptor, start: int, what: str) -> AbstractAsyncContextManager[Response]:
        return self._client.exchange(
            Call(
                "GET",
                self._api.url(f"blobs/{descriptor.digest}"),
                what,
                self._api.scopes,
                kind=Kind.BLOB,
                headers=asking_from(start),
            )
        )

    def _whole(
        self, response: Response, descriptor: Descriptor, start: int, what: str
    ) -> AsyncGenerator[bytes, None]:
        """Yield a 200 from `start` on; raises VerificationError where it announces another length."""
        length = stored_length(response.headers)
        if length is not None and length != descriptor.size:
            raise _wrong_length(what, length, descriptor.size, self._client.host)
        body = self._pieces(response, descriptor, what)
        return _behind(body, start) if start else body

    def _pieces(self, response: Response, descriptor: Descriptor, what: str) -> AsyncGenerator[bytes, None]:
        """Yield the body of a 200, or of a 206 that has been found to be the part that was asked for."""
        return self._client.body(
            response,
            what=what,
            is_as_stored=response.status == 206 or content_length(response.headers) == descriptor.size,
            is_packed=descriptor.media_type.endswith("gzip"),
        )

    async def has(self, descriptor: Descriptor) -> bool | None:
        """
        Return whether the repository holds the blob; None if the look is refused, which says nothing.

        One of another length is not taken for it.
        """

        def read(answer: Answer) -> bool | None:
            if answer.status != 200:
                return None if answer.status in _REFUSED else False
            self._client.refuse_page(answer)
            length = stored_length(answer.headers)
            return length is None or length == descriptor.size

        call = Call(
            "HEAD",
            self._api.url(f"blobs/{descriptor.digest}"),
            f"look for blob {descriptor.digest.algorithm}:{descriptor.digest.short} at {self._api.name}",
            self._api.scopes,
            expect=frozenset({200, 404}) | _REFUSED,
            is_timed=True,
        )
        return await unless_refused(self._client.request(call, read))


async def _behind(pieces: AsyncGenerator[bytes, None], start: int) -> AsyncGenerator[bytes, None]:
    """Yield what stands behind the first `start` bytes."""
    unused = start
    async with aclosing(pieces):
        async for piece in pieces:
            if unused < len(piece):
                yield piece[unused:]
            unused = max(unused - len(piece), 0)


def _wrong_length(what: str, length: int, size: int, host: str) -> VerificationError:
    return VerificationError(f"can't {what}: {host} announces {length} bytes where {size} are due", host=host)
