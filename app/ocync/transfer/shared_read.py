"""
One read of a blob handed to the uploads of several targets, verified on its way.

Nobody drives it: the upload that has sent all that is here reads on, for the others too. So a lone upload reads and
sends in one task, without handing anything over, and when all uploads have ended nothing is read any more.

Uploads stay together within a few pieces, as long as they keep up. One that holds the others up is left behind: it
takes what it lacks from disk, where the others leave it; and where there is no room on disk, from a second read of
the source, which begins behind the last byte that it got. One that comes late joins
where nothing of the blob is gone yet, or all of it is on disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError
from ocync.oci.digest import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ocync.oci.repository import Repository
    from ocync.transfer.resumable_read import Reading
    from ocync.transfer.staging import Spool, Staging

_AHEAD = 2
"""Pieces that the fastest upload may be ahead of the slowest one that keeps up."""
# An upload keeps up while it holds the others up for less than so many seconds of each period. Little, since all
# that are under way wait at once for a target that stands still, and since one that is left behind only goes by the
# disk; not so little that each full buffer or lost packet is one.
_PATIENCE, _PERIOD = 0.25, 2.0
# With each time that it has not kept up a target is waited for less, down to a fraction.
_LESS, _MOST_MISSES = 4, 4
_PIECE = 256 * 1024
# A source is slow that has been waited for longer than this and gives fewer bytes in a second than that.
_SLOW_AFTER, _SLOW_RATE = 2.0, 128 * 1024


class Patience:
    """How long targets are waited for by the others that read the same blobs: those that were late, for less."""

    def __init__(self) -> None:
        self._misses: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Patience: {self._misses}>"

    def of(self, host: str) -> float:
        """Return the seconds that a target host is waited for."""
        return float(_PATIENCE / _LESS ** self._misses.get(host, 0))

    def missed(self, host: str) -> None:
        """Record that a host was waited for in vain."""
        self._misses[host] = min(self._misses.get(host, 0) + 1, _MOST_MISSES)

    def kept_up(self, host: str) -> None:
        """Record that a host was there in time."""
        if misses := self._misses.get(host, 0):
            self._misses[host] = misses - 1


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece, where it stands in the blob, and what the verifier had seen before it."""

    data: bytes
    start: int
    before: Verifier


