"""Slots are never exceeded, given out fairly, and cannot deadlock."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocync.lib.limiter import Lane, Slots, reserve


async def test_no_more_slots_are_held_than_there_are() -> None:
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


async def test_a_request_for_several_slots_is_not_overtaken() -> None:
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


async def test_holding_more_slots_than_there_are_holds_all() -> None:
    slots = Slots("a", 2)

    async with asyncio.timeout(1), slots.hold(5):
        assert slots.statistics.held == 2


@pytest.mark.parametrize("capacities", list(itertools.product([1, 2], repeat=3)), ids=str)
async def test_overlapping_reservations_do_not_deadlock(capacities: tuple[int, ...]) -> None:
    repositories = [Slots(name, capacity) for name, capacity in zip("abc", capacities, strict=True)]
    subsets = [list(c) for n in (1, 2, 3) for c in itertools.permutations(repositories, n)] + [
        [repositories[0], repositories[0]]
    ]
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
    assert all(host.statistics.held == 0 for host in repositories)


class Narrow(Lane):
    """A lane with a limit, a pause and a pace that the test sets."""

    def __init__(self, slots: Slots, limit: int = 10) -> None:
        super().__init__(slots)
        self.number = limit
        self.paused_until = 0.0
        self.every = 0.0
        self._next = 0.0
        self.most = 0

    @property
    def limit(self) -> int:
        return self.number

    def pause(self, now: float) -> float:
        return max(0.0, self.paused_until - now)

    def pace(self, now: float) -> float:
        return max(0.0, self._next - now)

    def begin(self, now: float) -> None:
        self._next = max(self._next, now) + self.every
        self.most = max(self.most, self.held)

    def pause_for(self, seconds: float) -> None:
        self.paused_until = time.monotonic() + seconds
        self.slots.wake()


async def test_a_full_lane_does_not_block_other_lanes() -> None:
    slots = Slots("a", 10)
    uploads, looks = Narrow(slots, 1), Narrow(slots, 10)

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        async with uploads.hold():
            waiting = group.create_task(uploads.slots.acquire(1, (uploads,)))
            await asyncio.sleep(0)
            async with looks.hold():
                assert not waiting.done()
                assert slots.statistics.held == 2
        assert await waiting


async def test_a_lane_serves_requests_in_order() -> None:
    slots, order = Slots("a", 10), []
    lane = Narrow(slots, 1)

    async def work(name: str) -> None:
        async with lane.hold():
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for name in "abcde":
            group.create_task(work(name))

    assert order == list("abcde")
    assert lane.most == 1


async def test_a_request_that_waits_for_a_slot_is_not_overtaken_by_another_lane() -> None:
    slots, order = Slots("a", 1), []
    one, two = Narrow(slots), Narrow(slots)

    async def work(lane: Lane, name: str) -> None:
        async with lane.hold():
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for lane, name in ((one, "first"), (two, "second"), (one, "third")):
            group.create_task(work(lane, name))

    assert order == ["first", "second", "third"]


async def test_a_limit_may_shrink_and_grow_while_requests_wait() -> None:
    lane = Narrow(Slots("a", 10), 4)
    most_then, go_on = 0, asyncio.Event()

    async def work() -> None:
        nonlocal most_then
        async with lane.hold():
            await go_on.wait()
            most_then = max(most_then, lane.held) if lane.number == 2 else most_then
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        for _ in range(12):
            group.create_task(work())
        await asyncio.sleep(0)
        assert lane.held == 4
        lane.number = 6
        lane.slots.wake()
        await asyncio.sleep(0)
        assert lane.held == 6
        lane.number = 1
        go_on.set()

    assert lane.held == lane.slots.statistics.held == lane.slots.statistics.waiting == 0


async def test_a_capacity_function_may_change_its_answer() -> None:
    capacity = 1
    slots = Slots("a", lambda: capacity)

    async with asyncio.timeout(5), slots.hold():
        second = asyncio.create_task(slots.acquire(1))
        await asyncio.sleep(0)
        assert not second.done()
        capacity = 2
        slots.wake()
        assert await second


async def test_a_pause_holds_back_new_and_waiting_requests() -> None:
    lane = Narrow(Slots("a", 10), 1)
    began: list[float] = []

    async def work() -> None:
        async with lane.hold():
            began.append(time.monotonic())

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        async with lane.hold():
            group.create_task(work())
            await asyncio.sleep(0)
            lane.pause_for(0.2)
            started = time.monotonic()
        group.create_task(work())

    assert len(began) == 2
    assert all(at - started >= 0.19 for at in began)


async def test_requests_begin_at_the_pace_of_the_lane() -> None:
    lane = Narrow(Slots("a", 10))
    lane.every = 0.03

    async def work() -> None:
        async with lane.hold():
            pass

    started = time.monotonic()
    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        for _ in range(6):
            group.create_task(work())

    assert time.monotonic() - started >= 5 * 0.03


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_task_that_waits_for_a_pause_holds_no_slot_of_another_host(when: str) -> None:
    source, target = Slots("a", 1), Slots("b", 1)
    reads, uploads = Narrow(source), Narrow(target)

    async def relay() -> None:
        async with reserve([reads, uploads]):
            pass

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        if when == "before":
            uploads.pause_for(0.3)
            waiting = group.create_task(relay())
            await asyncio.sleep(0.05)
        else:
            async with uploads.hold():
                waiting = group.create_task(relay())
                await asyncio.sleep(0)
                assert source.statistics.held == 0
                uploads.pause_for(0.3)
                await asyncio.sleep(0)
        assert source.statistics.held == 0
        async with reads.hold():
            assert not waiting.done()

    assert source.statistics.held == target.statistics.held == 0


@settings(max_examples=60, deadline=None)
@given(
    capacities=st.tuples(*[st.integers(1, 3)] * 3),
    limits=st.tuples(*[st.integers(1, 3)] * 6),
    work=st.lists(
        st.tuples(
            st.lists(st.integers(0, 5), min_size=1, max_size=4),
            st.booleans(),
            st.sampled_from(["nothing", "pause", "shrink", "grow"]),
        ),
        max_size=25,
    ),
)
def test_any_mix_of_reservations_pauses_and_cancellations_ends(
    capacities: tuple[int, ...],
    limits: tuple[int, ...],
    work: list[tuple[list[int], bool, str]],
) -> None:
    async def play() -> None:
        hosts = [Slots(name, capacity) for name, capacity in zip("abc", capacities, strict=True)]
        lanes = [Narrow(hosts[number // 2], limit) for number, limit in enumerate(limits)]
        ended = 0

        async def act(wanted: list[Narrow], then: str) -> None:
            nonlocal ended
            async with reserve(wanted):
                for lane in wanted:
                    assert lane.slots.statistics.held >= 1
                    assert lane.held >= 1
                await asyncio.sleep(0)
                match then:
                    case "pause":
                        wanted[0].pause_for(0.002)
                    case "shrink":
                        wanted[-1].number = 1
                    case "grow":
                        wanted[-1].number += 1
                        wanted[-1].slots.wake()
            ended += 1

        async with asyncio.timeout(10):
            tasks = [asyncio.create_task(act([lanes[i] for i in chosen], then)) for chosen, _, then in work]
            await asyncio.sleep(0)
            for task, (_, cancelled, _) in zip(tasks, work, strict=True):
                if cancelled:
                    task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert ended + cancelled == len(work)
        assert not [r for r in results if isinstance(r, Exception)]
        assert all(host.statistics.held == host.statistics.waiting == 0 for host in hosts)
        assert all(lane.held == 0 for lane in lanes)

    asyncio.run(play())
