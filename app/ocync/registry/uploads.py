"""Writing blobs: one POST, or POST and PUT, or parts, or a mount (distribution-spec 1.1, "Pushing blobs")."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from ocync.lib import remedies
from ocync.lib.errors import (
    AuthError,
    NetworkError,
    NotFoundError,
    OcyncError,
    ProtocolError,
    RegistryError,
    ServerError,
    UnreachableError,
    VerificationError,
)
from ocync.registry import links
from ocync.registry.auth.scope import Scope
from ocync.registry.blob_push import Blob, StoredError
from ocync.registry.call import Call
from ocync.registry.chunked_upload import ChunkedUpload
from ocync.registry.limits.kinds import Kind
from ocync.registry.upload_strategy import SMALL, Form, UploadStrategy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ocync.oci.manifest import Descriptor
    from ocync.registry.call import Answer
    from ocync.registry.http.origin import Url
    from ocync.registry.repository_api import RepositoryApi

log = logging.getLogger(__name__)

_MOUNTED = 201
# Seconds that the cancelling of a session may take, with the wait for its turn.
_CANCEL_TIME = 10.0
# What a registry says of a session that it has lost or of bytes that it has lost: another session may do.
_NO_SESSION = frozenset({"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN"})
_SPOILT = _NO_SESSION | {"DIGEST_INVALID", "RANGE_INVALID", "SIZE_INVALID"}
# Answers to a PATCH with all bytes that say that it is no way to send a blob.
_NO_PATCH = frozenset({400, 404, 405, 415, 416, 501})
# Answers to one POST with the bytes that say nothing of whether it is taken: of credentials, names and patience.
_NOT_ABOUT_THE_FORM = frozenset({401, 403, 404, 408, 429})


class RegistryUpload:
    """An upload session at a registry: one PUT with the whole blob, or parts where the host wants that."""

    def __init__(self, blob: Blob, location: Url, *, least: int = 0) -> None:
        """`least` is what the host wants parts to have, in bytes."""
        self._blob = blob
        self._location = location
        self._least = least

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all bytes and commit; see `ocync.oci.repository.Upload`. The caller holds a slot."""
        with suppress(StoredError):
            await self._send(pieces)

    async def _send(self, pieces: AsyncIterator[bytes]) -> None:
        strategy, size = self._blob.client.upload_strategy, self._blob.descriptor.size
        part = strategy.part(size, least=self._least)
        if part is None:
            await (self._patch(pieces) if size and strategy.goes_by_patch else self.put(pieces))
            return
        parts = ChunkedUpload(self._blob, self._location, part, least=self._least)
        try:
            rest = await parts.send(pieces)
        finally:
            self._location = parts.location
        await self._commit(rest, len(rest), span=parts.span if rest else None)

    async def put(self, content: bytes | AsyncIterator[bytes]) -> None:
        """Send all bytes in one request and commit."""
        strategy, size = self._blob.client.upload_strategy, self._blob.descriptor.size
        try:
            with nullcontext(content) if isinstance(content, bytes) else _watching(strategy, content) as given:
                await self._commit(given, size)
        except RegistryError as error:
            if error.retryable and _is_of_session(error):
                strategy.put_refused()
            raise
        strategy.whole_arrived(size)
        if size:
            strategy.put_taken()

    async def _patch(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all bytes in one PATCH, as Docker does, and commit."""
        blob, strategy = self._blob, self._blob.client.upload_strategy
        with _watching(strategy, pieces) as given:
            answer = await blob.send("PATCH", self._location, given)
        if answer.status not in (200, 201, 202, 204):
            refusal = blob.client.refusal(answer)
            if answer.status == 413:
                _too_large(blob, refusal, blob.descriptor.size)
            elif answer.status in _NO_PATCH:
                strategy.patch_refused()
                refusal.retryable = True
            raise refusal
        if location := answer.headers.get("location"):
            self._location = links.resolve(location, answer.url, what="the end of an upload", host=blob.client.host)
        await self._commit(b"", 0)
        strategy.whole_arrived(blob.descriptor.size)

    async def _commit(self, content: bytes | AsyncIterator[bytes], length: int, *, span: str | None = None) -> None:
        blob, client = self._blob, self._blob.client
        url = self._location.with_query(f"digest={blob.descriptor.digest}")
        answer = await blob.send("PUT", url, content, length=length, span=span)
        if answer.status not in (200, 201, 202, 204):
            error = client.refusal(answer)
            error.retryable = error.retryable or _is_spoilt(answer.status, error)
            if answer.status == 413:
                _too_large(blob, error, length)
            raise error
        client.refuse_page(answer)

    async def abandon(self) -> None:
        """Cancel the session; many registries do not allow it, and sessions end by themselves."""
        client = self._blob.client
        bucket = client.limits.bucket(Kind.UPLOAD)
        # What only tidies up is not worth waiting for, least of all at the end of a pass.
        if bucket.is_paused:
            return
        try:
            async with asyncio.timeout(_CANCEL_TIME), bucket.hold():
                await client.once(
                    Call(
                        "DELETE",
                        self._location,
                        f"cancel: {self._blob.what}",
                        self._blob.api.scopes,
                        kind=Kind.UPLOAD,
                    )
                )
        except (OcyncError, TimeoutError) as error:
            log.debug("%s", error)


class SinglePost:
    """
    A blob that goes by one POST, without a session.

    A small one goes on by a session where the host does not take it so; of a large one the bytes are gone then, and
    the error says that another upload may do.
    """

    def __init__(self, blob: Blob, *, is_trial: bool) -> None:
        self._blob = blob
        self._is_trial = is_trial
        self._session: RegistryUpload | None = None
        """One that the host has opened instead of taking the bytes, and that is of no use."""

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all bytes and commit; see `ocync.oci.repository.Upload`. The caller holds a slot."""
        with suppress(StoredError):
            await (self._stream(pieces) if self._blob.descriptor.size > SMALL else self._small(pieces))

    async def _small(self, pieces: AsyncIterator[bytes]) -> None:
        failed = False
        try:
            body = b"".join([piece async for piece in pieces])
            if len(body) != self._blob.descriptor.size:
                raise VerificationError(
                    f"can't {self._blob.what}: {len(body)} bytes came where {self._blob.descriptor.size} are due",
                    host=self._blob.client.host,
                )
            failed = True
            await self._replayable(body)
        finally:
            self._end_trial(failed=failed)

    async def abandon(self) -> None:
        """Cancel what may have been opened."""
        self._end_trial()
        if self._session is not None:
            await self._session.abandon()

    async def _replayable(self, body: bytes) -> None:
        strategy, client = self._blob.client.upload_strategy, self._blob.client
        answer = await self._post(body)
        if answer.status == 201:
            strategy.takes_single_post(len(body))
        elif answer.status == 202:
            strategy.refuses_single_post()
            await _opened(self._blob, answer).put(body)
        elif answer.status in (401, 408, 429, 503):
            raise client.refusal(answer)
        else:
            # Whatever it has against such a POST, it may be said of every other one too: the usual way shows that.
            log.debug("not sent by one POST: %s", client.refusal(answer))
            opened = await client.once(self._blob.opening())
            if opened.status != 202:
                raise client.refusal(opened)
            session = _opened(self._blob, opened)
            strategy.refuses_single_post()
            await session.put(body)

    async def _stream(self, pieces: AsyncIterator[bytes]) -> None:
        strategy, client = self._blob.client.upload_strategy, self._blob.client
        size = self._blob.descriptor.size
        with _watching(strategy, pieces, broke=strategy.stream_failed) as given:
            answer = await self._post(given)
        if answer.status == 201:
            strategy.takes_single_post(size)
            strategy.whole_arrived(size)
            return
        error = client.refusal(answer)
        if answer.status == 413:
            _too_large(self._blob, error, size)
        elif answer.status >= 500:
            strategy.stream_failed()
        elif answer.status not in _NOT_ABOUT_THE_FORM:
            strategy.refuses_single_post()
            error.retryable = True
        if answer.status == 202:
            self._session = _opened(self._blob, answer)
        raise error

    async def _post(self, content: bytes | AsyncIterator[bytes]) -> Answer:
        digest = quote(str(self._blob.descriptor.digest), safe=":")
        return await self._blob.send("POST", self._blob.api.url(f"blobs/uploads/?digest={digest}"), content)

    def _end_trial(self, *, failed: bool = False) -> None:
        if self._is_trial:
            self._is_trial = False
            self._blob.client.upload_strategy.trial_ended(failed=failed)


class Watched:
    """Bytes on their way to a host: how many were given, and whether it was their source that failed."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.given = 0
        self.failed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except OcyncError:
            self.failed = True
            raise
        self.given += len(piece)
        return piece


@contextmanager
def _watching(
    strategy: UploadStrategy, pieces: AsyncIterator[bytes], *, broke: Callable[[], None] = lambda: None
) -> Iterator[Watched]:
    """Give the bytes of an upload in one request; if it breaks at the host, record that and call `broke`."""
    watched, began = Watched(pieces), strategy.whole_begins()
    try:
        yield watched
    except NetworkError as error:
        if not watched.failed and not isinstance(error, UnreachableError):
            broke()
            strategy.whole_broke(began, watched.given)
        raise


def _opened(blob: Blob, answer: Answer) -> RegistryUpload:
    """Return the session that an answer has opened; raises ProtocolError where it does not say where it is."""
    location = links.resolve(
        answer.headers.get("location"), answer.url, what="the opening of an upload", host=blob.client.host
    )
    least = answer.headers.get("oci-chunk-min-length") or ""
    return RegistryUpload(blob, location, least=int(least) if re.fullmatch(r"[0-9]{1,15}", least) else 0)


def _too_large(blob: Blob, error: OcyncError, length: int) -> None:
    """Complete the error of a request that was too large: another upload may go in parts."""
    if blob.client.upload_strategy.too_large(length):
        error.retryable = True
    else:
        error.hint = remedies.TOO_LARGE


def _is_of_session(error: RegistryError) -> bool:
    """
    Return whether a PUT was refused as if there were no such session.

    Said of sessions that are lost, and by Artifactory 6 of all that have got no PATCH (docker/buildx#196).
    """
    return error.status in (404, 416) or error.code in _NO_SESSION


def _is_spoilt(status: int, error: OcyncError) -> bool:
    """Return whether only this session is at an end: forgotten by a restart, or by a registry of many."""
    code = error.code if isinstance(error, RegistryError) else None
    return status in (404, 416) or (status == 400 and code in _SPOILT)


async def open_upload(
    api: RepositoryApi, descriptor: Descriptor, *, mount_from: str | None
) -> RegistryUpload | SinglePost | None:
    """Open a session, mount, or promise one POST; see `ocync.oci.repository.TargetRepository.open_upload`."""
    blob = Blob(api, descriptor)
    if mount_from is not None:
        query = f"?mount={quote(str(descriptor.digest), safe=':')}&from={quote(mount_from, safe='/')}"
        mount = blob.opening(query, scopes=frozenset({Scope(mount_from, ("pull",))}))
        try:
            return await _post(blob, replace(mount, expect=frozenset({_MOUNTED, 202})))
        except (AuthError, ProtocolError, NotFoundError, ServerError) as error:
            # Whatever a registry, or its token service, has against a mount: the bytes can still be sent.
            log.debug("mount refused: %s", error)
    form = await api.client.upload_strategy.form(descriptor.size)
    if form is not Form.SESSION:
        return SinglePost(blob, is_trial=form is Form.TRIAL)
    try:
        session = await _post(blob, blob.opening())
    except ProtocolError as error:
        if error.status == HTTPStatus.CONFLICT and await blob.is_there():
            return None
        raise
    if session is None:
        raise ProtocolError(f"{api.name} answered 201 to an upload that has no bytes yet", host=api.client.host)
    return session


async def _post(blob: Blob, call: Call) -> RegistryUpload | None:
    """Return the session, or None when the blob was mounted."""

    def read(answer: Answer) -> RegistryUpload | None:
        return None if answer.status == _MOUNTED else _opened(blob, answer)

    return await blob.client.request(call, read)
