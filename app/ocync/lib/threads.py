"""Blocking calls, away from the event loop."""

from __future__ import annotations

import asyncio
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
