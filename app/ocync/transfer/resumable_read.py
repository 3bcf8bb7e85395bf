"""One blob read to its end in as many requests as that takes: what breaks goes on where it broke."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from ocync.lib.errors import OcyncError, UnreachableError, VerificationError
from ocync.lib.limiter import reserve
from ocync.oci.digest import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.manifest import Descriptor
    from ocync.oci.repository import Repository
    from ocync.registry.retry import RetryPolicy

log = logging.getLogger(__name__)

# So many bytes, or such a part of the blob, are worth another connection, and the attempts begin anew with it: who
# gives less each time is as good as dead. The other limit is for those that never come to an end.
_PROGRESS, _PART = 1024 * 1024, 32
_BREAKS, _BYTES_PER_BREAK = 32, 64 * 1024 * 1024
# Who gives less than so many bytes a second, over so many seconds, is as good as dead: a stream that drips a byte a
# minute would never stand still. One connection may stand still for 60 of them, and another one gets the rest.
_SLOWEST = 16 * 1024
_GRACE = 90.0


class Breaks:
    """
    What all reads of one blob may cost together.

    They may break so many times: `attempts` with little between them, and more with much. And as many bytes as the
    slowest pace brings in _GRACE seconds have to come, each time, before so many seconds were waited for them.
    """

    def __init__(self, size: int, attempts: int) -> None:
        self.left = _GRACE
        """Seconds for which a source may still give nothing."""
        self._came = 0
        self._enough = min(_PROGRESS, size // _PART)
        self._attempts = attempts
        self._small = 0
        self._left = _BREAKS + size // _BYTES_PER_BREAK

    def count(self, came: int) -> bool:
        """Count one, before which so many bytes had come, and tell whether going on is allowed."""
        self._left -= 1
        self._small = 0 if came >= self._enough else self._small + 1
        return self._left >= 0 and self._small < self._attempts

    def waited(self, seconds: float, came: int) -> None:
        """Count a wait for bytes, and how many came of it."""
        self.left -= seconds
        self._came += came
        if self._came >= _GRACE * _SLOWEST:
            self.left, self._came = _GRACE, 0


class Reading:
    """
    Gives the pieces of a blob from the byte `start` on; a context manager that closes what is open.

    A break before the first piece is raised as it is: whoever reads has nothing to lose then and can wait without
    holding anything. After that reading goes on behind the last byte that came, as often as the policy allows
    without one more byte, and as `breaks` allows with some.
    """

    def __init__(
        self, blob: Descriptor, reader: Repository, *, policy: RetryPolicy, breaks: Breaks, start: int = 0
    ) -> None:
        self.offset = start
        """Bytes of the blob that have been given, or stood before `start`."""
        self.blob = blob
        self.reader = reader
        self._policy = policy
        self._breaks = breaks
        self.exhausted = False
        """Whether it ended because no more attempts are allowed: not worth reading all of it again."""
        self._start = self._broken_at = start
        self._opened = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    def again(self, start: int) -> Reading:
        """Return another reading of the same blob, from the byte `start` on."""
        return Reading(self.blob, self.reader, policy=self._policy, breaks=self._breaks, start=start)

    async def next(self) -> bytes:
        """
        Return the next piece, b"" at the end; raises OcyncError when that can't be had.

        Who is cancelled in here loses nothing: the next call goes on.
        """
        try:
            return await self._pull()
        except VerificationError:
            raise
        except OcyncError as error:
            if self.offset == self._start:
                raise
            self.exhausted = True
            came, self._broken_at = self.offset - self._broken_at, self.offset
            if not self._breaks.count(came):
                raise
            piece = await self._go_on(error)
            self.exhausted = False
            return piece

    async def _go_on(self, broken: OcyncError) -> bytes:
        log.debug("going on at byte %d: %s", self.offset, broken)
        # What has broken is the first attempt: it is counted, and waited after, like any other.
        failures = [broken]
        async for attempt in self._policy.retrying():
            with attempt:
                if failures:
                    raise failures.pop()
                return await self._pull()
        raise AssertionError("a retry loop ends by returning or raising")

    async def _pull(self) -> bytes:
        clock, piece = asyncio.get_running_loop().time, b""
        asked = clock()
        limit = asyncio.timeout(max(self._breaks.left, 0.0))
        try:
            async with limit:
                if self._pieces is None:
                    self._pieces = await self._opened.enter_async_context(
                        self.reader.blob(self.blob, start=self.offset)
                    )
                piece = await anext(self._pieces, b"")
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError) and limit.expired():
                raise self._too_slow() from error
            raise
        finally:
            self._breaks.waited(clock() - asked, len(piece))
        self.offset += len(piece)
        return piece

    def _too_slow(self) -> UnreachableError:
        host, came = self.reader.host, self.offset - self._start
        return UnreachableError(
            f"can't fetch blob {self.blob.digest}: {host} gives less than {_SLOWEST // 1024} KiB a second: "
            f"{came} bytes in all",
            host=host,
        )

    async def close(self) -> None:
        """Drop the connection, if there is one."""
        opened, self._opened, self._pieces = self._opened, AsyncExitStack(), None
        await opened.aclose()


async def read_whole(
    blob: Descriptor, reader: Repository, *, policy: RetryPolicy, keep: bool = True, hint_if_wrong: str = ""
) -> bytes:
    """
    Read a blob to its end in a slot of its host, and return its verified bytes; b"" where they are not kept.

    Raises OcyncError where that can't be had. Content that is wrong is read again, but where there is a hint for
    that case: then it is final.
    """
    breaks, given_up = Breaks(blob.size, policy.attempts), None
    async for attempt in policy.retrying():
        with attempt:
            reading = Reading(blob, reader, policy=policy, breaks=breaks)
            try:
                async with reserve([reader.blob_slots]), reading:
                    return await _verified(reading, keep=keep)
            except OcyncError as error:
                if isinstance(error, VerificationError) and hint_if_wrong:
                    error.retryable, error.hint = False, hint_if_wrong
                if not reading.exhausted:
                    raise
                given_up = error
        if given_up is not None:
            raise given_up
    raise AssertionError("a retry loop ends by returning or raising")


async def _verified(reading: Reading, *, keep: bool) -> bytes:
    blob, data = reading.blob, bytearray()
    verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=reading.reader.host)
    while piece := await reading.next():
        verifier.update(piece)
        if keep:
            data += piece
    verifier.finish()
    return bytes(data)
