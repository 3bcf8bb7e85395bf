"""A thread for what may block for long, such as a disk that is not there any more."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Worker:
    """
    Runs functions one after the other, beside the event loop.

    Nobody has to wait for it: a call that hangs keeps neither the loop nor the end of the program.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def call(self, function: Callable[[], _T]) -> asyncio.Future[_T]:
        """Have the function called; the future gets what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def settle(result: _T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # of the right type where there is no error

        def work() -> None:
            result: _T | None = None
            failure: Exception | None = None
            try:
                result = function()
            except Exception as error:
                failure = error
            try:
                loop.call_soon_threadsafe(settle, result, failure)
            except RuntimeError:
                # The loop has ended; nobody waits any more.
                return

        self._calls.put(work)
        return future

    def close(self) -> None:
        """Let the thread end after what was asked of it; does not wait."""
        self._calls.put(None)
