"""A lock between the tasks of all processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocync.layout.files import storage_errors
from ocync.lib.errors import StorageError
from ocync.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAIT = 60.0
"""Seconds to wait for a lock; a holder only writes a small file."""
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1


class FileLock:
    """
    A lock on a file, which is created if missing in a folder that exists.

    It is flock(2)'s: it ends with the process that holds it, and the file stays. Tasks that share this object take
    turns in order; others poll.
    """

    def __init__(self, path: Path, *, wait: float = WAIT) -> None:
        self._path = path
        self._wait = wait
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """
        Hold the lock during the block.

        Raises StorageError if that takes more than `wait` seconds from this call, so that many tasks fail together
        and not one after the other, and if the filesystem has no locks.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait
        async with self._turn:
            handle = _Handle(self._path)
            try:
                await in_thread(handle.open)
                await self._acquire(handle, end)
                yield
            finally:
                handle.close()

    async def _acquire(self, handle: _Handle, end: float) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        # Polls, since a thread that waits in flock(2) can't be cancelled.
        while not await in_thread(handle.try_acquire):
            left = end - loop.time()
            if left <= 0:
                raise StorageError(
                    f"another process holds the lock {self._path}, for {self._wait:g} s at least",
                    hint=f"find it with `fuser {self._path}` and end it if it hangs",
                )
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE)


class _Handle:
    """An open lock file; closing it releases the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def open(self) -> None:
        # NFS maps flock to byte ranges, whose exclusive locks need a file that is open for writing (flock(2)).
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with storage_errors("open the lock", self._path):
            self._fd = os.open(self._path, flags, 0o666)

    def try_acquire(self) -> bool:
        with storage_errors("lock", self._path):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
