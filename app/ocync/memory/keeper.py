"""Brings the memory of earlier passes to a pass and keeps what it learns, without ever failing it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ocync.errors import OcyncError
from ocync.memory import artifact, file, state, tables
from ocync.memory.memory import Memory
from ocync.memory.thread import Worker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ocync.endpoint import TargetRepository

log = logging.getLogger(__name__)

_LOAD_TIME = 15.0
"""Seconds that a pass waits for its memory at most: a file system that hangs must not hang it."""
_SAVE_TIME = 8.0
_SAVE_TIME_AFTER_STOP = 2.0
"""Seconds that the end of a pass waits for the disk at most; the report comes after that, or not at all."""
_PAUSE = 5.0
"""Seconds between two writes: as much may be lost when the program is killed."""
_FETCH_TIME = 10.0
_PUSH_TIME = 30.0
_PUSH_TIME_AFTER_STOP = 5.0
"""Seconds that are taken for the state at a registry at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where what passes learn is kept: in a folder, in a repository, in both or nowhere."""

    folder: Path | None = None
    repository: TargetRepository | None = None
    tag: str = ""
    """The tag of the state in the repository."""
    keep: bool = True
    """Whether what is learned is kept there; if not, it is only read."""
    in_a_hurry: Callable[[], bool] = lambda: False
    """Tells whether there is little time left at the end."""

    @property
    def path(self) -> Path | None:
        """The file in the folder."""
        return self.folder / file.NAME if self.folder is not None else None


class Keeper:
    """
    Lasts for as long as the program: what could not be written is known to the next pass of `watch` all the same,
    and what is wrong is said once.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._said: set[tuple[str, str]] = set()
        self._last: Memory | None = None

    @asynccontextmanager
    async def memory(self, place: Place, *, ttl: float) -> AsyncIterator[Memory]:
        """
        Give a memory for one pass, and keep what it learns.

        Where a file can't be used, the pass begins with what the last one of this program knew.
        """
        worker = Worker("memory")
        try:
            opened = await self._open(worker, place)
            last, self._last = self._last, None
            unsaved = last.take_changes() if last is not None else None
            if opened is None and last is not None:
                connection = last.release()
            else:
                connection = opened.connection if opened is not None else tables.in_memory()
                if unsaved is not None:
                    tables.apply(connection, unsaved)
            await self._read_state(worker, place, connection)
            memory = Memory(ttl=ttl, clock=self._clock, connection=connection)
            if unsaved is not None:
                memory.give_back(unsaved)
            is_written = place.keep and opened is not None and not opened.unwritable
            async with self._saved(worker, place if is_written else Place(), memory):
                yield memory
            await self._write_state(worker, place, memory)
            if place.keep and memory.has_changes:
                self._last = memory
        finally:
            worker.close()

    async def _open(self, worker: Worker, place: Place) -> file.Opened | None:
        """Read the file; None where there is none to be used."""
        path = place.path
        if path is None:
            return None
        load = partial(file.load if place.keep else file.peek, path)
        try:
            async with asyncio.timeout(_LOAD_TIME):
                opened = await worker.call(load)
        except TimeoutError:
            self._say_of_file(path, f"could not be read within {_LOAD_TIME:g} s")
            return None
        except file.UnusableFileError as error:
            self._say_of_file(path, f"is not used: {error}")
            return None
        if opened.remark:
            self._say_of_file(path, opened.remark)
        if opened.unwritable:
            self._say_of_file(path, f"can't be written: {opened.unwritable}")
        return opened

    @asynccontextmanager
    async def _saved(self, worker: Worker, place: Place, memory: Memory) -> AsyncIterator[None]:
        """Write what is learned, now and then and at the end."""
        path = place.path
        if path is None:
            yield
            return
        saving = asyncio.create_task(self._save_now_and_then(worker, path, memory))
        try:
            yield
        finally:
            saving.cancel()
            with suppress(asyncio.CancelledError):
                await saving
            within = _SAVE_TIME_AFTER_STOP if place.in_a_hurry() else _SAVE_TIME
            await self._save(worker, path, memory, within=within, is_last=True)

    async def _save_now_and_then(self, worker: Worker, path: Path, memory: Memory) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            if not await self._save(worker, path, memory, within=None):
                return

    async def _save(
        self, worker: Worker, path: Path, memory: Memory, *, within: float | None, is_last: bool = False
    ) -> bool:
        """Write what is new; False where that was not possible."""
        if not memory.has_changes:
            return True
        changes = memory.take_changes()
        try:
            async with asyncio.timeout(within):
                now = int(self._clock() * 1000) if is_last else None
                await worker.call(partial(file.save, path, changes, tidy_at=now))
        except (TimeoutError, file.UnusableFileError) as error:
            memory.give_back(changes)
            why = str(error) or f"nothing was written within {within:g} s"
            self._say_of_file(path, f"can't be written: {why}")
            return False
        except asyncio.CancelledError:
            memory.give_back(changes)
            raise
        return True

    async def _read_state(self, worker: Worker, place: Place, connection: sqlite3.Connection) -> None:
        """Add what the repository knows to tables that nobody uses yet."""
        repository = place.repository
        if repository is None:
            return
        name = f"{repository.name}:{place.tag}"
        try:
            async with asyncio.timeout(_FETCH_TIME):
                packed = await artifact.fetch(repository, place.tag)
                if packed:
                    await worker.call(lambda: tables.merge(connection, state.unpack(packed)))
        except TimeoutError:
            self._say(name, f"could not be read within {_FETCH_TIME:g} s")
        except (ValueError, *tables.ERRORS) as error:
            self._say(name, f"is damaged, and will be written anew: {error}")
        except OcyncError as error:
            self._say(name, f"can't be read: {error.message}")

    async def _write_state(self, worker: Worker, place: Place, memory: Memory) -> None:
        repository = place.repository
        if repository is None or not place.keep or not memory.has_news:
            return
        within = _PUSH_TIME_AFTER_STOP if place.in_a_hurry() else _PUSH_TIME
        known = memory.all()
        try:
            async with asyncio.timeout(within):
                packed = await worker.call(partial(state.pack, known))
                await artifact.push(repository, place.tag, packed)
        except TimeoutError:
            self._say(f"{repository.name}:{place.tag}", f"could not be written within {within:g} s")
        except OcyncError as error:
            self._say(f"{repository.name}:{place.tag}", f"can't be written: {error.message}")

    def _say_of_file(self, path: Path, what: str) -> None:
        self._say(str(path), what, "global.cache_dir says where it is")

    def _say(self, name: str, what: str, advice: str = "global.state says where it is") -> None:
        if (name, what) not in self._said:
            self._said.add((name, what))
            log.warning("memory of earlier passes: %s %s; only requests are lost by that (%s)", name, what, advice)
