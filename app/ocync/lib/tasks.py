"""Acting on many things, some at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

T = TypeVar("T")

# Slots decide what runs; this only bounds the tasks.
_AT_ONCE = 16


async def each_of(items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """
    Act on all items, some at once: a list of thousands of entries is no thousands of tasks.

    After an error nothing more is begun; what is under way ends by itself, and the first error is raised.
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
