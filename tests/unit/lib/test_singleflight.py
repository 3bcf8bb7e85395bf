"""One call for many, and its answer for those who ask later."""

from __future__ import annotations

import asyncio

import pytest

from ocync.lib.singleflight import Flights, Memo


class Calls:
    """A call that waits until it is told to land."""

    def __init__(self) -> None:
        self.count = 0
        self.land = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        await self.land.wait()
        if self.error is not None:
            raise self.error
        return number


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_share_one_call() -> None:
    flights, call = Flights[str, int](), Calls()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(flights.run("key", call)) for _ in range(50)]
        await settle()
        call.land.set()

    assert [task.result() for task in tasks] == [1] * 50
    assert call.count == 1


async def test_each_key_has_a_call_of_its_own_and_nothing_is_remembered() -> None:
    flights, call = Flights[str, int](), Calls()
    call.land.set()

    assert [await flights.run(key, call) for key in ("a", "b", "a")] == [1, 2, 3]
    assert repr(flights) == "<Flights: 0 under way>"


async def test_an_error_goes_to_all_who_wait_and_the_next_tries_again() -> None:
    flights, call = Flights[str, int](), Calls()
    call.error = ValueError("no")
    tasks = [asyncio.ensure_future(flights.run("key", call)) for _ in range(5)]
    await settle()
    call.land.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(result) for result in results] == ["no"] * 5
    assert call.count == 1
    call.error = None
    assert await flights.run("key", call) == 2


async def test_an_error_that_nobody_else_waits_for_is_raised_once() -> None:
    flights, call = Flights[str, int](), Calls()
    call.error = ValueError("no")
    call.land.set()

    with pytest.raises(ValueError, match="no"):
        await flights.run("key", call)


@pytest.mark.parametrize("cancelled", [0, 1, 4], ids=["the one that calls", "one that waits", "the last"])
async def test_who_is_cancelled_takes_nobody_along(cancelled: int) -> None:
    flights, call = Flights[str, int](), Calls()
    tasks = [asyncio.ensure_future(flights.run("key", call)) for _ in range(5)]
    await settle()
    tasks[cancelled].cancel()
    await settle()
    call.land.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results.pop(cancelled), asyncio.CancelledError)
    # Where the caller itself was cancelled, one of the others has called again, and only one.
    assert results == [2 if cancelled == 0 else 1] * 4
    assert call.count == (2 if cancelled == 0 else 1)


async def test_when_all_are_cancelled_nothing_goes_on() -> None:
    flights, call = Flights[str, int](), Calls()
    tasks = [asyncio.ensure_future(flights.run("key", call)) for _ in range(5)]
    await settle()
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert repr(flights) == "<Flights: 0 under way>"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_was_answered_is_kept_until_it_is_forgotten_and_an_error_is_not() -> None:
    memo, call = Memo[str, int](), Calls()
    call.land.set()
    call.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await memo.get("key", call)
    call.error = None

    assert [await memo.get("key", call) for _ in range(3)] == [2] * 3
    memo.forget("key")
    memo.forget("another")
    assert await memo.get("key", call) == 3
    assert await memo.get("another", call) == 4
    memo.keep_only(lambda value: value == 4)
    assert len(memo) == 1
    assert [await memo.get(key, call) for key in ("another", "key")] == [4, 5]


async def test_all_who_ask_for_what_is_kept_at_once_share_one_call() -> None:
    memo, call = Memo[str, int](), Calls()
    tasks = [asyncio.ensure_future(memo.get("key", call)) for _ in range(5)]
    await settle()
    call.land.set()

    assert await asyncio.gather(*tasks) == [1] * 5
    assert call.count == 1
