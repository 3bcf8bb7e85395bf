"""
One read of a blob that feeds the uploads of several targets, and verifies the blob on its way.

No task of its own drives it: the upload that has sent everything read so far reads the next piece, for the others
too. A lone upload therefore reads and sends in one task, and nothing is read when all uploads have ended.

Uploads stay within a few pieces of each other as long as they keep up. One that delays the others is left behind:
it takes the rest from disk, where the read stores it, or, if the disk has no room, from a second read of the source
that begins at its first missing byte. A late upload can join while no piece has been dropped, or if the whole blob
is on disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError
from ocync.oci.digest import Verifier
from ocync.transfer.staged_blob import Piece, StagedBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ocync.oci.repository import Repository
    from ocync.transfer.resumable_read import Reading
    from ocync.transfer.staging import Staging

_AHEAD = 2
"""Pieces that the fastest upload may be ahead of the slowest that keeps up."""
# An upload keeps up while it delays the others for less than this many seconds in each period. Short, since all
# uploads wait for a target that stalls, and being left behind only costs a detour by the disk; but longer than a
# full buffer or a lost packet takes.
_PATIENCE, _PERIOD = 0.25, 2.0
# Each time that a target does not keep up divides the wait for it by _LESS, _MOST_MISSES times at most.
_LESS, _MOST_MISSES = 4, 4
# A source is slow if, after this many seconds of waiting, it has given fewer bytes a second than that.
_SLOW_AFTER, _SLOW_RATE = 2.0, 128 * 1024


class Patience:
    """How long reads wait for each target host: less for hosts that were late."""

    def __init__(self) -> None:
        self._misses: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Patience: {self._misses}>"

    def of(self, host: str) -> float:
        """Return the seconds to wait for a target host."""
        return float(_PATIENCE / _LESS ** self._misses.get(host, 0))

    def missed(self, host: str) -> None:
        """Record that a host was late."""
        self._misses[host] = min(self._misses.get(host, 0) + 1, _MOST_MISSES)

    def kept_up(self, host: str) -> None:
        """Record that a host was in time."""
        if misses := self._misses.get(host, 0):
            self._misses[host] = misses - 1


class SharedRead:
    """
    The pieces of one reading, for any number of `Branch`es.

    The last piece is held back until the whole blob is verified. `close` must be called in the end; it closes the
    connection and frees the disk.
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
        """`slot_again` takes a slot of the source for a target host, and returns the function that releases it."""
        blob = reading.blob
        self.failure: OcyncError | None = None
        """The error of the read; no branch gets anything after it."""
        self.keep = False
        """Whether the whole blob is stored on disk, for late branches; to be set before `begin`."""
        self.gathered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Settled when the branches that come in time have joined."""
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Settled when the read holds a slot of the source."""
        self.blob = blob
        self._reading = reading
        self._verifier = verifier or Verifier(
            blob.digest, blob.size, what=f"blob {blob.digest}", host=reading.reader.host
        )
        self._patience = patience or Patience()
        self._slot_again = slot_again or _no_slot
        self._begins_at = Piece(b"", self._verifier.received, self._verifier.copy())
        self._branches: list[Branch] = []
        """Branches that keep up."""
        self._late: list[Branch] = []
        """Branches that are left behind."""
        self._last: Piece | None = None
        """The last piece read: held back until the next one has come, or the blob is verified."""
        self._ahead: deque[Piece] = deque()
        """Pieces that some branches still have to take."""
        self._taken = 0
        """The number of pieces before `_ahead`, which all branches that keep up have taken."""
        self._begun = False
        self._has_read = False
        self._ended = False
        self._closed = False
        self._busy = False
        self._waiting: list[asyncio.Future[None]] = []
        self._timed = False
        self._period_ends = 0.0
        self._disk = StagedBlob(staging, blob.size)
        self._readings = [reading]
        self._resources = AsyncExitStack()
        self._resources.push_async_exit(reading)
        self._resources.callback(self._disk.close)
        self._release_slot: Callable[[], None] | None = None
        self._asked: float | None = None
        """When the piece that is being read was requested."""
        self._waited = 0.0
        """Seconds spent waiting for the source."""

    def __repr__(self) -> str:
        return f"<SharedRead of {self.blob.digest}: {len(self._branches)} keep up, {len(self._late)} are late>"

    @property
    def reader(self) -> Repository:
        """The repository that the blob is read from."""
        return self._reading.reader

    @property
    def exhausted(self) -> bool:
        """Whether the failure is that of a read without attempts left."""
        return any(reading.exhausted for reading in self._readings)

    @property
    def hosts(self) -> set[str]:
        """The target hosts of all branches."""
        return {branch.host for branch in (*self._branches, *self._late)}

    @property
    def is_joinable(self) -> bool:
        """Whether a new branch can get the whole blob."""
        if self.failure is not None or self._closed:
            return False
        if self._taken == 0:
            return not self._begun or bool(self._branches)
        return self._disk.is_intact(self._begins_at.start) and (self._ended or bool(self._branches))

    @property
    def is_kept(self) -> bool:
        """Whether the whole blob is on disk."""
        is_read = self._ended and self.failure is None and not self._closed
        return is_read and self._disk.is_intact(self._begins_at.start)

    @property
    def is_idle(self) -> bool:
        """Whether there are no branches."""
        return not self._branches and not self._late

    def is_slow(self) -> bool:
        """Return whether the source is slow."""
        now = asyncio.get_running_loop().time()
        waited = self._waited + (now - self._asked if self._asked is not None else 0.0)
        return waited > _SLOW_AFTER + (self._verifier.received - self._begins_at.start) / _SLOW_RATE

    def needs_slot(self, branch: Branch) -> bool:
        """Return whether this branch needs a slot of the source that the read does not hold."""
        if self._release_slot is not None or self.failure is not None or self._closed or self._ended:
            return False
        # A second read takes a slot of its own.
        return branch not in self._late or self._disk.will_have(branch.offset)

    def hold(self, release: Callable[[], None]) -> None:
        """Hand over a slot of the source; `release` is called when nothing more is read."""
        self._release_slot = release
        _settle(self.taken)

    def join(self, host: str) -> Branch:
        """Return a new branch for a target host; only if `is_joinable`."""
        branch = Branch(self, host)
        if self._taken == 0:
            self._branches.append(branch)
        else:
            branch.behind = self._begins_at
            self._late.append(branch)
        return branch

    async def begin(self, branch: Branch) -> None:
        """
        Ensure that the first piece has been read; raises OcyncError if it cannot be.

        The branch has a slot of its target from now on, and reads for the others too.
        """
        branch.is_active = True
        while not self._begun or (self._busy and not self._has_read):
            if self._begun:
                await self._change()
                continue
            self._begun = True
            if self.keep:
                self._busy = True
                try:
                    await self._disk.open(self._begins_at.start)
                finally:
                    self._busy = False
            await self._read()
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        """Close the connections and free the disk."""
        self._closed = True
        try:
            await self._resources.aclose()
        finally:
            self._settle_slot()

    def _settle_slot(self) -> None:
        """Release the source's slot if nothing more is read for it and nothing is left in memory."""
        if self._release_slot is None:
            return
        is_read = self._ended or self.failure is not None
        is_wanted = any(branch.is_active and not branch.is_alone for branch in (*self._branches, *self._late))
        if self._closed or not is_wanted or (is_read and not (self._ahead and self._branches)):
            release, self._release_slot = self._release_slot, None
            self.taken = asyncio.get_running_loop().create_future()
            release()

    # For the branches

    async def next(self, branch: Branch) -> bytes:
        """Return the branch's next piece, b"" at the end of the blob; raises OcyncError if the read has failed."""
        while True:
            if branch.rest is not None:
                return await self._from_second_read(branch)
            data = await self._disk.read(branch.offset) if branch.behind is not None else self._take(branch)
            if data:
                branch.offset += len(data)
                return data
            if self.failure is not None:
                raise self.failure
            if branch.behind is not None and not self._disk.will_have(branch.offset):
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
        Remove a branch, so that no other waits for it.

        If no other branch has a slot of its target, the connection is dropped; a later one resumes the read.
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
            self._notify()

    def _take(self, branch: Branch) -> bytes:
        """Return the next piece in memory that this branch has not taken, b"" if there is none."""
        if branch.taken - self._taken >= len(self._ahead):
            return b""
        piece = self._ahead[branch.taken - self._taken]
        branch.taken += 1
        self._drop()
        return piece.data

    def _drop(self) -> None:
        """Drop the pieces that all have taken."""
        first = min((branch.taken for branch in self._branches), default=self._taken + len(self._ahead))
        if first > self._taken:
            for _ in range(first - self._taken):
                self._ahead.popleft()
            self._taken = first
            self._notify()

    # Reading

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
            # A copy is only needed if a branch can be left behind here, or can still join.
            is_alone = len(self._branches) <= 1 and not self._disk.is_open and self._taken > 0
            before = self._verifier if is_alone else self._verifier.copy()
            if data:
                self._verifier.update(data)
            else:
                self._verifier.finish()
            last, self._last = self._last, Piece(data, start, before) if data else None
            if last is not None:
                await self._release(last)
            self._ended = not data
        except OcyncError as error:
            self.failure = error
        finally:
            self._has_read = True
            self._busy = False
            self._notify()

    async def _release(self, piece: Piece) -> None:
        """Hand a piece to the branches: from memory to those that keep up, from disk to the others."""
        if self._branches:
            self._ahead.append(piece)
        else:
            self._taken += 1
        await self._disk.append(piece)

    # Branches that are left behind

    async def _wait_for_the_slowest(self) -> None:
        """Wait until a piece is taken by all, and leave branches behind that delay the others for too long."""
        if self._timed:
            # Another branch keeps the time.
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
            self._notify()
        for branch in slow:
            branch.held_up += clock() - started
        # A branch that has caught up or left meanwhile delays no other.
        is_late = any(self._left(branch) <= 0 for branch in self._slowest())
        if is_late and not self._busy:
            await self._leave_behind()

    def _left(self, branch: Branch) -> float:
        """Return the seconds for which a branch may still delay the others in this period."""
        return self._patience.of(branch.host) - branch.held_up

    def _slowest(self) -> list[Branch]:
        """Return the branches that have to take the oldest piece in memory."""
        return [branch for branch in self._branches if self._ahead and branch.taken == self._taken]

    async def _leave_behind(self) -> None:
        """Leave the slowest branches behind."""
        if not self._disk.is_open:
            self._busy = True
            # A branch may take one of them meanwhile: it has to be on disk all the same.
            pieces = list(self._ahead)
            try:
                await self._disk.open(pieces[0].start)
                for piece in pieces:
                    await self._disk.append(piece)
            finally:
                self._busy = False
                self._notify()
        for branch in self._slowest():
            branch.behind = self._ahead[0]
            self._patience.missed(branch.host)
            self._branches.remove(branch)
            self._late.append(branch)
        self._drop()
        self._notify()

    # The second read

    async def _begin_second_read(self, branch: Branch) -> None:
        """Continue a branch by a read of its own, with a slot of the source of its own."""
        first = branch.behind
        if self._disk.refused is not None and branch.offset == self._disk.refused.start:
            first = self._disk.refused
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

    # Waiting

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until something has changed, at most this many seconds."""
        loop = asyncio.get_running_loop()
        change: asyncio.Future[None] = loop.create_future()
        self._waiting.append(change)
        timer = None if seconds is None else loop.call_later(seconds, _settle, change)
        try:
            await change
        finally:
            if timer is not None:
                timer.cancel()

    def _notify(self) -> None:
        self._settle_slot()
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            _settle(change)


def _nothing() -> None:
    """Release no slot."""


async def _no_slot(_host: str) -> Callable[[], None]:
    return _nothing


def _settle(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)


class Branch:
    """The pieces of a SharedRead that one upload takes."""

    def __init__(self, whole: SharedRead, host: str) -> None:
        self.host = host
        """The host of the upload."""
        self.taken = 0
        """The number of pieces taken from memory."""
        self.offset = 0
        """The number of bytes taken."""
        self.held_up = 0.0
        """Seconds for which this branch delayed the others in this period."""
        self.behind: Piece | None = None
        """The first piece that this branch did not get with the others, if it is left behind."""
        self.rest: Branch | None = None
        """Its branch of the second read."""
        self.is_active = False
        """Whether it has a slot of its target."""
        self.is_alone = False
        """Whether it continues by a read of its own."""
        self.release: Callable[[], None] = _nothing
        """Releases its slot of the source for that read."""
        self._whole = whole

    async def next(self) -> bytes:
        """Return the next piece, b"" at the end of the blob; raises OcyncError if the read has failed."""
        return await self._whole.next(self)

    async def pieces(self, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Yield the pieces as an upload's body; `moved` is called with the size of each."""
        while piece := await self.next():
            moved(len(piece))
            yield piece

    async def leave(self) -> None:
        """Take no more pieces."""
        await self._whole.leave(self)

    async def close(self) -> None:
        """Close the whole read."""
        await self._whole.close()
