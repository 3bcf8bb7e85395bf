"""Calls of libraries that block: made in a thread, and left behind when nobody waits any more."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def away(call: Callable[[], T], *, name: str) -> T:
    """
    Return what the call returns in a thread of its own; what it raises is raised.

    The thread is no reason for the process to wait: unlike those of an executor it is left behind when the task is
    cancelled, as a program that a library runs may wait for a person.
    """
    loop = asyncio.get_running_loop()
    landing: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if landing.done():
            return
        if error is not None:
            landing.set_exception(error)
        else:
            landing.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: T | None = None
        failed: BaseException | None = None
        try:
            value = call()
        except BaseException as error:
            failed = error
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await landing


def hush(*loggers: str) -> None:
    """
    Have libraries log nothing, also at trace.

    They write down what they were answered, which are secrets, before anybody can tell which; and what is wrong
    they raise as well.
    """
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL)
