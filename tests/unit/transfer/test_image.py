"""Images to targets: what is asked, what is sent, and what happens when parts of it fail."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import MemoryRepository, Place, put_image, put_index
from ocync.lib.errors import AuthError, NetworkError, NotFoundError, OcyncError
from ocync.oci.digest import Digest
from ocync.plan.budget import Budget
from ocync.registry.retry import RetryPolicy
from ocync.transfer.blob_reads import BlobReads
from ocync.transfer.claims import Claims
from ocync.transfer.destination import Destination
from ocync.transfer.image import ImageCopier
from ocync.transfer.tree import ManifestReader
from passes import failing, no_sleep
from scheduling import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.manifest import Manifest

POLICY = RetryPolicy(attempts=4, sleep=no_sleep)


class Job:
    """One image of a source repository to one target repository."""

    def __init__(self, world: World, source: MemoryRepository, root: Manifest, target: Destination) -> None:
        self.world, self.source, self.root, self.target = world, source, root, target
        self.error: OcyncError | None = None

    def copier(self) -> ImageCopier:
        return ImageCopier(
            self.source,
            self.target,
            mover=self.world.reads,
            reader=self.world.reader,
            budget=Budget(self.source.name),
        )

    async def run(self, tag: str = "t") -> None:
        copier = self.copier()
        try:
            await copier.contents(self.root)
            await copier.put(self.root, tag)
        except OcyncError as error:
            self.error = error
        finally:
            copier.close()


class World:
    """A source and some targets, with the claims of each target."""

    def __init__(self, *targets: Place, source: Place | None = None, policy: RetryPolicy = POLICY) -> None:
        self.source = source or Place("source")
        self.targets = {host.name: host for host in targets}
        self.claims = {host.name: Claims(host.name) for host in targets}
        self.reads = BlobReads(policy)
        self.reader = ManifestReader()

    def to(self, host: str, path: str, *, empty: bool = False) -> Destination:
        repository = self.targets[host].repository(path)
        if empty:
            self.claims[host].found_empty(repository)
        return Destination(repository=repository, claims=self.claims[host])

    def job(self, source: MemoryRepository, root: Manifest, target: Destination) -> Job:
        return Job(self, source, root, target)

    def assert_sound(self, jobs: list[Job]) -> None:
        """No tag was ever incomplete, and each job has its tag or an error."""
        for host in self.targets.values():
            assert host.incomplete == []
        for job in jobs:
            repository = job.target.repository
            tagged = self.targets[repository.host].tagged[repository.path].get("t")
            assert job.error is not None or tagged is not None


async def together(jobs: list[Job]) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(job.run())


async def test_an_index_arrives_whole_with_its_shared_layer_sent_once() -> None:
    world = World(Place("a"))
    source = world.source.repository("app")
    root = put_index(source, "t", (b"base", b"one"), (b"base", b"two"))
    job = world.job(source, root, world.to("a", "app", empty=True))

    await job.run()

    assert job.error is None
    assert world.targets["a"].tagged["app"]["t"] == root.digest
    assert world.source.count("read") == 4  # one config, three layers
    assert job.target.blobs.transferred == 4
    assert world.targets["a"].count("has") == world.targets["a"].count("head") == 0  # it was empty


async def test_a_repository_mounts_what_another_of_the_place_got() -> None:
    world = World(Place("a"))
    sources = [world.source.repository(f"app{n}") for n in range(10)]
    jobs = [
        world.job(source, put_image(source, "t", b"base", b"own %d" % n), world.to("a", f"app{n}", empty=True))
        for n, source in enumerate(sources)
    ]

    await together(jobs)

    world.assert_sound(jobs)
    assert all(job.error is None for job in jobs)
    assert world.source.count("read") == 1 + 1 + 10  # config and base once, and each image's own
    assert sum(job.target.blobs.mounted for job in jobs) == 9 + 9


async def test_where_mounts_are_refused_the_bytes_come_from_the_target_itself() -> None:
    world = World(Place("a", mounts=False))
    sources = [world.source.repository(f"app{n}") for n in range(3)]
    jobs = [world.job(s, put_image(s, "t", b"base"), world.to("a", f"app{n}")) for n, s in enumerate(sources)]

    for job in jobs:
        await job.run()

    world.assert_sound(jobs)
    assert world.source.count("read") == 2
    assert world.targets["a"].count("read") == 4


async def test_a_target_that_fails_does_not_hold_the_others_up() -> None:
    def refuse(operation: str, *_: str) -> tuple[int, OcyncError | None]:
        return 1, AuthError("no push") if operation == "open" else None

    world = World(Place("a"), Place("b", step=refuse))
    source = world.source.repository("app")
    root = put_image(source, "t", b"one")
    good, bad = (world.job(source, root, world.to(host, "app")) for host in "ab")

    await together([good, bad])

    assert good.error is None
    assert isinstance(bad.error, AuthError)
    assert world.targets["b"].tagged["app"] == {}
    world.assert_sound([good, bad])


async def test_a_broken_read_is_made_again_and_then_arrives() -> None:
    remaining = [2]

    def break_twice(operation: str, *_: str) -> tuple[int, OcyncError | None]:
        if operation == "piece" and remaining[0]:
            remaining[0] -= 1
            return 1, NetworkError("reset")
        return 1, None

    world = World(Place("a"), source=Place("source", step=break_twice))
    source = world.source.repository("app")
    job = world.job(source, put_image(source, "t", b"one"), world.to("a", "app"))

    await job.run()

    assert job.error is None
    world.assert_sound([job])


async def test_a_read_that_breaks_again_and_again_but_gives_something_each_time_is_not_given_up() -> None:
    data = bytes(range(100)) * 10
    reached = 0

    world = World(Place("a"), policy=RetryPolicy(attempts=3, sleep=no_sleep))
    source = world.source.repository("app")
    root = put_image(source, "t", data)
    layer = root.blobs[1].digest

    async def pieces(_descriptor: object, rest: bytes) -> AsyncIterator[bytes]:
        nonlocal reached
        if rest != data[reached:]:
            yield rest
            return
        reached += 100
        yield rest[:100]
        if reached < len(data):
            raise NetworkError("reset")

    source._pieces = pieces  # type: ignore[method-assign]
    job = world.job(source, root, world.to("a", "app"))

    await job.run()

    assert job.error is None
    assert world.targets["a"].blobs["app"][layer] == data
    assert reached == 1000


async def test_bytes_that_lie_never_reach_a_target_whole() -> None:
    world = World(Place("a"))
    source = world.source.repository("app")
    root = put_image(source, "t", b"honest bytes")
    layer = root.blobs[1].digest
    world.source.blobs["app"][layer] = b"honest bytez"
    job = world.job(source, root, world.to("a", "app"))

    await job.run()  # the memory place asserts that what it commits is right

    assert job.error is not None
    assert job.error.kind == "verification"
    assert layer not in world.targets["a"].blobs["app"]
    world.assert_sound([job])


async def test_a_leader_that_fails_hands_over() -> None:
    def refuse_first(operation: str, path: str, _digest: str) -> tuple[int, OcyncError | None]:
        return 5, AuthError("no") if path == "app0" and operation in ("send", "open") else None

    world = World(Place("a", step=refuse_first))
    sources = [world.source.repository(f"app{n}") for n in range(3)]
    jobs = [world.job(s, put_image(s, "t", b"base"), world.to("a", f"app{n}")) for n, s in enumerate(sources)]

    await together(jobs)

    assert jobs[0].error is not None
    assert jobs[1].error is jobs[2].error is None
    world.assert_sound(jobs)


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_copy_that_is_cancelled_anywhere_leaves_others_able_to_finish(turns: int) -> None:
    world = World(Place("a", slots=1), source=Place("source", slots=1))
    source = world.source.repository("app")
    root = put_index(source, "t", (b"base", b"one"), (b"base", b"two"))
    first, second = (world.job(source, root, world.to("a", "app")) for _ in range(2))

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(first.run())
        group.create_task(second.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    assert second.error is None
    assert world.targets["a"].slots.statistics.held == 0
    world.assert_sound([second])


LAYERS = [b"base", b"lib", b"tool", b"data"]


@settings(max_examples=150, deadline=None)
@given(
    images=st.lists(
        st.tuples(
            st.integers(0, 2),  # source repository
            st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3, unique=True),
            st.booleans(),  # an index of two, or one image
            st.sets(st.sampled_from(["a", "b"]), min_size=1),
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 2**32),
    failing=st.sampled_from([0.0, 0.05, 0.3]),
    slots=st.integers(1, 3),
    mounts=st.booleans(),
)
def test_any_mix_of_images_orders_and_failures_ends_with_sound_targets(
    images: list[tuple[int, list[bytes], bool, set[str]]], seed: int, failing: float, slots: int, mounts: bool
) -> None:
    chance = random.Random(seed)

    def step(operation: str, *_: str) -> tuple[int, OcyncError | None]:
        fails = chance.random() < failing
        error: OcyncError = NetworkError("reset") if chance.random() < 0.7 else AuthError("no")
        return chance.randrange(4), error if fails else None

    async def play() -> None:
        world = World(
            *(Place(name, slots=slots, mounts=mounts, step=step) for name in ("a", "b")),
            source=Place("source", slots=slots, step=step),
        )
        jobs = []
        for number, (repository, layers, is_index, repositories) in enumerate(images):
            source = world.source.repository(f"app{repository}")
            root = (
                put_index(source, f"v{number}", tuple(layers), tuple(layers[:1]))
                if is_index
                else put_image(source, f"v{number}", *layers)
            )
            jobs += [world.job(source, root, world.to(host, f"app{repository}")) for host in sorted(repositories)]

        await together(jobs)

        world.assert_sound(jobs)
        for host in (world.source, *world.targets.values()):
            assert host.slots.statistics.held == host.slots.statistics.waiting == 0
        if failing == 0.0:
            assert all(job.error is None for job in jobs)

    run(play(), seed=seed)


async def test_an_image_that_many_tags_name_is_put_by_its_digest_once() -> None:
    world = World(Place("a"))
    root = put_image(world.source.repository("app"), "t", b"x")
    job = world.job(world.source.repository("app"), root, world.to("a", "app"))
    copier = job.copier()
    await copier.contents(root)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(copier.put_once(root))

    assert world.targets["a"].count("put") == 1
    assert root.digest in world.targets["a"].stored["app"]


async def test_who_waits_for_an_image_that_another_fails_to_put_puts_it() -> None:
    world = World(Place("a", step=failing("put", NetworkError("reset"), times=1)))
    root = put_image(world.source.repository("app"), "t", b"x")
    copier = world.job(world.source.repository("app"), root, world.to("a", "app")).copier()
    await copier.contents(root)

    failures = await asyncio.gather(*(copier.put_once(root) for _ in range(2)), return_exceptions=True)

    assert [type(failure) for failure in failures] == [NetworkError, type(None)]
    assert root.digest in world.targets["a"].stored["app"]


async def test_the_smallest_blob_is_begun_first_then_the_largest_ones() -> None:
    opened: list[str] = []

    def noted(operation: str, _path: str, subject: str) -> tuple[int, OcyncError | None]:
        if operation == "open":
            opened.append(subject)
        return 1, None

    target = Place("a", slots=1, step=noted)
    world = World(target)
    source = world.source.repository("app")
    root = put_image(source, "t", *(b"x" * size for size in (300, 5000, 40, 9000)))

    await world.job(source, root, world.to("a", "app", empty=True)).run()

    sizes = {str(part.digest): part.size for part in root.blobs}
    order = [sizes[digest] for digest in dict.fromkeys(opened) if digest in sizes]
    assert order == [min(sizes.values()), *sorted(sizes.values(), reverse=True)[:-1]]


async def test_a_part_that_another_image_has_found_to_be_gone_is_brought_again_before_the_manifest_is_put() -> None:
    world = World(Place("a"))
    root = put_image(world.source.repository("app"), "t", b"x")
    job = world.job(world.source.repository("app"), root, world.to("a", "app"))
    copier = job.copier()
    await copier.contents(root)
    world.claims["a"].lost(job.target.repository, root.blobs[1].digest)
    del world.targets["a"].blobs["app"][root.blobs[1].digest]

    await copier.put(root, "t")

    assert world.targets["a"].count("put") == 1
    assert world.targets["a"].incomplete == []


async def test_what_a_clean_up_takes_meanwhile_is_brought_again() -> None:
    world = World(a := Place("a"))
    source = world.source.repository("app")
    root = put_index(source, "t", (b"one",), (b"two",))
    job = world.job(source, root, world.to("a", "app"))
    copier = job.copier()
    await copier.contents(root)
    taken = root.children[0].digest
    del a.stored["app"][taken]
    del a.blobs["app"][Digest.of(b"one")]
    put = MemoryRepository.put_manifest

    class Strict(MemoryRepository):
        async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
            there = (*a.blobs["app"], *a.stored["app"])
            if any(part.digest not in there for part in (*manifest.blobs, *manifest.children)):
                raise NotFoundError("MANIFEST_BLOB_UNKNOWN")
            return await put(self, manifest, tag=tag)

    copier._repository = job.target.repository = Strict(a, "app")
    await copier.put(root, "t")

    assert a.tagged["app"]["t"] == root.digest
    assert taken in a.stored["app"]
    assert Digest.of(b"one") in a.blobs["app"]
    assert a.incomplete == []
