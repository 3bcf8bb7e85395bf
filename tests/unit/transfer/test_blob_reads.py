"""Reads that the targets of one image share: who is waited for, for how long, and what is kept for whom."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image
from ocync.config.model import TagRules
from ocync.lib.errors import NetworkError, NotFoundError, OcyncError, StorageError
from ocync.plan.source import SourceImage
from ocync.registry.retry import RetryPolicy
from ocync.transfer.blob_reads import BlobReads, Delivery
from ocync.transfer.result import Status
from ocync.transfer.staging import Spool, Staging
from passes import MemoryPlaces, assert_at_rest, made, mapping, no_sleep
from scheduling import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest

PATIENCE = 0.25
"""Seconds that a target which was never late is waited for."""


class Timed(Place):
    """A place whose calls of some operations take so many seconds."""

    def __init__(self, name: str, *, seconds: dict[str, float] | None = None, **how: object) -> None:
        super().__init__(name, **how)  # type: ignore[arg-type]
        self.seconds = seconds or {}

    async def call(self, operation: str, path: str, subject: object) -> None:
        await super().call(operation, path, subject)
        if operation in self.seconds:
            await asyncio.sleep(self.seconds[operation])


@dataclass
class World:
    """A source with images of one layer each, and targets that need the layers."""

    source: Timed = field(default_factory=lambda: Timed("source"))
    targets: dict[str, Timed] = field(default_factory=lambda: {name: Timed(name) for name in "abc"})
    staging: Staging | None = None
    held: set[tuple[str, Digest]] = field(default_factory=set)
    ended: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reads = BlobReads(
            RetryPolicy(attempts=2, sleep=no_sleep),
            staging=self.staging,
            holds=lambda host, digest: (host, digest) in self.held,
        )

    def image(self, *hosts: str, layer: bytes = b"a layer") -> SourceImage:
        put_image(self.source.repository("app"), "1", layer)
        return SourceImage(
            self.source.repository("app"),
            "1",
            hosts=hosts or tuple(self.targets),
            finished=self.reads.changed,
        )

    async def bring(
        self,
        image: SourceImage,
        host: str,
        *,
        after: float = 0.0,
        layer: bytes = b"a layer",
        reading: Callable[[Callable[[], bool] | None], None] = lambda _is_slow: None,
    ) -> None:
        """Bring the layer to a target; raises OcyncError."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(after)
        repository, blob = self.targets[host].repository("app"), described(layer)
        upload = await repository.open_upload(blob)
        assert upload is not None
        delivery = Delivery(blob, repository, upload, image=image, reading=reading)
        await self.reads.send(delivery, image.repository)
        self.held.add((host, blob.digest))
        self.ended[host] = loop.time()
        self.reads.changed()

    async def assert_at_rest(self) -> None:
        # What is kept for nobody goes with the next blob that comes.
        await self.reads._sweep()
        assert repr(self.reads) == "<BlobReads: 0 of them, 0 kept on disk>"
        for host in (self.source, *self.targets.values()):
            assert host.slots.statistics.held == host.slots.statistics.waiting == 0
        assert self.staging is None or self.staging.used == 0


def described(data: bytes) -> Descriptor:
    manifest: Manifest = put_image(Place("any").repository("any"), "1", data)
    return manifest.blobs[1]


@pytest.mark.parametrize("seed", range(10))
def test_targets_that_come_within_a_moment_of_each_other_share_one_read(seed: int) -> None:
    async def play() -> None:
        world = World()
        image = world.image()
        coming = [world.bring(image, host, after=n * 0.45 * PATIENCE) for n, host in enumerate("abc")]
        await asyncio.gather(*coming)

        assert world.source.count("read") == 1
        assert max(world.ended.values()) < PATIENCE
        await world.assert_at_rest()

    run(play(), seed=seed)


def test_all_that_come_go_on_at_once_and_nobody_waits_for_targets_that_need_nothing() -> None:
    async def play() -> None:
        world = World()
        image = world.image()
        blob = described(b"a layer")
        world.held.add(("b", blob.digest))
        waiting = asyncio.create_task(world.bring(image, "a"))
        await asyncio.sleep(PATIENCE / 4)
        image.finish("c")
        await waiting

        assert world.ended["a"] < PATIENCE / 3
        await world.assert_at_rest()

    run(play())


