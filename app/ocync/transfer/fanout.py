"""
One read handed to several uploads, verified on its way.

Nobody drives it: the upload that has sent all that is here reads on, for the others too. So a lone upload reads and
sends in one task, without handing anything over, and when all uploads have ended nothing is read any more.

Uploads stay together within a few pieces, as long as they keep up. One that holds the others up is left behind: it
takes what it lacks from disk, where the others leave it; and where there is no room on disk, from a second read of
the source, which begins behind the last byte that it got, once the first one is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ocync.errors import OcyncError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.oci.digest import Verifier
    from ocync.transfer.reading import Reading
    from ocync.transfer.staging import Spool, Staging

_AHEAD = 2
"""Pieces that the fastest upload may be ahead of the slowest one that keeps up."""
# An upload keeps up while it holds the others up for less than so many seconds of each period. Short enough that a
# target that stands still costs the others little, long enough that a pause (a full buffer, a lost packet, the
# collection of a registry's garbage) is none of anybody's business.
_PATIENCE, _PERIOD = 2.0, 8.0
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece, where it stands in the blob, and what the verifier had seen before it."""

    data: bytes
    start: int
    before: Verifier


class FanOut:
    """
    Pieces of one reading for any number of `Branch`es; all are made before the first of them is read.

    The last piece is held back until the verifier has seen that all bytes are right. A context manager: at its end
    nothing is open and nothing on disk any more.
    """

    def __init__(self, reading: Reading, verifier: Verifier, staging: Staging | None = None) -> None:
        self.failure: OcyncError | None = None
        """What went wrong with the read: no branch gives anything after it."""
        self._reading = reading
        self._verifier = verifier
        self._staging = staging
        self._branches: list[Branch] = []
        """Those that keep up."""
        self._late: list[Branch] = []
        """Those that are left behind, and have no read of their own yet."""
        self._held: _Piece | None = None
        self._ahead: deque[_Piece] = deque()
        self._taken = 0
        """Pieces that all who keep up have taken: those before `_ahead`."""
        self._ended = False
        self._busy = False
        self._waiting: list[asyncio.Future[None]] = []
        self._timed = False
        self._period_ends = 0.0
        self._spool: Spool | None = None
        self._spooled_from = 0
        self._missing: _Piece | None = None
        """The first piece that did not get into the spool."""
        self._second_read = asyncio.Lock()
        self._readings = [reading]
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self._reading)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._resources.aclose()

    @property
    def exhausted(self) -> bool:
        """Whether the failure is one of a read that was tried as often as it may be."""
        return any(reading.exhausted for reading in self._readings)

    def branch(self) -> Branch:
        """Return another consumer of all pieces."""
        branch = Branch(self)
        self._branches.append(branch)
        return branch

    async def begin(self) -> None:
        """Read the first piece; raises OcyncError when it can't be had."""
        await self._read()
        if self.failure is not None:
            raise self.failure

    # What the branches ask.

    async def next(self, branch: Branch) -> bytes:
        """Return the branch's next piece, b"" at the end of the blob; raises the failure, where there is one."""
        while True:
            if branch.rest is not None:
                return await self._from_second_read(branch)
            data = await self._staged(branch) if branch.behind is not None else self._here(branch)
            if data:
                branch.offset += len(data)
                return data
            if self.failure is not None:
                raise self.failure
            if branch.behind is not None and self._must_read_again(branch):
                await self._begin_second_read(branch)
            elif self._ended:
                return b""
            elif self._busy:
                await self._change()
            elif len(self._ahead) < _AHEAD:
                await self._read()
            else:
                await self._wait_for_the_slowest()

    def leave(self, branch: Branch) -> None:
        """Hand nothing more to a branch: nobody waits for it any longer."""
        if branch in self._branches:
            self._branches.remove(branch)
            self._drop()
            self._tell()
        elif branch in self._late:
            self._late.remove(branch)
            self._tell()
        if branch.rest is not None:
            branch.rest = None
            self._second_read.release()

    def _here(self, branch: Branch) -> bytes:
        """Return the piece that has been read and not taken by this branch, if there is one."""
        if branch.taken - self._taken >= len(self._ahead):
            return b""
        piece = self._ahead[branch.taken - self._taken]
        branch.taken += 1
        self._drop()
        return piece.data

    def _drop(self) -> None:
        """Forget what all have taken."""
        first = min((branch.taken for branch in self._branches), default=self._taken + len(self._ahead))
        if first > self._taken:
            for _ in range(first - self._taken):
                self._ahead.popleft()
            self._taken = first
            self._tell()

    # Reading.

    async def _read(self) -> None:
        self._busy = True
        try:
            data = await self._reading.next()
            start = self._verifier.received
            # Copied only where somebody may have to go on from there.
            before = self._verifier.copy() if len(self._branches) > 1 or self._spool else self._verifier
            if data:
                self._verifier.update(data)
            else:
                self._verifier.finish()
            held, self._held = self._held, _Piece(data, start, before) if data else None
            if held is not None:
                await self._release(held)
            self._ended = not data
        except OcyncError as error:
            self.failure = error
        finally:
            self._busy = False
            self._tell()

    async def _release(self, piece: _Piece) -> None:
        """Let the branches have a piece: those that keep up from memory, the others from disk."""
        if self._branches:
            self._ahead.append(piece)
        else:
            self._taken += 1
        if self._spool is not None:
            await self._stage(piece, self._spool)

    # Branches that are left behind.

    async def _wait_for_the_slowest(self) -> None:
        """Wait until there is room, and leave behind who makes us wait for too long."""
        if self._timed:
            # One keeps the time for all who wait.
            await self._change()
            return
        clock = asyncio.get_running_loop().time
        started = clock()
        if started >= self._period_ends:
            self._period_ends = started + _PERIOD
            for branch in self._branches:
                branch.held_up = 0.0
        slow = self._slowest()
        self._timed = True
        try:
            await self._change(_PATIENCE - max(branch.held_up for branch in slow))
        finally:
            self._timed = False
            self._tell()
        for branch in slow:
            branch.held_up += clock() - started
        # Who has caught up or left meanwhile holds nobody up.
        is_late = any(branch.held_up >= _PATIENCE for branch in self._slowest())
        if is_late and not self._busy:
            await self._leave_behind()

    def _slowest(self) -> list[Branch]:
        """Return those for whom pieces are kept that others have taken."""
        return [branch for branch in self._branches if self._ahead and branch.taken == self._taken]

    async def _leave_behind(self) -> None:
        """Let all who have taken the least go on by themselves."""
        if self._spool is None and self._staging is not None:
            self._busy = True
            try:
                await self._begin_spool(self._staging)
            finally:
                self._busy = False
                self._tell()
        for branch in self._slowest():
            branch.behind = self._ahead[0]
            self._branches.remove(branch)
            self._late.append(branch)
        self._drop()
        self._tell()

    async def _begin_spool(self, staging: Staging) -> None:
        # A branch may take one of them while the disk is waited for: it is in the spool all the same.
        pieces = list(self._ahead)
        spool = await staging.open(self._reading.blob.size - pieces[0].start)
        if spool is None:
            return
        self._resources.callback(spool.close)
        self._spool, self._spooled_from = spool, pieces[0].start
        for piece in pieces:
            await self._stage(piece, spool)

    async def _stage(self, piece: _Piece, spool: Spool) -> None:
        if self._missing is not None:
            return
        is_there = False
        try:
            is_there = await spool.append(piece.data)
        finally:
            # Not before it is known, for branches look at it meanwhile; and that may also be cut off.
            if not is_there:
                self._missing = piece

    async def _staged(self, branch: Branch) -> bytes:
        """Return what the disk has for a branch at this moment."""
        at = branch.offset - self._spooled_from
        if self._spool is None or not 0 <= at < self._spool.length:
            return b""
        return await self._spool.read(at, _PIECE)

    # The second read.

    def _must_read_again(self, branch: Branch) -> bool:
        """Tell whether the disk will never have the next piece of a branch that is left behind."""
        if self._spool is None or branch.offset < self._spooled_from:
            return True
        return self._missing is not None and branch.offset >= self._missing.start

    async def _begin_second_read(self, branch: Branch) -> None:
        """Wait for the first read to end, whose slot this one has then, and for other second reads."""
        while not self._ended and self.failure is None:
            is_wanted = self._branches or not all(map(self._must_read_again, self._late))
            if not is_wanted and not self._busy:
                await self._reading.close()
                break
            await self._change()
        await self._second_read.acquire()
        try:
            if self.failure is not None:
                raise self.failure
            first = branch.behind
            if self._missing is not None and branch.offset == self._missing.start:
                first = self._missing
            assert first is not None
            assert first.start == branch.offset
            reading = self._reading.again(first.start)
            self._readings.append(reading)
            again = await self._resources.enter_async_context(FanOut(reading, first.before.copy()))
        except BaseException:
            self._second_read.release()
            raise
        branch.rest = again.branch()
        self._late.remove(branch)

    async def _from_second_read(self, branch: Branch) -> bytes:
        assert branch.rest is not None
        try:
            data = await branch.rest.next()
        except OcyncError as error:
            self.failure = error
            raise
        branch.offset += len(data)
        return data

    # Waiting.

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until something has changed, or for so many seconds."""
        loop = asyncio.get_running_loop()
        change: asyncio.Future[None] = loop.create_future()
        self._waiting.append(change)
        timer = None if seconds is None else loop.call_later(seconds, _settle, change)
        try:
            await change
        finally:
            if timer is not None:
                timer.cancel()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            _settle(change)


def _settle(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)


class Branch:
    """What one upload gets of a FanOut."""

    def __init__(self, whole: FanOut) -> None:
        self.taken = 0
        """Pieces that were given from memory."""
        self.offset = 0
        """Bytes that were given."""
        self.held_up = 0.0
        """Seconds for which the others waited for this one, in this period."""
        self.behind: _Piece | None = None
        """The first piece that this one did not get with the others."""
        self.rest: Branch | None = None
        """Its part of the second read."""
        self._whole = whole

    async def next(self) -> bytes:
        """Return the next piece, b"" at the end of the blob; raises the failure of the read, if there is one."""
        return await self._whole.next(self)

    async def pieces(self, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Give the pieces as an upload's body."""
        while piece := await self.next():
            moved(len(piece))
            yield piece

    def leave(self) -> None:
        """Take nothing more."""
        self._whole.leave(self)
