"""The queue of images: bounded for each source, fair between them, and at its end at an end."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from memory import Place
from ocync.plan.model import Candidate, TargetState
from ocync.plan.source import SourceImage
from ocync.transfer.image_queue import ImageQueue
from passes import mapping
from scheduling import run


def candidates(number: int) -> list[Candidate]:
    source, target = Place("source").repository("app"), TargetState(repository=Place("a").repository("app"))
    return [
        Candidate(mapping=mapping("app"), image=SourceImage(source, str(n)), target=target) for n in range(number)
    ]


async def fill(queue: ImageQueue, source: str, images: list[Candidate]) -> None:
    for image in images:
        await queue.put(source, image)
    queue.resolved(source)


async def test_a_source_that_fills_everything_leaves_workers_for_another_that_comes_later() -> None:
    images = candidates(200)
    queue = ImageQueue(8, ["slow", "quick"])
    began: Counter[str] = Counter()
    never, quick_done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        while (item := await queue.get()) is not None:
            source, _ = item
            began[source] += 1
            if source == "slow":
                await never.wait()
            elif began["quick"] == 50:
                quick_done.set()
            queue.finished(source)

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        for _ in range(8):
            group.create_task(work())
        group.create_task(fill(queue, "slow", images[:100]))
        await asyncio.sleep(0.01)
        # Half of them are for the one that has not come yet.
        assert began == {"slow": 4}
        group.create_task(fill(queue, "quick", images[100:150]))
        await quick_done.wait()
        never.set()

    assert began == {"slow": 100, "quick": 50}


async def test_what_another_target_has_begun_goes_first() -> None:
    images = candidates(6)
    fast, late = ImageQueue(1, ["source"]), ImageQueue(3, ["source"])
    await fill(late, "source", images)
    await fast.put("source", images[3])
    assert await fast.get() == ("source", images[3])

    assert [await late.get() for _ in range(3)] == [("source", images[n]) for n in (3, 0, 1)]


async def test_what_is_kept_for_a_source_is_for_all_when_nothing_more_comes_of_it() -> None:
    queue = ImageQueue(8, ["slow", "over"])
    running, go_on = 0, asyncio.Event()

    async def work() -> None:
        nonlocal running
        while (item := await queue.get()) is not None:
            running += 1
            await go_on.wait()
            running -= 1
            queue.finished(item[0])

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        for _ in range(8):
            group.create_task(work())
        group.create_task(fill(queue, "slow", candidates(20)))
        await asyncio.sleep(0.01)
        assert running == 4
        queue.resolved("over")
        await asyncio.sleep(0.01)
        assert running == 8
        go_on.set()


async def test_what_one_source_puts_in_is_bounded_and_keeps_no_other_from_it() -> None:
    images = candidates(100)
    queue = ImageQueue(4, ["many", "few"])

    async with asyncio.timeout(5):
        putting = asyncio.create_task(fill(queue, "many", images))
        await asyncio.sleep(0.01)
        assert repr(queue) == "<ImageQueue: 8 waiting, 0 running>"
        await fill(queue, "few", images[:3])
        putting.cancel()


async def test_without_work_it_is_at_an_end() -> None:
    async with asyncio.timeout(1):
        assert await ImageQueue(4, []).get() is None


@settings(max_examples=60, deadline=None)
@given(
    workers=st.integers(1, 12),
    sources=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    pieces=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_all_images_of_all_sources_come_out_once(workers: int, sources: list[int], pieces: int, seed: int) -> None:
    images = candidates(30)

    async def play() -> None:
        queue = ImageQueue(workers, [str(n) for n in range(len(sources)) for _ in range(pieces)])
        got: Counter[tuple[str, str]] = Counter()
        running: Counter[str] = Counter()
        most = 0

        async def work() -> None:
            nonlocal most
            while (item := await queue.get()) is not None:
                running[item[0]] += 1
                most = max(most, running.total())
                got[item[0], item[1].tag] += 1
                await asyncio.sleep(0)
                running[item[0]] -= 1
                queue.finished(item[0])

        async with asyncio.TaskGroup() as group:
            for _ in range(queue.workers):
                group.create_task(work())
            for n, number in enumerate(sources):
                for _ in range(pieces):
                    group.create_task(fill(queue, str(n), images[:number]))

        assert got == {(str(n), str(t)): pieces for n, number in enumerate(sources) for t in range(number)}
        assert most <= queue.workers

    run(play(), seed=seed)


@settings(max_examples=100, deadline=None)
@given(
    workers=st.integers(1, 50),
    hanging=st.lists(st.integers(1, 100), min_size=1, max_size=20),
    seed=st.integers(0, 1000),
)
def test_sources_that_hang_leave_a_worker_for_each_other_and_none_has_more_than_half(
    workers: int, hanging: list[int], seed: int
) -> None:
    images = candidates(100)

    async def play() -> None:
        names = [f"hangs{number}" for number in range(len(hanging))]
        queue = ImageQueue(workers, [*names, "answers"])
        began: Counter[str] = Counter()
        go_on, is_done = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            while (item := await queue.get()) is not None:
                source, _ = item
                began[source] += 1
                if source != "answers":
                    await go_on.wait()
                elif began[source] == 30:
                    is_done.set()
                queue.finished(source)

        async with asyncio.TaskGroup() as group:
            for _ in range(queue.workers):
                group.create_task(work())
            for name, number in zip(names, hanging, strict=True):
                group.create_task(fill(queue, name, images[:number]))
            # It comes when all others hang.
            await asyncio.sleep(1)
            most = max(1, queue.workers // 2)
            assert all(0 < began[name] <= most for name in names)
            group.create_task(fill(queue, "answers", images[:30]))
            await is_done.wait()
            go_on.set()

        assert began == {"answers": 30, **dict(zip(names, hanging, strict=True))}

    run(play(), seed=seed)


def test_there_are_as_many_workers_as_there_are_sources_and_one_for_all() -> None:
    assert ImageQueue(2, [str(number) for number in range(9)]).workers == 10
    assert ImageQueue(50, ["a", "b", "a"]).workers == 50
    assert ImageQueue(1, ["a"]).workers == 1