def test_a_target_that_does_not_come_is_waited_for_less_each_time() -> None:
    async def play() -> list[float]:
        world, loop = World(), asyncio.get_running_loop()
        waited = []
        for number in range(6):
            layer = b"layer %d" % number
            image, started = world.image("a", "away", layer=layer), loop.time()
            await world.bring(image, "a", layer=layer)
            waited.append(loop.time() - started)
            image.finish("away")
        await world.reads.close()
        return waited

    assert run(play()) == pytest.approx([0.25 / 4**misses for misses in (0, 1, 2, 3, 4, 4)], abs=0.0005)


def test_a_target_that_comes_in_time_again_is_waited_for_longer_again() -> None:
    async def play() -> None:
        world, loop = World(), asyncio.get_running_loop()
        for number in range(4):
            layer = b"layer %d" % number
            await world.bring(world.image("a", "b", layer=layer), "a", layer=layer)
        for number in range(4):
            layer = b"another layer %d" % number
            image = world.image("a", "b", layer=layer)
            await asyncio.gather(*(world.bring(image, host, layer=layer) for host in "ab"))
        started = loop.time()
        await world.bring(world.image("a", "b", layer=b"last"), "a", layer=b"last")
        assert 0.95 * PATIENCE < loop.time() - started < 2.1

    run(play())


def test_what_is_read_while_a_target_is_missing_is_kept_on_disk_for_it(tmp_path: Path) -> None:
    async def play() -> None:
        world = World(staging=Staging(tmp_path, None))
        image = world.image()
        await world.bring(image, "a")
        assert repr(world.reads) == "<BlobReads: 1 of them, 1 kept on disk>"
        await world.bring(image, "b", after=1000.0)
        assert world.staging is not None
        assert world.staging.used > 0
        await world.bring(image, "c", after=1000.0)

        assert world.source.count("read") == 1
        assert all(world.targets[name].blobs["app"] for name in "abc")
        await world.assert_at_rest()

    run(play())


def test_what_is_kept_for_a_target_that_fails_is_dropped_with_the_next_blob(tmp_path: Path) -> None:
    async def play() -> None:
        world = World(staging=Staging(tmp_path, None))
        image = world.image("a", "b")
        await world.bring(image, "a")
        image.finish("b")
        await world.bring(world.image("a", layer=b"another"), "a", layer=b"another")

        await world.assert_at_rest()

    run(play())


def test_without_a_disk_who_comes_late_reads_for_itself() -> None:
    async def play() -> None:
        world = World()
        image = world.image("a", "b")
        await asyncio.gather(world.bring(image, "a"), world.bring(image, "b", after=50.0))

        assert world.source.count("read") == 2
        await world.assert_at_rest()

    run(play())


class Unreadable(Staging):
    """A disk that gives nothing back."""

    async def open(self, size: int) -> Spool | None:
        spool = await super().open(size)

        class Lost(Spool):
            async def read(self, at: int, count: int) -> bytes:
                lost = StorageError("can't read what was staged on disk")
                lost.retryable = True
                raise lost

        if spool is not None:
            spool.__class__ = Lost
        return spool


def test_what_can_t_be_read_from_disk_is_read_again_at_the_source(tmp_path: Path) -> None:
    async def play() -> None:
        world = World(staging=Unreadable(tmp_path, None))
        image = world.image("a", "b")
        await asyncio.gather(world.bring(image, "a"), world.bring(image, "b", after=50.0))

        assert world.targets["b"].blobs["app"]
        assert world.source.count("read") == 2
        await world.assert_at_rest()

    run(play())


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5, 2.5, 4.0, 6.0])
@pytest.mark.parametrize("who", ["a", "b"])
@pytest.mark.parametrize("seed", range(4))
def test_who_is_cut_off_leaves_nothing_behind_and_the_others_go_on(
    who: str, after: float, seed: int, tmp_path: Path
) -> None:
    async def play() -> None:
        world = World(staging=Staging(tmp_path, None))
        world.source.seconds = {"read": 1.0, "piece": 1.0}
        image = world.image("a", "b", "c")
        tasks = {name: asyncio.create_task(world.bring(image, name, after=n)) for n, name in enumerate("abc")}
        await asyncio.sleep(after)
        tasks[who].cancel()
        await asyncio.wait([tasks[who]])
        for name in "abc":
            image.finish(name)
        await asyncio.gather(*tasks.values(), return_exceptions=True)

        assert all(world.targets[name].blobs["app"] for name in "abc" if name != who)
        await world.assert_at_rest()

    run(play(), seed=seed)


