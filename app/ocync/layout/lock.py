"""One writer at a time, among the tasks of all processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocync.layout.disk_errors import told
from ocync.lib.errors import StorageError
from ocync.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAIT = 60.0
"""Seconds that a lock is waited for; it is held for the time that a small file takes to be written."""
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1


class FileLock:
    """
    The lock of this file, which is made if there is none; its folder has to exist.

    The lock is flock(2)'s: it ends with the process that holds it, and the file stays. Tasks that share this object
    take turns in the order they came; others ask again and again.
    """

    def __init__(self, path: Path, *, wait: float = WAIT) -> None:
        self._path = path
        self._wait = wait
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """
        Hold the lock for the time of the block.

        Raises StorageError when another process keeps it for longer than `wait` seconds, counted from the moment
        of asking, so that many tasks fail together and not one after the other; also where there are no locks.
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
        # Asking again and again, since a thread that waits in flock(2) could not be cancelled.
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
    """An open lock file; closing it sets the lock free."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def open(self) -> None:
        # NFS maps flock to byte ranges, whose exclusive locks need a file that is open for writing (flock(2)).
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with told("open the lock", self._path):
            self._fd = os.open(self._path, flags, 0o666)

    def try_acquire(self) -> bool:
        with told("lock", self._path):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
