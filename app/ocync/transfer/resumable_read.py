"""The read of one blob, resumed where it breaks, in as many requests as that takes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from ocync.lib.errors import NetworkError, OcyncError, UnreachableError, VerificationError
from ocync.lib.limiter import reserve
from ocync.oci.digest import Verifier
from ocync.registry.retry import GIVE_UP_AFTER, STALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.lib.limiter import Lane, Slots
    from ocync.oci.manifest import Descriptor
    from ocync.oci.repository import Repository
    from ocync.registry.retry import RetryPolicy

log = logging.getLogger(__name__)

# A break after this many bytes, or this fraction of the blob, resets the attempts; a source that gives less each
# time counts as dead. The second limit ends reads that break again and again.
_PROGRESS, _PART = 1024 * 1024, 32
_BREAKS, _BYTES_PER_BREAK = 32, 64 * 1024 * 1024
SLOWEST = 16 * 1024
"""Bytes a second: a host that gives or takes less counts as dead. A byte a minute would never time out."""
GRACE = GIVE_UP_AFTER
"""Seconds of waiting over which that counts."""


class Pace:
    """
    The wait for one host to give, or to take, the bytes of one blob.

    In each `seconds` of waiting at least as many bytes must move as the slowest allowed pace gives.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = GRACE if seconds is None else seconds
        self.left = self._seconds
        """Seconds for which nothing may still move."""
        self._moved = 0

    @property
    def spent(self) -> float:
        """Seconds that were waited for what has moved since it began anew."""
        return self._seconds - self.left

    def waited(self, seconds: float, moved: int) -> bool:
        """Count a wait, and the bytes that it was for; return whether enough have moved by now to begin anew."""
        self.left -= seconds
        self._moved += moved
        if self._moved < self._seconds * SLOWEST:
            return False
        self.left, self._moved = self._seconds, 0
        return True


class Breaks(Pace):
    """
    The limits of all reads of one blob together.

    They may break `attempts` times in a row without progress, and more often with it.
    """

    def __init__(self, size: int, attempts: int, slots: Slots | Lane | None = None) -> None:
        """`slots` are those of the reads: they are told of the source's silence, and of its end."""
        super().__init__()
        self._slots = slots
        self._enough = min(_PROGRESS, size // _PART)
        self._attempts = attempts
        self._small = 0
        self._left = _BREAKS + size // _BYTES_PER_BREAK

    def stood_still(self) -> None:
        """Note that the source was waited for in vain."""
        if self._slots is not None:
            self._slots.stood_still()

    def moved(self) -> None:
        """Note that the source gives what it is asked for."""
        if self._slots is not None:
            self._slots.moved()

    def count(self, came: int) -> bool:
        """Count a break after `came` bytes, and return whether the read may be resumed."""
        self._left -= 1
        self._small = 0 if came >= self._enough else self._small + 1
        return self._left >= 0 and self._small < self._attempts


class Reading:
    """
    The pieces of a blob from the byte `start` on; a context manager that closes the connection.

    A break before the first piece is raised: the caller has nothing to lose and can wait without holding a slot.
    Later breaks are resumed after the last byte, as often as the policy allows without progress and `breaks` allows
    with it.
    """

    def __init__(
        self, blob: Descriptor, reader: Repository, *, policy: RetryPolicy, breaks: Breaks, start: int = 0
    ) -> None:
        self.offset = start
        """The offset of the next byte."""
        self.blob = blob
        self.reader = reader
        self._policy = policy
        self._breaks = breaks
        self.exhausted = False
        """Whether it failed because no attempts are left, so that the whole read must not be repeated."""
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
        Return the next piece, b"" at the end; raises OcyncError if it cannot be read.

        A cancelled call loses nothing: the next call resumes the read.
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
            piece = await self._resume(error)
            self.exhausted = False
            return piece

    async def _resume(self, broken: OcyncError) -> bytes:
        log.debug("resuming at byte %d: %s", self.offset, broken)
        # The break counts as the first attempt, and is waited after like any other.
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
            waited = clock() - asked
            self._breaks.waited(waited, 0)
            if isinstance(error, TimeoutError) and limit.expired():
                self._breaks.stood_still()
                raise self._too_slow() from error
            if isinstance(error, NetworkError) and waited >= STALL:
                self._breaks.stood_still()
            raise
        if self._breaks.waited(clock() - asked, len(piece)) or (not piece and self._breaks.spent < STALL):
            self._breaks.moved()
        self.offset += len(piece)
        return piece

    def _too_slow(self) -> UnreachableError:
        host, came = self.reader.host, self.offset - self._start
        return UnreachableError(
            f"can't fetch blob {self.blob.digest}: {host} gives less than {SLOWEST // 1024} KiB a second: "
            f"{came} bytes in all",
            host=host,
        )

    async def close(self) -> None:
        """Close the connection, if there is one."""
        opened, self._opened, self._pieces = self._opened, AsyncExitStack(), None
        await opened.aclose()


async def read_whole(
    blob: Descriptor, reader: Repository, *, policy: RetryPolicy, keep: bool = True, hint_if_wrong: str = ""
) -> bytes:
    """
    Return a blob's verified bytes, read in a slot of its host; b"" unless `keep`.

    Raises OcyncError. Wrong content is read again, unless `hint_if_wrong` is given: then the error is final and has
    that hint.
    """
    breaks, given_up = Breaks(blob.size, policy.attempts, reader.blob_slots), None
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
