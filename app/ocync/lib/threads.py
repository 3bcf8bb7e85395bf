"""Blocking calls, away from the event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Run the function in a thread of the loop's executor and return what it returns.

    A thread can't be interrupted. When the caller is cancelled, the cancellation is raised once the function has
    ended, so that what it works on can be closed or removed then; its result, or its error, is lost.
    """
    call = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return call.result()
    # An error that nobody has asked for would be reported by the loop.
    call.exception()
    raise cancelled


def run_detached(function: Callable[[], _T], *, name: str) -> asyncio.Future[_T]:
    """
    Run the function in a daemon thread of its own, and return what it returns or raises as a future.

    Neither a cancelled task nor the end of the process waits for the thread, unlike for those of an executor: a
    program that a library runs may wait for a person, and a disk may never answer.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(value: _T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: _T | None = None
        failed: BaseException | None = None
        try:
            value = function()
        except BaseException as error:
            failed = error
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
