"""A loop over many items that works on several at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

T = TypeVar("T")

# Slots bound the requests; this only bounds the tasks.
_AT_ONCE = 16


async def each_of(items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """
    Call `act` for every item, for at most 16 items at once.

    After an error no further item is begun; those under way are completed, and the first error is raised.
    """
    everything = list(items)
    if len(everything) == 1:
        await act(everything[0])
        return
    remaining = iter(everything)
    errors: list[Exception] = []

    async def work() -> None:
        for item in remaining:
            if errors:
                return
            try:
                await act(item)
            except Exception as error:
                errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, len(everything))):
            group.create_task(work())
    if errors:
        raise errors[0]
