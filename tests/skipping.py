"""
An event loop whose time passes at once while everybody waits, beside real sockets.

A second that a registry asks for costs a test nothing, and a busy machine lengthens none: time stands still while
something runs. Both sides of all connections have to be in this loop. What is done in threads is waited for.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_QUIET = 0.002
"""Seconds without an event after which nothing is on its way any more: loopback delivers at once."""
_STEP = 1e-6
"""Seconds that a turn takes: no clock stands still while something runs."""


_AT_WORK = 2.0
"""Seconds that a thread beside the loop has for its work."""
_SEEN: WeakKeyDictionary[threading.Thread, float] = WeakKeyDictionary()
_RUNNING: list[Skipping] = []
_real_monotonic = time.monotonic


def _monotonic() -> float:
    """Return the time of the loop that skips, while one runs."""
    return _RUNNING[-1].time() if _RUNNING else _real_monotonic()


# Before anything else is imported: what takes it for a default gets this one.
time.monotonic = _monotonic


class Skipping(asyncio.SelectorEventLoop):
    """The loop; `time.monotonic` follows it while it runs, in every module that is imported after this one."""

    def __init__(self) -> None:
        self._now = time.monotonic()
        self._in_threads = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, function, *args)
        self._in_threads += 1
        future.add_done_callback(self._back)
        return future

    def _back(self, _future: object) -> None:
        self._in_threads -= 1

    def run_forever(self) -> None:
        _RUNNING.append(self)
        try:
            super().run_forever()
        finally:
            _RUNNING.pop()

    def next(self, seconds: float | None) -> bool:
        """Let time pass; tells whether it did, and not where somebody else has to come back first."""
        if seconds is None or self._in_threads or _is_detached_busy():
            return False
        self._now += seconds
        return True

    def _run_once(self) -> None:
        self._now += _STEP
        super()._run_once()  # type: ignore[misc]


def _is_detached_busy() -> bool:
    """Return whether a thread of `run_detached` is at work, of which no executor knows; one that hangs is not."""
    now = _real_monotonic()
    targets = ((thread, getattr(thread, "_target", None)) for thread in threading.enumerate())
    busy = [thread for thread, of in targets if getattr(of, "__qualname__", "").startswith("run_detached.")]
    return any(now - _SEEN.setdefault(thread, now) < _AT_WORK for thread in busy)


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Waits for sockets, and lets the time of a loop pass instead where none has anything to say."""

    def __init__(self, loop: Skipping) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)  # type: ignore[no-any-return]
        found = super().select(_QUIET)
        if found or self._loop.next(timeout):
            return found  # type: ignore[no-any-return]
        # Not longer than a thread has for its work: then time goes on without it.
        seconds = _AT_WORK if timeout is None else min(timeout, _AT_WORK)
        return super().select(seconds)  # type: ignore[no-any-return]
