"""Slots: never more than there are, fair, and no deadlock."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from ocync.slots import Slots, reserve


async def test_no_more_are_held_than_there_are() -> None:
    slots, held, peak = Slots("a", 3), 0, 0

    async def work() -> None:
        nonlocal held, peak
        async with slots.hold():
            held += 1
            peak = max(peak, held)
            await asyncio.sleep(0)
            held -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(work())

    assert peak == 3
    assert slots.statistics.held == slots.statistics.waiting == 0


async def test_who_waits_longest_is_next_also_for_several() -> None:
    slots, order = Slots("a", 2), []

    async def work(name: str, count: int) -> None:
        async with slots.hold(count):
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for name, count in (("one", 1), ("both", 2), ("late", 1), ("later", 1)):
            group.create_task(work(name, count))

    assert order == ["one", "both", "late", "later"]


@pytest.mark.parametrize("when", ["waiting", "granted"])
async def test_a_cancelled_waiter_leaves_nothing_behind(when: str) -> None:
    slots = Slots("a", 1)
    release = asyncio.Event()

    async def first() -> None:
        async with slots.hold():
            await release.wait()

    async def second() -> None:
        async with slots.hold():
            pass

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        waiter = group.create_task(second())
        await asyncio.sleep(0)
        if when == "granted":
            release.set()
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.sleep(0)
        release.set()

    assert slots.statistics.held == slots.statistics.waiting == 0
    async with asyncio.timeout(1), slots.hold():
        pass


async def test_more_than_there_are_means_all_of_them() -> None:
    slots = Slots("a", 2)

    async with asyncio.timeout(1), slots.hold(5):
        assert slots.statistics.held == 2


@pytest.mark.parametrize("capacities", list(itertools.product([1, 2], repeat=3)), ids=str)
async def test_reservations_of_any_overlap_all_come_to_an_end(capacities: tuple[int, ...]) -> None:
    places = [Slots(name, capacity) for name, capacity in zip("abc", capacities, strict=True)]
    subsets = [list(c) for n in (1, 2, 3) for c in itertools.permutations(places, n)] + [[places[0], places[0]]]
    done = 0

    async def work(wanted: list[Slots]) -> None:
        nonlocal done
        async with reserve(wanted):
            await asyncio.sleep(0)
        done += 1

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for wanted in subsets * 3:
            group.create_task(work(wanted))

    assert done == len(subsets) * 3
    assert all(place.statistics.held == 0 for place in places)