def test_an_upload_that_fails_is_tried_again_while_the_others_go_on() -> None:
    async def play() -> None:
        world = World()
        fails = [True]

        def step(operation: str, _path: str, _subject: str) -> tuple[int, OcyncError | None]:
            return 1, NetworkError("reset") if operation == "commit" and fails and fails.pop() else None

        world.targets["a"].step = step
        world.source.seconds = {"piece": 1.0}
        image = world.image()
        await asyncio.gather(*(world.bring(image, host) for host in "abc"))

        assert world.source.count("read") == 2
        assert world.targets["a"].count("abandon") == 1
        assert world.targets["b"].count("open") == world.targets["c"].count("open") == 1
        await world.assert_at_rest()

    run(play())


def test_a_source_that_lacks_the_blob_is_asked_once_for_all() -> None:
    async def play() -> None:
        world = World()
        image = world.image()
        world.source.blobs["app"].clear()
        failures = await asyncio.gather(*(world.bring(image, each) for each in "abc"), return_exceptions=True)

        assert [type(failure) for failure in failures] == [NotFoundError] * 3
        assert world.source.count("read") == 1
        assert all(host.count("abandon") == 1 for host in world.targets.values())
        await world.assert_at_rest()

    run(play())


def test_targets_whose_slots_are_held_by_those_who_wait_for_the_source_get_them() -> None:
    """A read once kept the source's slot for who waited for a slot of its target."""

    async def play() -> None:
        world = World(source=Timed("source", slots=1, seconds={"piece": 1.0}))
        for name in "ab":
            world.targets[name] = Timed(name, slots=1)
        images = [world.image("a", "b", layer=b"layer %d" % number) for number in range(6)]
        await asyncio.gather(
            *(
                world.bring(image, host, layer=b"layer %d" % number, after=number * 0.1 * (host == "a"))
                for number, image in enumerate(images)
                for host in "ab"
            )
        )
        await world.assert_at_rest()

    for seed in range(20):
        run(play(), seed=seed)


def test_a_source_is_told_to_be_slow_only_while_it_is_read() -> None:
    async def play() -> None:
        world = World(source=Timed("source", slots=1, seconds={"piece": 25.0}))
        told: list[Callable[[], bool] | None] = []
        async with asyncio.TaskGroup() as group:
            first = group.create_task(world.bring(world.image("a"), "a"))
            await asyncio.sleep(1)
            second = world.image("a", layer=b"another")
            group.create_task(world.bring(second, "a", layer=b"another", reading=told.append))
            await asyncio.sleep(20)
            # It waits for the source's slot: nothing is to be said for it.
            assert told == []
            await first
            await asyncio.sleep(20)
            assert told[-1] is not None
            assert told[-1]()
        assert told[-1] is None

    run(play())


@pytest.mark.parametrize("dripping", ["the blob itself", "what is before it"])
def test_an_image_of_another_source_does_not_wait_for_one_that_drips(dripping: str) -> None:
    async def play() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        ended: dict[str, float] = {}
        slow, quick, a = Timed("slow", slots=1, seconds={"piece": 25.0}), Timed("quick"), Timed("a", slots=20)
        # It comes when the slow one has begun.
        quick.seconds = {"manifest": 20.0}
        for path in ("first", "app") if dripping == "what is before it" else ("app",):
            put_image(slow.repository(path), "1", b"a layer" if path == "app" else b"first")
        put_image(quick.repository("other"), "1", b"a layer")
        repositories = MemoryPlaces(slow, quick, a)

        def note(event: object) -> None:
            result = getattr(event, "result", None)
            if result is not None:
                assert result.status is Status.SYNCED
                ended[result.target] = loop.time()

        engine = made(repositories, sink=note, at_once=10)
        rules = TagRules(glob=("1",))
        await engine.run(
            [
                *(mapping(path, tags=rules, source="slow") for path in slow.stored),
                mapping("other", tags=rules, source="quick"),
            ]
        )
        assert_at_rest(engine, slow, quick, a)
        return ended

    for seed in range(5):
        ended = run(play(), seed=seed)
        assert ended["a/other:1"] < 30
        assert ended["a/app:1"] > 50
