"""
An event loop of which a seed draws who runs next, and whose time passes while nobody can run.

Programs that are right in one order of ready callbacks need not be in another; and who waits a second, or ten
minutes, costs a test nothing. A program in which everybody waits for somebody is told at once.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

MOST = 100_000.0
"""Seconds after which a program is taken for one that never ends: who looks again and again never stands still."""


_STEP = 1e-6
"""Seconds that a callback takes: no clock stands still while something runs."""


class StuckError(BaseException):
    """Everybody waits, and nothing will ever come; no Exception, so that no program takes it for one of its own."""


class Loop(asyncio.SelectorEventLoop):
    """
    Runs ready callbacks in the order that `chance` draws, one at a time; in the order of asyncio without it.

    What is done in a thread takes `thread` seconds.
    """

    _ready: Any
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, chance: random.Random | None = None, *, thread: float = 0.0) -> None:
        self._now = 0.0
        self._thread = thread
        self._chance = chance
        self._pool: list[asyncio.Handle] = []
        super().__init__()

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, function: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            self.call_later(self._thread, future.set_result, function(*args))
        except Exception as error:
            self.call_later(self._thread, future.set_exception, error)
        return future

    def _run_once(self) -> None:
        self._now += _STEP
        self._pool += self._ready
        self._ready.clear()
        if not self._pool:
            self._pass_time()
        elif self._chance is None:
            self._ready += self._pool
            self._pool.clear()
        else:
            at = self._chance.randrange(len(self._pool))
            self._pool[at], self._pool[-1] = self._pool[-1], self._pool[at]
            self._ready.append(self._pool.pop())
        super()._run_once()  # type: ignore[misc]

    def _pass_time(self) -> None:
        soonest = min((timer.when() for timer in self._scheduled if not timer.cancelled()), default=None)
        if soonest is None:
            raise StuckError("nobody can go on, and nothing is left to wait for")
        if soonest > MOST:
            raise StuckError(f"still at work after {MOST:.0f} seconds")
        self._now = max(self._now, soonest)


def run(main: Coroutine[Any, Any, T], *, seed: int | None = None, thread: float = 0.0) -> T:
    """Run a program in the order that the seed draws; raises StuckError where it never ends."""
    loop = Loop(None if seed is None else random.Random(seed), thread=thread)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
