"""What a target has lost below tags that are right: found by looking, at all or in turn, and brought again."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from clients import Side, asked
from ocync.config.model import TagRules
from ocync.lib.errors import ErrorKind
from ocync.plan.model import Reason
from ocync.transfer.audit import age_of, phase_of
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.transfer.result import ImageResult

APP = "team/app"
PARTS = [build.image([build.layer(300, seed)], platform=f"linux/p{seed}") for seed in range(3)]
INNER = build.index([PARTS[0]])
INDEX = build.index([INNER, *PARTS[1:]])
SIGNATURE = build.artifact("application/x.signature", [b"signature"], subject=INDEX)
BY_TAG = build.cosign_signature(INDEX)


class World(NamedTuple):
    side: Side
    source: ScriptedRegistry
    target: ScriptedRegistry

    async def sync(self, audit: float | None = 0.0) -> ImageResult:
        self.target.requests.clear()
        mapping = self.side.mapping(
            self.source.url, self.target.url, repository=APP, tags=TagRules(glob=("1*",), latest=None)
        )
        return (await self.side.sync(mapping, audit=audit))[f"{self.target.host}/{APP}:1"]

    def is_whole(self) -> bool:
        """Tell whether the target has everything that the source has."""
        here, there = self.target.repository(APP), self.source.repository(APP)
        return (
            here.tags == there.tags
            and set(there.manifests) <= set(here.manifests)
            and set(there.blobs) <= set(here.blobs)
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Two registries; the target has got an index, a signature by reference and one by tag."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        world = World(await stack.enter_async_context(Side()), source, target)
        source.seed(APP, "1", INDEX)
        source.seed(APP, None, SIGNATURE)
        source.seed(APP, build.cosign_tag(INDEX.digest), BY_TAG)
        await world.sync(None)
        assert world.is_whole()
        yield world


def lose_blob(of: build.Image) -> Callable[[ScriptedRegistry], object]:
    return lambda target: target.repository(APP).blobs.pop(list(of.blobs)[-1])


def lose_manifest(digest: str) -> Callable[[ScriptedRegistry], object]:
    return lambda target: target.repository(APP).manifests.pop(digest)


LOSSES = {
    "a layer": lose_blob(PARTS[1]),
    "a child": lose_manifest(PARTS[2].digest),
    "an index within the index": lose_manifest(INNER.digest),
    "a grandchild": lose_manifest(PARTS[0].digest),
    "a layer of a grandchild": lose_blob(PARTS[0]),
    "what a signature consists of": lose_blob(SIGNATURE),
    "what a signature by tag consists of": lose_blob(BY_TAG),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
async def test_what_a_target_has_lost_is_found_by_looking_and_brought_again(
    world: World, lose: Callable[[ScriptedRegistry], object]
) -> None:
    lose(world.target)

    without = await world.sync(None)
    assert without.status is Status.SKIPPED
    assert not world.is_whole()
    mended = await world.sync()
    again = await world.sync()

    assert (mended.status, mended.reason) == (Status.SYNCED, Reason.REPAIRED)
    assert world.is_whole()
    assert (again.status, again.reason) == (Status.SKIPPED, Reason.UP_TO_DATE)


@pytest.mark.parametrize("artifact", [SIGNATURE, BY_TAG], ids=["by reference", "by tag"])
async def test_an_artifact_that_is_gone_comes_back_in_any_pass(world: World, artifact: build.Image) -> None:
    repository = world.target.repository(APP)
    del repository.manifests[artifact.digest]
    repository.tags = {tag: digest for tag, digest in repository.tags.items() if digest != artifact.digest}

    mended = await world.sync(None)

    assert (mended.status, mended.reason) == (Status.SYNCED, Reason.ARTIFACTS)
    assert world.is_whole()


async def test_a_child_and_all_layers_come_back(world: World) -> None:
    world.target.repository(APP).manifests.pop(PARTS[1].digest)
    for digest in INDEX.blobs:
        world.target.repository(APP).blobs.pop(digest)

    mended = await world.sync()

    assert mended.reason is Reason.REPAIRED
    assert world.is_whole()


async def test_each_manifest_and_blob_is_looked_at_once_in_a_pass(world: World) -> None:
    for tag in ("1.0", "1.0.0"):
        world.source.seed(APP, tag, INDEX)
    await world.sync(None)

    result = await world.sync()

    assert result.status is Status.SKIPPED
    assert world.target.count("HEAD", "/blobs/") == len({*INDEX.blobs, *SIGNATURE.blobs, *BY_TAG.blobs})
    assert world.target.count("GET", "/blobs/") == 0
    # Three tags, what lies below them, and two artifacts.
    assert world.target.count("GET", "/manifests/") == 3 + len(INDEX.manifests) - 1 + 2


async def test_bytes_that_have_changed_are_found_where_they_are_read_and_told(world: World) -> None:
    digest = list(INDEX.blobs)[-1]
    blobs = world.target.repository(APP).blobs
    kept = bytearray(b"".join(bytes(piece) for piece in blobs[digest].pieces(0, blobs[digest].size)))
    kept[0] ^= 1
    blobs[digest] = build.blob(bytes(kept)).content

    by_presence = await world.sync(0.0)
    by_bytes = await world.sync(1.0)

    assert by_presence.status is Status.SKIPPED
    assert by_bytes.error is not None
    assert by_bytes.error.kind is ErrorKind.VERIFICATION
    assert digest in by_bytes.error.message


async def test_a_copy_that_relies_on_what_is_there_is_looked_at_before_its_tag_is_set(world: World) -> None:
    """The child that the new index shares with the old one has lost a layer, which nobody would look for."""
    child = build.image([build.layer(300, 31)], platform="linux/p1")
    world.source.seed(APP, "1", build.index([child]))
    await world.sync(None)
    lost = next(digest for digest in child.blobs if digest not in INDEX.blobs)
    del world.target.repository(APP).blobs[lost]
    world.source.seed(APP, "1", build.index([child, build.image(label="another", platform="linux/p2")]))

    result = await world.sync()

    assert (result.status, result.reason) == (Status.SYNCED, Reason.MOVED)
    assert lost in world.target.repository(APP).blobs


async def test_tags_that_never_change_are_looked_at_as_well(world: World) -> None:
    lose_blob(INDEX)(world.target)
    mapping = world.side.mapping(
        world.source.url, world.target.url, repository=APP, tags=TagRules(glob=("1*",), immutable_tags="1*")
    )

    results = await world.side.sync(mapping, audit=0.0)

    assert results[f"{world.target.host}/{APP}:1"].reason is Reason.REPAIRED
    assert world.is_whole()


async def test_a_tag_that_never_changes_stays_where_the_source_has_set_it_anew(world: World) -> None:
    world.source.seed(APP, "1", build.image(label="set anew"))
    mapping = world.side.mapping(
        world.source.url, world.target.url, repository=APP, tags=TagRules(glob=("1*",), immutable_tags="1*")
    )

    results = await world.side.sync(mapping, audit=0.0)

    result = results[f"{world.target.host}/{APP}:1"]
    assert (result.status, result.reason, result.digest) == (Status.SKIPPED, Reason.IMMUTABLE_TAG, INDEX.digest)
    assert world.target.resolve(APP, "1") == INDEX.digest


async def test_an_image_that_the_target_names_by_another_algorithm_is_not_lost(world: World) -> None:
    image = build.image(algorithm="sha512")
    world.source.seed(APP, "1", image)
    await world.sync(None)
    puts = world.target.count("PUT", "/manifests/")

    result = await world.sync()

    assert puts == 1
    assert (result.status, result.reason) == (Status.SKIPPED, Reason.UP_TO_DATE)
    assert world.target.count("PUT", "/manifests/") == 0


# In turn

DAY = 86_400.0
EVERY = 7 * DAY
NOW = 1_700_000_000.0


class Mirror:
    """A mapping between two registries, and passes at given times."""

    def __init__(self, world: World, images: int, repository: str = "team/many") -> None:
        self.world, self.repository = world, repository
        self.mapping = world.side.mapping(world.source.url, world.target.url, repository=repository)
        self.images = [build.image([build.layer(200, 7)], label=str(number)) for number in range(images)]
        for number, image in enumerate(self.images):
            for registry in (world.source, world.target):
                registry.seed(repository, f"v{number}", image)
        self.lost = f"{world.target.host}/{repository}:v0"

    def lose(self, *registries: ScriptedRegistry) -> None:
        """Lose the config of the first image, which no other one has."""
        for registry in registries or (self.world.target,):
            del registry.repository(self.repository).blobs[next(iter(self.images[0].blobs))]

    @property
    def is_whole(self) -> bool:
        return not self.world.target.repository(self.repository).missing_below(self.images[0].digest)

    def time_of(self, age: float) -> float:
        """Return a time at which so large a part of the period has passed since the first image was due."""
        names = [f"{self.world.target.host}/{self.repository}:v{number}" for number in range(len(self.images))]
        phase = sorted(names, key=phase_of).index(self.lost) / len(names)
        times = (NOW + step * EVERY / 1000 for step in range(1100))
        return min(times, key=lambda time: abs(age_of(phase, time, EVERY) - age))

    async def sync(self, now: float, *, every: float | None = EVERY) -> ImageResult:
        """Make a pass; the result of the first image, which is the only one that may not be up to date."""
        for registry in (self.world.source, self.world.target):
            registry.requests.clear()
        results = await self.world.side.sync(self.mapping, audit_every=every, now=lambda: now)
        assert len(results) == len(self.images)
        assert {each.reason for name, each in results.items() if name != self.lost} <= {Reason.UP_TO_DATE}
        return results[self.lost]

    @property
    def asked(self) -> int:
        return asked(self.world.source) + asked(self.world.target)


async def test_what_is_lost_is_brought_again_within_the_period(world: World) -> None:
    mirror, now, passes = Mirror(world, 1), NOW, 0
    mirror.lose()
    looks: list[int] = []
    results: list[ImageResult] = []

    while passes < 100:
        results.append(await mirror.sync(now))
        looks.append(world.target.count("HEAD", "/blobs/"))
        now += EVERY / 100
        passes += 1

    assert mirror.is_whole
    (mended,) = [result for result in results if result.status is not Status.SKIPPED]
    assert (mended.status, mended.reason, mended.blobs.transferred) == (Status.SYNCED, Reason.REPAIRED, 1)
    # A mirror of one image is not looked below in each pass.
    assert 1 <= sum(map(bool, looks)) <= 4


async def test_looking_in_turn_takes_a_tenth_of_the_requests(world: World) -> None:
    mirror = Mirror(world, 120)
    await mirror.sync(NOW, every=None)
    await mirror.sync(NOW, every=None)
    usual = mirror.asked
    assert world.target.count("HEAD", "/blobs/") == 0
    mirror.lose()
    now, passes = mirror.time_of(0.93), 0

    while (result := await mirror.sync(now)).status is Status.SKIPPED:
        assert world.target.count("HEAD", "/blobs/") > 0
        assert usual < mirror.asked <= usual * 10 / 9
        now += EVERY / 100
        passes += 1

    # Not before its turn, and then at once.
    assert 1 <= passes <= 9
    assert result.reason is Reason.REPAIRED
    assert mirror.is_whole


async def test_what_can_not_be_brought_again_is_told(world: World) -> None:
    mirror = Mirror(world, 1)
    mirror.lose(world.source, world.target)

    result = await mirror.sync(mirror.time_of(0.005))

    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind is ErrorKind.NOT_FOUND


async def test_a_look_that_fails_for_a_passing_reason_changes_no_result(world: World) -> None:
    mirror = Mirror(world, 1)
    world.target.on("HEAD", "/blobs/", respond=faults.answer(503))

    result = await mirror.sync(mirror.time_of(0.005))

    assert world.target.count("HEAD", "/blobs/") > 0
    assert (result.status, result.reason, result.error) == (Status.SKIPPED, Reason.UP_TO_DATE, None)


async def test_a_target_that_does_not_take_what_it_has_lost_is_told(world: World) -> None:
    mirror = Mirror(world, 1)
    mirror.lose()
    world.target.on("POST", "/blobs/", respond=faults.answer(503))

    result = await mirror.sync(mirror.time_of(0.005))

    assert result.status is Status.FAILED


async def test_nothing_is_looked_at_where_no_period_is_set(world: World) -> None:
    mirror = Mirror(world, 1)
    mirror.lose()

    result = await mirror.sync(mirror.time_of(0.005), every=None)

    assert result.reason is Reason.UP_TO_DATE
    assert world.target.count("HEAD", "/blobs/") == 0
