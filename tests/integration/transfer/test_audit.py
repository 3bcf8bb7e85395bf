"""What a target has lost below tags that are right: found by looking at everything, and brought again."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from clients import Side
from ocync.config.model import TagRules
from ocync.errors import ErrorKind
from ocync.transfer.result import Reason, Status
from scripted import ScriptedRegistry, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.transfer.result import ImageResult

APP = "team/app"
INDEX = build.multi_arch()
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
    "a layer": lose_blob(INDEX),
    "a child": lose_manifest(INDEX.manifests[0].digest),
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


async def test_a_child_and_all_of_its_layers_come_back(world: World) -> None:
    world.target.repository(APP).manifests.pop(INDEX.manifests[1].digest)
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


async def test_bytes_that_have_changed_are_found_where_they_are_read_and_told(world: World) -> None:
    digest = list(INDEX.blobs)[-1]
    blobs = world.target.repository(APP).blobs
    kept = bytearray(b"".join(bytes(piece) for piece in blobs[digest].pieces(0, blobs[digest].size)))
    kept[0] ^= 1
    blobs[digest] = build.blob(bytes(kept)).content
    world.target.repository(APP).tags["1"] = INDEX.digest

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
