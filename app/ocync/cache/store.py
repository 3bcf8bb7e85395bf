"""Brings the memory of earlier passes to a pass and keeps what it learns, without ever failing it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ocync.cache import entries, file, state_artifact
from ocync.cache.hints import Memory
from ocync.lib.errors import OcyncError
from ocync.lib.threads import run_detached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ocync.oci.repository import TargetRepository

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
class StateLocation:
    """Where what passes learn is kept: in a folder, in a repository, in both or nowhere."""

    folder: Path | None = None
    repository: TargetRepository | None = None
    tag: str = ""
    """The tag of the state in the repository."""
    keep: bool = True
    """Whether what is learned is kept there; if not, it is only read."""
    in_a_hurry: Callable[[], bool] = lambda: False
    """Tells whether there is little time left at the end."""


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
    async def memory(self, location: StateLocation, *, ttl: float) -> AsyncIterator[Memory]:
        """Yield a memory for one pass, and keep what it learns; never raises an error of its own."""
        memory = Memory(ttl=ttl, clock=self._clock)
        last, self._last = self._last, None
        path = location.folder / file.NAME if location.folder is not None else None
        opened = None
        try:
            if path is not None:
                async with self._attempt(f"{path} can't be read", "cache_dir", _LOAD_TIME):
                    opened = await run_detached(partial(file.load, path, self._clock()), name="memory")
            if opened is not None:
                memory.add(opened.facts)
                if opened.damage:
                    self._say(f"{path} is started anew: {opened.damage}", "cache_dir")
            await self._read_state(location, memory)
            if last is not None:
                memory.add(last.all())
                memory.give_back(last.take_changes())
            if path is None or opened is None or not location.keep:
                yield memory
            else:
                save = partial(self._save, path, memory)
                saving = asyncio.create_task(self._save_now_and_then(save))
                try:
                    yield memory
                finally:
                    saving.cancel()
                    await asyncio.wait([saving])
                    within = _SAVE_TIME_AFTER_STOP if location.in_a_hurry() else _SAVE_TIME
                    await save(within=within, tidy=opened.is_wasteful)
            await self._write_state(location, memory)
        finally:
            if location.keep and memory.has_changes:
                self._last = memory

    async def _save_now_and_then(self, save: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            if not await save():
                return

    async def _save(self, path: Path, memory: Memory, *, within: float | None = None, tidy: bool = False) -> bool:
        """Write what is new; False where that was not possible."""
        if not memory.has_changes:
            return True
        changes, is_written = memory.take_changes(), False
        try:
            async with self._attempt(f"{path} can't be written", "cache_dir", within):
                await run_detached(partial(file.save, path, changes, self._clock(), tidy=tidy), name="memory")
                is_written = True
        finally:
            if not is_written:
                memory.give_back(changes)
        return is_written

    async def _read_state(self, location: StateLocation, memory: Memory) -> None:
        """Add what the repository knows."""
        if location.repository is None:
            return
        async with self._attempt(f"{location.repository.name}:{location.tag} can't be read", "state", _FETCH_TIME):
            packed = await state_artifact.fetch(location.repository, location.tag)
            if packed:
                memory.add(await asyncio.to_thread(entries.unpacked, packed, self._clock()))

    async def _write_state(self, location: StateLocation, memory: Memory) -> None:
        if location.repository is None or not location.keep or not memory.has_news:
            return
        within = _PUSH_TIME_AFTER_STOP if location.in_a_hurry() else _PUSH_TIME
        async with self._attempt(f"{location.repository.name}:{location.tag} can't be written", "state", within):
            packed = await asyncio.to_thread(entries.packed, memory.all())
            await state_artifact.push(location.repository, location.tag, packed)

    @asynccontextmanager
    async def _attempt(self, what: str, setting: str, within: float | None) -> AsyncIterator[None]:
        """Say, and do not raise, why something failed or that it took longer than so many seconds."""
        try:
            async with asyncio.timeout(within):
                yield
        except TimeoutError:
            self._say(f"{what} within {within:g} s", setting)
        except OcyncError as error:
            self._say(f"{what}: {error.message}", setting)
        except ValueError as error:
            self._say(f"{what}: {error}", setting)

    def _say(self, what: str, setting: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(
                "memory of earlier passes: %s; only requests are lost by that (global.%s says where it is)",
                what,
                setting,
            )
