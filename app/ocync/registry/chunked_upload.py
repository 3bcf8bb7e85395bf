"""
A blob in parts: PATCH after PATCH, then an empty PUT (distribution-spec 1.1, "Pushing a blob in chunks").

Only where a host has shown that it does not take the whole in one request. The registry's Range is not asked for as
long as it says that all is well: ECR's stays at the first part (aws/containers-roadmap#2831).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocync.lib import remedies
from ocync.lib.errors import NetworkError, OcyncError, ServerError, UnreachableError, VerificationError
from ocync.registry import links
from ocync.registry.call import Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.registry.blob_push import Blob
    from ocync.registry.call import Answer
    from ocync.registry.http.origin import Url

# Bytes of a part that have come before it broke off, so that it is worth to go on with the rest.
_PROGRESS = 64 * 1024
_TAKEN = (200, 201, 202, 204)
_RANGE = re.compile(r"(?:bytes[= ])?0-(\d{1,18})", re.ASCII)
# GHCR says 416 "the request body is too large and exceeds the maximum permissible limit of 4.00MiB"
# (openai/tart#179).
_TOO_LARGE = re.compile(rb"too large|exceeds the maximum", re.IGNORECASE)


class ChunkedUpload:
    """The parts of one blob on their way into a session; `location` is where the next one goes."""

    def __init__(self, blob: Blob, location: Url, part: int, *, least: int) -> None:
        """Parts have `part` bytes; a last one of less than `least` goes with the PUT."""
        self.location = location
        self._least = least
        self._blob = blob
        self._strategy = blob.client.upload_strategy
        self._part = part
        self._offset = 0
        """Bytes that the session holds."""

    @property
    def span(self) -> str:
        """Where the bytes stand that `send` has left, as Content-Range tells it."""
        return f"{self._offset}-{self._blob.descriptor.size - 1}"

    async def send(self, pieces: AsyncIterator[bytes]) -> bytes:
        """Send all bytes but those that go with the PUT that commits, and return these. The caller holds a slot."""
        size = self._blob.descriptor.size
        rest = b""
        cutter = Cutter(pieces, what=self._blob.what, host=self._blob.client.host)
        with self._strategy.buffer() as is_buffered:
            while self._offset < size:
                length = min(self._part, size - self._offset)
                if length < self._least and self._offset:
                    rest = b"".join([piece async for piece in cutter.next(length)])
                    break
                if is_buffered:
                    await self._repeatable(b"".join([piece async for piece in cutter.next(length)]))
                else:
                    await self._unrepeatable(cutter.next(length), length)
        await cutter.finish()
        return rest

    async def _unrepeatable(self, content: AsyncIterator[bytes], length: int) -> None:
        answer = await self._patch(content, length)
        if answer.status not in _TAKEN:
            if _is_too_large(answer):
                self._strategy.part_too_large(length)
            raise self._refused(answer, retryable=_is_too_large(answer))
        self._taken(answer, length)

    async def _repeatable(self, data: bytes) -> None:
        """
        Send one part; where the registry has lost count, or its answer, go on from what it holds.

        Once, and then as long as that is more each time.
        """
        is_repeated = False
        while data:
            why: OcyncError
            try:
                answer = await self._patch(data, len(data))
            except NetworkError as error:
                if is_repeated or isinstance(error, UnreachableError):
                    raise
                why = error
            else:
                if answer.status in _TAKEN:
                    self._taken(answer, len(data))
                    return
                if _is_too_large(answer):
                    await self._smaller(data, answer)
                    return
                why = self._refused(answer)
                if is_repeated or not (answer.status == 416 or isinstance(why, ServerError)):
                    raise why
            held = await self._held(why) - self._offset
            if not 0 <= held <= len(data):
                why.retryable = True
                raise why
            self._offset += held
            data, is_repeated = data[held:], held < _PROGRESS

    async def _smaller(self, data: bytes, answer: Answer) -> None:
        smaller = self._strategy.part_too_large(len(data))
        if smaller is None:
            raise self._refused(answer)
        self._part = smaller
        while data:
            part, data = data[: self._part], data[self._part :]
            await self._repeatable(part)

    async def _patch(self, content: bytes | AsyncIterator[bytes], length: int) -> Answer:
        return await self._blob.send(
            "PATCH", self.location, content, length=length, span=f"{self._offset}-{self._offset + length - 1}"
        )

    def _taken(self, answer: Answer, length: int) -> None:
        self._offset += length
        self._follow(answer)
        self._strategy.part_arrived()

    def _follow(self, answer: Answer) -> None:
        """Take the newest Location: distribution's holds how far the upload is."""
        location = answer.headers.get("location")
        if location:
            self.location = links.resolve(
                location, answer.url, what="the next part of an upload", host=self._blob.client.host
            )

    async def _held(self, why: OcyncError) -> int:
        """
        Ask how many bytes the session holds; raises `why` where that is not told.

        `0-0` is said of no byte and of one alike, by distribution and zot: it counts as none.
        """
        client = self._blob.client
        try:
            answer = await client.once(Call("GET", self.location, self._blob.what, self._blob.api.scopes))
        except OcyncError as error:
            raise why from error
        told = _RANGE.fullmatch((answer.headers.get("range") or "").strip())
        if answer.status not in (200, 204) or told is None:
            why.retryable = True
            raise why
        self._follow(answer)
        last = int(told.group(1))
        return last + 1 if last else 0

    def _refused(self, answer: Answer, *, retryable: bool = False) -> OcyncError:
        client = self._blob.client
        error = client.refusal(answer)
        if _is_too_large(answer):
            error.hint = remedies.TOO_LARGE
        elif 400 <= answer.status < 500 and answer.status not in (401, 403, 404, 408, 416, 429):
            # Perhaps it takes no parts at all.
            self._strategy.part_refused()
            retryable = True
        error.retryable = error.retryable or retryable or answer.status in (404, 416)
        return error


def _is_too_large(answer: Answer) -> bool:
    return answer.status == 413 or (answer.status == 416 and _TOO_LARGE.search(answer.body) is not None)


class Cutter:
    """Gives bytes that come in pieces of any size by lengths that are asked for."""

    def __init__(self, pieces: AsyncIterator[bytes], *, what: str, host: str) -> None:
        self._pieces = pieces
        self._rest = b""
        self._what = what
        self._host = host

    async def next(self, length: int) -> AsyncIterator[bytes]:
        """Yield the next so many bytes; raises VerificationError where there are fewer."""
        while length > 0:
            piece = self._rest or await self._more()
            if piece is None:
                raise VerificationError(f"can't {self._what}: {length} bytes are missing", host=self._host)
            self._rest = piece[length:]
            if len(piece) > length:
                piece = piece[:length]
            length -= len(piece)
            yield piece

    async def finish(self) -> None:
        """Make sure that nothing is left; raises VerificationError, or what the source ended with."""
        if self._rest or await self._more() is not None:
            raise VerificationError(f"can't {self._what}: there are more bytes than are due", host=self._host)

    async def _more(self) -> bytes | None:
        """Return the next piece that is not empty, or None at the end."""
        async for piece in self._pieces:
            if piece:
                return piece
        return None
