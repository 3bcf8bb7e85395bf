"""Loads the cache for a pass and saves what the pass learns, without ever failing it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ocync.cache import entries, file, state_artifact
from ocync.cache.hints import Hints
from ocync.lib.errors import OcyncError
from ocync.lib.threads import run_detached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ocync.oci.repository import TargetRepository

log = logging.getLogger(__name__)

_LOAD_TIME = 15.0
"""Seconds to load the file at most: a file system that hangs must not hang the pass."""
_SAVE_TIME = 8.0
_SAVE_TIME_AFTER_STOP = 2.0
"""Seconds to save the file at the end of a pass at most; the report waits for it."""
_PAUSE = 5.0
"""Seconds between two saves: the most that is lost if the process is killed."""
_FETCH_TIME = 10.0
_PUSH_TIME = 30.0
_PUSH_TIME_AFTER_STOP = 5.0
"""Seconds for the state at a registry at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLocation:
    """Where the cache is: in a folder, in a repository, in both or nowhere."""

    folder: Path | None = None
    repository: TargetRepository | None = None
    tag: str = ""
    """The tag of the state in the repository."""
    keep: bool = True
    """Whether to save; if not, the cache is only read."""
    in_a_hurry: Callable[[], bool] = lambda: False
    """Returns whether there is little time left at the end."""


class CacheStore:
    """
    Opens the cache for each pass of a process.

    Entries that could not be saved are passed on to the next pass of `watch`. Each problem is logged once.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._warned: set[str] = set()
        self._last: Hints | None = None

    @asynccontextmanager
    async def open(self, location: StateLocation, *, ttl: float) -> AsyncIterator[Hints]:
        """Yield the hints for one pass, and save what it learns; raises no error of its own."""
        hints = Hints(ttl=ttl, clock=self._clock)
        last, self._last = self._last, None
        path = location.folder / file.NAME if location.folder is not None else None
        opened = None
        try:
            if path is not None:
                async with self._attempt(f"{path} can't be read", "cache_dir", _LOAD_TIME):
                    opened = await run_detached(partial(file.load, path, self._clock()), name="cache")
            if opened is not None:
                hints.add(opened.entries)
                if opened.damage:
                    self._warn(f"{path} will be replaced: {opened.damage}", "cache_dir")
            await self._read_state(location, hints)
            if last is not None:
                hints.add(last.all())
                hints.give_back(last.take_changes())
            if path is None or opened is None or not location.keep:
                yield hints
            else:
                save = partial(self._save, path, hints)
                saving = asyncio.create_task(self._save_periodically(save))
                try:
                    yield hints
                finally:
                    saving.cancel()
                    await asyncio.wait([saving])
                    within = _SAVE_TIME_AFTER_STOP if location.in_a_hurry() else _SAVE_TIME
                    await save(within=within, tidy=opened.is_wasteful)
            await self._write_state(location, hints)
        finally:
            if location.keep and hints.has_changes:
                self._last = hints

    async def _save_periodically(self, save: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            if not await save():
                return

    async def _save(self, path: Path, hints: Hints, *, within: float | None = None, tidy: bool = False) -> bool:
        """Save the changes; return False if that fails."""
        if not hints.has_changes:
            return True
        changes, is_saved = hints.take_changes(), False
        try:
            async with self._attempt(f"{path} can't be written", "cache_dir", within):
                await run_detached(partial(file.save, path, changes, self._clock(), tidy=tidy), name="cache")
                is_saved = True
        finally:
            if not is_saved:
                hints.give_back(changes)
        return is_saved

    async def _read_state(self, location: StateLocation, hints: Hints) -> None:
        if location.repository is None:
            return
        async with self._attempt(f"{location.repository.name}:{location.tag} can't be read", "state", _FETCH_TIME):
            packed = await state_artifact.fetch(location.repository, location.tag)
            if packed:
                hints.add(await asyncio.to_thread(entries.unpacked, packed, self._clock()))

    async def _write_state(self, location: StateLocation, hints: Hints) -> None:
        if location.repository is None or not location.keep or not hints.has_news:
            return
        within = _PUSH_TIME_AFTER_STOP if location.in_a_hurry() else _PUSH_TIME
        async with self._attempt(f"{location.repository.name}:{location.tag} can't be written", "state", within):
            packed = await asyncio.to_thread(entries.packed, hints.all())
            await state_artifact.push(location.repository, location.tag, packed)

    @asynccontextmanager
    async def _attempt(self, what: str, setting: str, within: float | None) -> AsyncIterator[None]:
        """Log instead of raising a failure, or that the block took more than `within` seconds."""
        try:
            async with asyncio.timeout(within):
                yield
        except TimeoutError:
            self._warn(f"{what} within {within:g} s", setting)
        except OcyncError as error:
            self._warn(f"{what}: {error.message}", setting)
        except ValueError as error:
            self._warn(f"{what}: {error}", setting)

    def _warn(self, problem: str, setting: str) -> None:
        if problem not in self._warned:
            self._warned.add(problem)
            log.warning("cache: %s; the pass makes more requests (global.%s is its location)", problem, setting)
