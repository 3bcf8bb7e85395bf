"""
One read handed to several uploads, verified on its way.

Nobody drives it: the upload that has sent all that is here reads on, for the others too. So a lone upload reads and
sends in one task, without handing anything over, and when all uploads have ended nothing is read any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ocync.errors import OcyncError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.oci.digest import Verifier
    from ocync.transfer.reading import Reading

_AHEAD = 2
"""Pieces that the fastest upload may be ahead of the slowest one."""


class FanOut:
    """
    Pieces of one reading for any number of `Branch`es; all are made before the first of them is read.

    The last piece is held back until the verifier has seen that all bytes are right.
    """

    def __init__(self, reading: Reading, verifier: Verifier) -> None:
        self.failure: OcyncError | None = None
        """What went wrong with the read: no branch gives anything after it."""
        self._reading = reading
        self._verifier = verifier
        self._branches: list[Branch] = []
        self._held = b""
        self._ahead: deque[bytes] = deque()
        self._taken = 0
        self._ended = False
        self._is_reading = False
        self._waiting: list[asyncio.Future[None]] = []

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

    async def next(self, branch: Branch) -> bytes:
        """Return the branch's next piece, b"" at the end of the blob; raises the failure, where there is one."""
        while True:
            if branch.taken - self._taken < len(self._ahead):
                piece = self._ahead[branch.taken - self._taken]
                branch.taken += 1
                self._drop()
                return piece
            if self.failure is not None:
                raise self.failure
            if self._ended:
                return b""
            if self._is_reading or len(self._ahead) >= _AHEAD:
                await self._change()
            else:
                await self._read()

    def leave(self, branch: Branch) -> None:
        """Hand nothing more to a branch: nobody waits for it any longer."""
        self._branches.remove(branch)
        self._drop()

    def _drop(self) -> None:
        """Forget what all have taken."""
        first = min((branch.taken for branch in self._branches), default=self._taken)
        if first > self._taken:
            for _ in range(first - self._taken):
                self._ahead.popleft()
            self._taken = first
            self._tell()
        elif not self._branches:
            self._tell()

    async def _read(self) -> None:
        self._is_reading = True
        try:
            piece = await self._reading.next()
            if piece:
                self._verifier.update(piece)
            else:
                self._verifier.finish()
                self._ended = True
            if self._held:
                self._ahead.append(self._held)
            self._held = piece
        except OcyncError as error:
            self.failure = error
        finally:
            self._is_reading = False
            self._tell()

    async def _change(self) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)


class Branch:
    """What one upload gets of a FanOut."""

    def __init__(self, whole: FanOut) -> None:
        self.taken = 0
        """Pieces that were given."""
        self._whole = whole

    async def pieces(self, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Give the pieces as an upload's body; raises the failure of the read, where there is one."""
        while piece := await self._whole.next(self):
            moved(len(piece))
            yield piece

    def leave(self) -> None:
        """Take nothing more."""
        self._whole.leave(self)
