"""
What one registry does, or fails to do, holds up nobody else's images.

Everything is over sockets and in real seconds, which are few: what stands still here would do so for minutes, and
the others have a few seconds in which nothing but their own work is to be done.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ocync.config.model import MappingConfig
    from scripted.rules import Action

PATIENT = 20.0
"""Seconds without a byte that our side allows: more than any of these tests takes."""
SOON = 6.0
"""Seconds in which images arrive that nothing is wrong with; they take a fraction of one."""
LIST, MANIFESTS, BLOBS, UPLOADS = r"/tags/list", r"/manifests/", r"/blobs/sha", r"/blobs/uploads/"


@asynccontextmanager
async def registries(count: int) -> AsyncIterator[list[ScriptedRegistry]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ScriptedRegistry()) for _ in range(count)]


@asynccontextmanager
async def passing(*mappings: MappingConfig, side: Side, at_once: int = 50) -> AsyncIterator[None]:
    """Let a pass run beside what is done in the context, and cut it off with that."""
    running = asyncio.create_task(side.run(mappings, at_once=at_once))
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def arrive(target: ScriptedRegistry, images: Iterable[tuple[str, str, str]], *, within: float = SOON) -> None:
    """Wait until all of these (repository, tag, digest) are at a target; fail if that is not soon."""
    wanted, loop = list(images), asyncio.get_running_loop()
    until = loop.time() + within
    while lacking := [each for each in wanted if target.resolve(each[0], each[1]) != each[2]]:
        assert loop.time() < until, f"{len(lacking)} of {len(wanted)} images are not there after {within:g} s"
        await asyncio.sleep(0.02)


async def test_a_source_that_drips_a_layer_keeps_it_from_nobody_who_has_it_from_another() -> None:
    shared = build.layer(4096, 1)
    good_image, evil_image = build.image([shared, build.layer(500, 2)]), build.image([shared], label="evil")
    async with registries(3) as (good, evil, target), Side(idle=PATIENT) as side:
        good.seed("team/good", "1", good_image)
        evil.seed("team/evil", "1", evil_image)
        evil.on("GET", BLOBS, respond=faults.drip(size=1, pause=0.1))
        # The evil one is the first to want the layer.
        good.on("GET", LIST, times=1, respond=faults.stall(0.5))
        work = [
            side.mapping(evil.url, target.url, repository="team/evil"),
            side.mapping(good.url, target.url, repository="team/good"),
        ]
        async with passing(*work, side=side):
            # A read that drips is given up after some seconds; to its end it would take minutes.
            await arrive(target, [("team/good", "1", good_image.digest)], within=30.0)


@pytest.mark.skips_waits
@pytest.mark.parametrize(
    ("method", "pattern", "fault"),
    [
        pytest.param("GET", LIST, faults.drip(size=1, pause=0.1), id="its tag list"),
        pytest.param("GET|HEAD", MANIFESTS, faults.stall(15.0), id="what its tags point to"),
        pytest.param("HEAD", BLOBS, faults.stall(15.0), id="looks for blobs"),
        pytest.param("POST", UPLOADS, faults.stall(15.0), id="the begin of uploads"),
        pytest.param("POST|PUT|PATCH", UPLOADS, faults.drip_upload(20.0), id="uploads"),
        pytest.param("PUT", MANIFESTS, faults.stall(15.0), id="its manifests"),
    ],
)
async def test_one_of_two_targets_that_stands_still_keeps_nothing_from_the_other(
    method: str, pattern: str, fault: Action
) -> None:
    base = build.layer(900, 1)
    images = {f"1.{number}": build.image([base, build.layer(400, 10 + number)]) for number in range(20)}
    async with registries(3) as (source, slow, target), Side(idle=PATIENT) as side:
        for number, (tag, image) in enumerate(images.items()):
            source.seed("team/app", tag, image)
            # Something to look at, so that no kind of request is spared.
            for each in (slow, target):
                each.seed("team/app", tag, build.image([base], label=f"earlier {number}"))
        for number in range(300):
            slow.repository("team/app").tags[f"old-{number}"] = "sha256:" + "0" * 64
        slow.on(method, pattern, respond=fault)
        mapping = side.mapping(source.url, slow.url, target.url)
        async with passing(mapping, side=side):
            await arrive(target, [("team/app", tag, image.digest) for tag, image in images.items()])


@pytest.mark.skips_waits
async def test_a_source_with_endless_work_leaves_workers_for_each_of_many_others() -> None:
    image = build.image()
    async with registries(27) as (target, endless, *others), Side(idle=PATIENT) as side:
        for number in range(120):
            endless.seed("team/endless", f"1.{number}", build.image(label=str(number)))
        endless.on("GET|HEAD", MANIFESTS, respond=faults.stall(15.0))
        for number, other in enumerate(others):
            other.seed(f"team/app{number}", "1", image)
            # When all workers could have been taken.
            other.on("GET", LIST, times=1, respond=faults.stall(0.5))
        work = [side.mapping(endless.url, target.url, repository="team/endless")]
        work += [
            side.mapping(other.url, target.url, repository=f"team/app{number}")
            for number, other in enumerate(others)
        ]
        async with passing(*work, side=side):
            await arrive(target, [(f"team/app{number}", "1", image.digest) for number in range(len(others))])


def tree(width: int, depth: int, name: str = "") -> build.Image:
    """Make indexes of indexes, each another one, the lowest of which list nothing."""
    children = [tree(width, depth - 1, f"{name}.{number}") for number in range(width)] if depth else []
    return build.index(children, annotations={"n": name})


async def test_a_tag_that_is_a_tree_of_thousands_of_indexes_fails_alone_and_says_what_the_limit_is() -> None:
    image, forest = build.image(), tree(20, 3)
    assert len(forest.manifests) == 1 + 20 + 400 + 8000
    async with registries(3) as (evil, good, target), Side(idle=PATIENT) as side:
        evil.seed("team/evil", "1", forest)
        good.seed("team/good", "1", image)
        work = [
            side.mapping(evil.url, target.url, repository="team/evil"),
            side.mapping(good.url, target.url, repository="team/good"),
        ]
        async with asyncio.TaskGroup() as group:
            group.create_task(arrive(target, [("team/good", "1", image.digest)]))
            # However much is read before the limit is met.
            running = group.create_task(side.sync(*work, within=2 * SOON))
        results = running.result()

        assert results[f"{target.host}/team/good:1"].status is Status.SYNCED
        error = results[f"{target.host}/team/evil:1"].error
        assert error is not None
        assert re.search(r"(at most|more than|limit|the most)", error.message), error.message
        assert re.search(r"\d", error.message), error.message
        assert len(error.message) < 500
        assert target.resolve("team/evil", "1") is None


@pytest.mark.skips_waits
@pytest.mark.parametrize("who", ["the source", "the target"])
async def test_a_registry_that_is_away_for_some_seconds_at_the_end_of_a_pass_fails_nothing(who: str) -> None:
    images = {f"1.{number}": build.image(label=str(number)) for number in range(4)}
    patient = Side(idle=PATIENT, attempts=2, sleep=asyncio.sleep, return_time=20.0)
    async with registries(2) as (source, target), patient as side:
        for tag, image in images.items():
            source.seed("team/app", tag, image)
        leaving: list[asyncio.Task[None]] = []
        gone, pattern = (source, BLOBS) if who == "the source" else (target, UPLOADS)
        gone.on(
            "*",
            pattern,
            after=3,
            times=1,
            respond=faults.first(lambda: leaving.append(asyncio.create_task(gone.be_away(4.0)))),
        )

        results = await side.sync(side.mapping(source.url, target.url), within=30.0)

        assert leaving
        await asyncio.gather(*leaving)
        assert [str(result.error) for result in results.values() if result.error is not None] == []
        assert target.repositories["team/app"].tags == {tag: image.digest for tag, image in images.items()}
