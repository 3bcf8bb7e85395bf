"""Brings the memory of earlier passes to a pass and keeps what it learns, without ever failing it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from ocync.memory import file
from ocync.memory.memory import Memory
from ocync.memory.thread import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

log = logging.getLogger(__name__)

_LOAD_TIME = 15.0
"""Seconds that a pass waits for its memory at most: a file system that hangs must not hang it."""
_SAVE_TIME = 8.0
"""Seconds that the end of a pass waits for the disk at most."""
_PAUSE = 5.0
"""Seconds between two writes: as much may be lost when the program is killed."""


class Keeper:
    """
    Lasts for as long as the program: what could not be written is known to the next pass of `watch` all the same,
    and what is wrong is said once.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._said: set[str] = set()
        self._last: Memory | None = None

    @asynccontextmanager
    async def memory(self, folder: Path | None, *, ttl: float, keep: bool = True) -> AsyncIterator[Memory]:
        """
        Give a memory for one pass, from the file in a folder, and keep there what it learns.

        No folder is for a memory that is in no file, and `keep=False` for one that only reads it. Where there is no
        usable file, the pass begins with what the last one of this program knew.
        """
        if folder is None:
            yield Memory(ttl=ttl, clock=self._clock)
            return
        worker, path = Worker("memory"), folder / file.NAME
        try:
            memory, is_writable = await self._load(worker, path, ttl, keep=keep)
            if not (is_writable and keep):
                self._last = memory if keep else None
                yield memory
                return
            saving = asyncio.create_task(self._save_now_and_then(worker, path, memory))
            try:
                yield memory
            finally:
                saving.cancel()
                with suppress(asyncio.CancelledError):
                    await saving
                if not await self._save(worker, path, memory, within=_SAVE_TIME):
                    self._last = memory
        finally:
            worker.close()

    async def _load(self, worker: Worker, path: Path, ttl: float, *, keep: bool) -> tuple[Memory, bool]:
        now = int(self._clock() * 1000)
        load = partial(file.load, path, now) if keep else partial(file.peek, path)
        try:
            async with asyncio.timeout(_LOAD_TIME):
                opened = await worker.call(load)
        except TimeoutError:
            self._say(path, f"could not be read within {_LOAD_TIME:g} s")
            return self._without_file(ttl), False
        except file.UnusableFileError as error:
            self._say(path, f"is not used: {error}")
            return self._without_file(ttl), False
        if opened.remark:
            self._say(path, opened.remark)
        if opened.unwritable:
            self._say(path, f"can't be written: {opened.unwritable}")
        memory = Memory(ttl=ttl, clock=self._clock, connection=opened.connection)
        if self._last is not None:
            unsaved = self._last.take_changes()
            memory.absorb(unsaved)
            memory.give_back(unsaved)
            self._last = None
        return memory, not opened.unwritable

    def _without_file(self, ttl: float) -> Memory:
        last, self._last = self._last, None
        if last is None:
            return Memory(ttl=ttl, clock=self._clock)
        unsaved = last.take_changes()
        memory = Memory(ttl=ttl, clock=self._clock, connection=last.release())
        memory.give_back(unsaved)
        return memory

    async def _save_now_and_then(self, worker: Worker, path: Path, memory: Memory) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            if not await self._save(worker, path, memory, within=None):
                return

    async def _save(self, worker: Worker, path: Path, memory: Memory, *, within: float | None) -> bool:
        """Write what is new; False where that was not possible."""
        if not memory.has_changes:
            return True
        changes = memory.take_changes()
        try:
            async with asyncio.timeout(within):
                await worker.call(partial(file.save, path, changes))
        except (TimeoutError, file.UnusableFileError) as error:
            memory.give_back(changes)
            why = str(error) or f"nothing was written within {within:g} s"
            self._say(path, f"can't be written: {why}")
            return False
        except asyncio.CancelledError:
            memory.give_back(changes)
            raise
        return True

    def _say(self, path: Path, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(
                "memory of earlier passes: %s %s; nothing but requests is lost (global.cache_dir says where it is)",
                path,
                what,
            )