class SharedRead:
    """
    Pieces of one reading for any number of `Branch`es.

    The last piece is held back until the verifier has seen that all bytes are right. `close` has to be called in
    the end: then nothing is open and nothing on disk any more.
    """

    def __init__(
        self,
        reading: Reading,
        *,
        staging: Staging | None = None,
        patience: Patience | None = None,
        verifier: Verifier | None = None,
        slot_again: Callable[[str], Awaitable[Callable[[], None]]] | None = None,
    ) -> None:
        """`slot_again` takes a slot of the source for one target host, and returns what gives it back."""
        blob = reading.blob
        self.failure: OcyncError | None = None
        """What went wrong with the read: no branch gives anything after it."""
        self.keep = False
        """Whether all of the blob is put on disk, for those that come late; to be set before `begin`."""
        self.gathered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Settled when those are here that come in time."""
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Settled when it holds a slot of the source."""
        self.blob = blob
        self._reading = reading
        self._verifier = verifier or Verifier(
            blob.digest, blob.size, what=f"blob {blob.digest}", host=reading.reader.host
        )
        self._staging = staging
        self._patience = patience or Patience()
        self._slot_again = slot_again or _no_slot
        self._begins_at = _Piece(b"", self._verifier.received, self._verifier.copy())
        self._branches: list[Branch] = []
        """Those that keep up."""
        self._late: list[Branch] = []
        """Those that are left behind, and have no read of their own yet."""
        self._held: _Piece | None = None
        self._ahead: deque[_Piece] = deque()
        self._taken = 0
        """Pieces that all who keep up have taken: those before `_ahead`."""
        self._begun = False
        self._has_read = False
        self._ended = False
        self._closed = False
        self._busy = False
        self._waiting: list[asyncio.Future[None]] = []
        self._timed = False
        self._period_ends = 0.0
        self._spool: Spool | None = None
        self._spooled_from = 0
        self._missing: _Piece | None = None
        """The first piece that did not get into the spool."""
        self._is_unreadable = False
        """Whether the disk did not give back what it had taken."""
        self._readings = [reading]
        self._resources = AsyncExitStack()
        self._resources.push_async_exit(reading)
        self._release_slot: Callable[[], None] | None = None
        self._asked: float | None = None
        """When the source was asked for what has not come yet."""
        self._waited = 0.0
        """Seconds for which the source was waited for."""

    def __repr__(self) -> str:
        return f"<SharedRead of {self.blob.digest}: {len(self._branches)} keep up, {len(self._late)} are late>"

    @property
    def reader(self) -> Repository:
        """Where the blob is read."""
        return self._reading.reader

    @property
    def exhausted(self) -> bool:
        """Whether the failure is one of a read that was tried as often as it may be."""
        return any(reading.exhausted for reading in self._readings)

    @property
    def hosts(self) -> set[str]:
        """The target hosts that take part in it."""
        return {branch.host for branch in (*self._branches, *self._late)}

    @property
    def is_joinable(self) -> bool:
        """Whether another branch gets all of the blob."""
        if self.failure is not None or self._closed:
            return False
        if self._taken == 0:
            return not self._begun or bool(self._branches)
        return self._is_on_disk and (self._ended or bool(self._branches))

    @property
    def _is_on_disk(self) -> bool:
        is_whole = self._spooled_from == self._begins_at.start and self._missing is None
        return self._spool is not None and is_whole and not self._is_unreadable

    @property
    def is_kept(self) -> bool:
        """Whether all of it is on disk."""
        return self._ended and self.failure is None and self._is_on_disk and not self._closed

    @property
    def is_idle(self) -> bool:
        """Whether nobody takes part any more."""
        return not self._branches and not self._late

    def is_slow(self) -> bool:
        """Return whether the source gives next to nothing."""
        now = asyncio.get_running_loop().time()
        waited = self._waited + (now - self._asked if self._asked is not None else 0.0)
        return waited > _SLOW_AFTER + (self._verifier.received - self._begins_at.start) / _SLOW_RATE

    def needs_slot(self, branch: Branch) -> bool:
        """Return whether a slot of the source has to be held before this branch can take part."""
        if self._release_slot is not None or self.failure is not None or self._closed or self._ended:
            return False
        # One that has to read again takes a slot of its own.
        return branch not in self._late or not self._must_read_again(branch)

    def hold(self, release: Callable[[], None]) -> None:
        """Take a slot of the source over; `release` gives it back when nobody reads any more."""
        self._release_slot = release
        _settle(self.taken)

    def join(self, host: str) -> Branch:
        """Return another consumer of all pieces, for a target host; only where it `is_joinable`."""
        branch = Branch(self, host)
        if self._taken == 0:
            self._branches.append(branch)
        else:
            branch.behind = self._begins_at
            self._late.append(branch)
        return branch

    async def begin(self, branch: Branch) -> None:
        """
        Ensure that the first piece is here, so that it can be sent; raises OcyncError when it can't be had.

        The branch has a slot of its target from now on, and reads for the others too.
        """
        branch.is_active = True
        while not self._begun or (self._busy and not self._has_read):
            if self._begun:
                await self._change()
                continue
            self._begun = True
            await self._begin_keeping()
            await self._read()
        if self.failure is not None:
            raise self.failure

    async def _begin_keeping(self) -> None:
        if not self.keep or self._staging is None:
            return
        self._busy = True
        try:
            self._spool = await self._staging.open(self.blob.size - self._begins_at.start)
            self._spooled_from = self._begins_at.start
            if self._spool is not None:
                self._resources.callback(self._spool.close)
        finally:
            self._busy = False

    async def close(self) -> None:
        """Close what is open."""
        self._closed = True
        try:
            await self._resources.aclose()
        finally:
            self._settle_slot()

    def _settle_slot(self) -> None:
        """Give the source's slot back where nobody reads any more, and nothing is left in memory."""
        if self._release_slot is None:
            return
        is_read = self._ended or self.failure is not None
        is_wanted = any(branch.is_active and not branch.is_alone for branch in (*self._branches, *self._late))
        if self._closed or not is_wanted or (is_read and not (self._ahead and self._branches)):
            release, self._release_slot = self._release_slot, None
            self.taken = asyncio.get_running_loop().create_future()
            release()

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

    async def leave(self, branch: Branch) -> None:
        """
        Hand nothing more to a branch: nobody waits for it any longer.

        Where no other has a slot of its target, the connection is dropped: who comes to it goes on where that was.
        """
        others = [each for each in (*self._branches, *self._late) if each is not branch]
        rest, branch.rest = branch.rest, None
        try:
            if rest is not None:
                await rest.close()
            if not any(each.is_active and not each.is_alone for each in others):
                await self._reading.close()
        finally:
            branch.is_active = False
            release, branch.release = branch.release, _nothing
            release()
            if branch in self._branches:
                self._branches.remove(branch)
                self._drop()
            elif branch in self._late:
                self._late.remove(branch)
            self._tell()

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
        clock = asyncio.get_running_loop().time
        self._asked = asked = clock()
        try:
            try:
                data = await self._reading.next()
            finally:
                self._asked = None
                self._waited += clock() - asked
            start = self._verifier.received
            # Copied only where somebody may have to go on from there, or may still join.
            is_alone = len(self._branches) <= 1 and self._spool is None and self._taken > 0
            before = self._verifier if is_alone else self._verifier.copy()
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
            self._has_read = True
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
            await self._change(max(self._left(branch) for branch in slow))
        finally:
            self._timed = False
            self._tell()
        for branch in slow:
            branch.held_up += clock() - started
        # Who has caught up or left meanwhile holds nobody up.
        is_late = any(self._left(branch) <= 0 for branch in self._slowest())
        if is_late and not self._busy:
            await self._leave_behind()

    def _left(self, branch: Branch) -> float:
        """Return for how many seconds a branch may still hold the others up in this period."""
        return self._patience.of(branch.host) - branch.held_up

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
            self._patience.missed(branch.host)
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
        try:
            return await self._spool.read(at, _PIECE)
        except OcyncError:
            # Another attempt of this upload is to read at the source.
            self._is_unreadable = True
            raise

    # The second read.

    def _must_read_again(self, branch: Branch) -> bool:
        """Return whether the disk will never have the next piece of a branch that is left behind."""
        if self._spool is None or branch.offset < self._spooled_from:
            return True
        return self._missing is not None and branch.offset >= self._missing.start

    async def _begin_second_read(self, branch: Branch) -> None:
        """Let a branch go on by a read of its own, which needs a slot of the source too."""
        first = branch.behind
        if self._missing is not None and branch.offset == self._missing.start:
            first = self._missing
        assert first is not None
        assert first.start == branch.offset
        branch.is_alone = True
        self._settle_slot()
        branch.release = await self._slot_again(branch.host)
        reading = self._reading.again(first.start)
        self._readings.append(reading)
        branch.rest = SharedRead(reading, verifier=first.before.copy()).join(branch.host)

    async def _from_second_read(self, branch: Branch) -> bytes:
        assert branch.rest is not None
        data = await branch.rest.next()
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
        self._settle_slot()
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            _settle(change)


def _nothing() -> None:
    """Give back no slot."""


async def _no_slot(_place: str) -> Callable[[], None]:
    return _nothing


def _settle(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)


class Branch:
    """What one upload gets of a SharedRead."""

    def __init__(self, whole: SharedRead, host: str) -> None:
        self.host = host
        """The host that it is sent to."""
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
        self.is_active = False
        """Whether it has a slot of its target."""
        self.is_alone = False
        """Whether it goes on by a read of its own."""
        self.release: Callable[[], None] = _nothing
        """Gives the slot back that it has for that."""
        self._whole = whole

    async def next(self) -> bytes:
        """Return the next piece, b"" at the end of the blob; raises the failure of the read, if there is one."""
        return await self._whole.next(self)

    async def pieces(self, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Yield the pieces as an upload's body."""
        while piece := await self.next():
            moved(len(piece))
            yield piece

    async def leave(self) -> None:
        """Take nothing more."""
        await self._whole.leave(self)

    async def close(self) -> None:
        """Close all of the read."""
        await self._whole.close()
