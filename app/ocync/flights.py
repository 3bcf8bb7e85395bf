"""One call for many who ask the same at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Flights(Generic[K, V]):
    """
    Runs a call once for all tasks that ask for the same key while it is under way.

    The first to ask makes the call, in its own task; the others wait and get its result or its error. When the
    first is cancelled, the next of those who wait makes the call anew: nobody is cancelled for another, and no
    task is left behind. Nothing is remembered afterwards.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Future[V]] = {}

    def __repr__(self) -> str:
        return f"<Flights: {len(self._running)} under way>"

    async def run(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Return what `make` gives, called here or by another task."""
        while (running := self._running.get(key)) is not None:
            # Unlike an await of the future itself, this does not hand a cancellation on to it.
            await asyncio.wait([running])
            if not running.cancelled():
                return running.result()
        landing = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            value = await make()
        except Exception as error:
            landing.set_exception(error)
            # It is raised here too: without any who wait, nobody would fetch it.
            landing.exception()
            raise
        except BaseException:
            landing.cancel()
            raise
        finally:
            del self._running[key]
        landing.set_result(value)
        return value
