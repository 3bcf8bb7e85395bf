"""One call for many who ask the same at once, and its answer for those who ask later."""

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


class Memo(Generic[K, V]):
    """Makes a call once for each key and keeps its result; after an error the call is made anew."""

    def __init__(self) -> None:
        self._done: dict[K, V] = {}
        self._flights: Flights[K, V] = Flights()

    def __repr__(self) -> str:
        return f"<Memo: {len(self._done)} results>"

    def __len__(self) -> int:
        return len(self._done)

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Return the result of `make` for the key, from now or from earlier."""
        if key not in self._done:
            self._done[key] = await self._flights.run(key, make)
        return self._done[key]

    def forget(self, key: K) -> None:
        """Drop the result of a key."""
        self._done.pop(key, None)

    def keep_only(self, wanted: Callable[[V], bool]) -> None:
        """Drop the results for which `wanted` is false: they are made anew when they are asked for."""
        self._done = {key: value for key, value in self._done.items() if wanted(value)}
