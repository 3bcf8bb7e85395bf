"""A thread for what may block for long, such as a disk that is not there any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


async def in_thread(function: Callable[[], _T]) -> _T:
    """
    Return what a function returns, or raise what it raises, that runs beside the event loop.

    Nobody has to wait for it: a call that hangs keeps neither who was cancelled nor the end of the program.
    """
    future: Future[_T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(function())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, name="memory", daemon=True).start()
    return await asyncio.wrap_future(future)
