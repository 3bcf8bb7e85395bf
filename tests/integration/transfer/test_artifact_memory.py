"""What earlier passes knew of artifacts spares requests; what comes later is found all the same."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.memory.keeper import Keeper, Place
from ocync.transfer.result import ArtifactCounts
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from scripted.build import Image

APP, HOUR = "team/app", 3600.0
REFERRERS = "/referrers/"
INDEX = build.multi_arch()
SBOM = build.artifact("application/spdx+json", [b"{}\n"], subject=INDEX)
SIGNATURE = build.artifact("application/x.signature", [b"signature"], subject=SBOM)


@dataclass
class World:
    source: ScriptedRegistry
    target: ScriptedRegistry
    folder: Path
    now: float = 1_700_000_000.0

    async def sync(
        self, *, ttl: float = 12 * HOUR, audit: float | None = None, tags: int = 1, fails: bool = False
    ) -> ArtifactCounts | None:
        """Make a pass that remembers what the last one knew; returns what it did for the last of the `tags`."""
        for registry in (self.source, self.target):
            registry.requests.clear()
        async with (
            Keeper(lambda: self.now).memory(Place(folder=self.folder), ttl=ttl) as memory,
            Side(idle=20.0, memory=memory) as side,
        ):
            results = await side.sync(side.mapping(self.source.url, self.target.url, repository=APP), audit=audit)
        self.now += 60
        assert len(results) == tags
        assert all((result.error is not None) == fails for result in results.values())
        return results[f"{self.target.host}/{APP}:{tags}"].artifacts

    @property
    def lists(self) -> tuple[int, int]:
        """How many lists of referrers were asked for in the last pass, at the source and at the target."""
        return self.source.count("GET", REFERRERS), self.target.count("GET", REFERRERS)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path) as world:
        yield world


@asynccontextmanager
async def world_of(tmp_path: Path, *, api: bool = True) -> AsyncIterator[World]:
    """An index, an SBOM of it and a signature of that, brought by a first pass."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        target.behaviour.referrers = api
        source.seed(APP, "1", INDEX)
        for artifact in (SBOM, SIGNATURE):
            source.seed(APP, None, artifact)
        world = World(source, target, tmp_path)
        assert await world.sync() == ArtifactCounts(source=2, target=2, transferred=2)
        yield world


async def test_of_what_a_target_has_a_sample_is_asked_and_images_are_looked_at_in_every_pass(world: World) -> None:
    assert await world.sync() == ArtifactCounts(source=2, target=2)

    # The index, its two images and the SBOM; of the signature it is known that nothing refers to it. At the target,
    # of the index or of the SBOM.
    assert world.lists == (4, 1)


async def signed_tags(world: World, count: int) -> list[Image]:
    """Have so many more images, with a signature each, that a pass has brought; returns the signatures."""
    signatures = []
    for number in range(2, count + 2):
        image = build.image(label=str(number))
        world.source.seed(APP, str(number), image)
        signatures.append(build.artifact("application/x.signature", [b"%d" % number], subject=image))
        world.source.seed(APP, None, signatures[-1])
    await world.sync(tags=count + 1)
    return signatures


@pytest.mark.parametrize("api", [True, False], ids=["listed by the API", "listed by a tag"])
async def test_all_signatures_that_a_target_cleaned_up_come_back_with_the_next_pass(
    tmp_path: Path, *, api: bool
) -> None:
    async with world_of(tmp_path, api=api) as world:
        signatures = [*await signed_tags(world, 8), SBOM, SIGNATURE]
        there = world.target.repository(APP)
        for signature in signatures:
            del there.manifests[signature.digest]
        for tag in [tag for tag in there.tags if tag.startswith("sha256-")]:
            del there.tags[tag]

        await world.sync(tags=9)

        assert {signature.digest for signature in signatures} <= set(there.manifests)


async def test_signatures_of_which_some_were_cleaned_up_come_back_as_soon_as_one_of_them_is_the_sample(
    world: World,
) -> None:
    signatures = await signed_tags(world, 8)
    there = world.target.repository(APP).manifests
    for signature in signatures[:4]:
        del there[signature.digest]

    passes = 0
    while not {signature.digest for signature in signatures} <= set(there):
        passes += 1
        world.now += 600
        await world.sync(tags=9)
        # Four of ten subjects: 40 passes of which none draws one of them are one in 700 million.
        assert passes < 40
    await world.sync(tags=9)

    # Looked at once, they are believed again.
    assert world.lists[1] == 1


async def test_a_target_that_does_not_tell_of_the_sample_is_asked_for_all(world: World) -> None:
    rule = world.target.on("GET", REFERRERS, respond=faults.error(500, "UNKNOWN"))

    await world.sync(fails=True)
    rule.end()

    assert await world.sync() == ArtifactCounts(source=2, target=2)


async def test_what_was_attached_to_an_image_that_went_is_no_reason_to_believe_less_for_ever(world: World) -> None:
    world.source.seed(APP, "1", moved := build.image(label="moved"))
    world.source.seed(APP, None, build.artifact("application/x.signature", [b"moved"], subject=moved))
    await world.sync()
    there = world.target.repository(APP)
    for digest in (INDEX.digest, SBOM.digest, SIGNATURE.digest):
        there.manifests.pop(digest)

    asked = []
    for _ in range(20):
        world.now += 600
        await world.sync()
        asked.append(world.lists[1])

    # What is gone is forgotten when it is drawn: the index and its SBOM, once each.
    assert sorted(asked)[:-2] == [1] * 18
    assert asked[-1] == 1


async def test_a_signature_that_comes_later_is_found_in_spite_of_memory(world: World) -> None:
    late = build.artifact("application/x.signature", [b"late"], subject=INDEX)
    world.source.seed(APP, None, late)

    assert await world.sync() == ArtifactCounts(source=3, target=3, transferred=1)

    assert late.digest in world.target.repository(APP).manifests


async def test_a_signature_of_a_signature_is_found_once_memory_has_aged(world: World) -> None:
    late = build.artifact("application/x.signature", [b"of a signature"], subject=SIGNATURE)
    world.source.seed(APP, None, late)
    world.now += 13 * HOUR

    assert await world.sync() == ArtifactCounts(source=3, target=3, transferred=1)


async def test_a_belief_is_not_kept_alive_by_being_relied_on(world: World) -> None:
    # The sample may find it out before that.
    del world.target.repository(APP).manifests[SIGNATURE.digest]

    for _ in range(13):
        world.now += HOUR
        await world.sync()

    assert SIGNATURE.digest in world.target.repository(APP).manifests


@pytest.mark.parametrize("how", ["aged", "audit", "no time"])
async def test_an_artifact_that_the_target_has_lost_comes_back(world: World, how: str) -> None:
    world.now += 13 * HOUR if how == "aged" else 0
    del world.target.repository(APP).manifests[SIGNATURE.digest]

    await world.sync(ttl=0.0 if how == "no time" else 12 * HOUR, audit=0.0 if how == "audit" else None)

    assert SIGNATURE.digest in world.target.repository(APP).manifests


async def test_an_artifact_that_goes_at_the_source_stays_at_the_target(world: World) -> None:
    del world.source.repository(APP).manifests[SIGNATURE.digest]

    assert await world.sync() == ArtifactCounts(source=1, target=1)

    assert SIGNATURE.digest in world.target.repository(APP).manifests


async def test_what_is_attached_comes_back_with_an_image_that_the_target_has_lost(world: World) -> None:
    lost = world.target.repository(APP)
    lost.tags.clear()
    lost.manifests.clear()
    lost.blobs.clear()

    assert await world.sync() == ArtifactCounts(source=2, target=2, transferred=2)

    assert {INDEX.digest, SBOM.digest, SIGNATURE.digest} <= set(lost.manifests)


async def test_an_image_that_is_there_vouches_for_no_other_one(world: World) -> None:
    world.source.seed(APP, "2", INDEX)
    del world.target.repository(APP).manifests[SIGNATURE.digest]
    del world.target.repository(APP).manifests[SBOM.digest]

    await world.sync(tags=2)

    assert {SBOM.digest, SIGNATURE.digest} <= set(world.target.repository(APP).manifests)


async def test_who_looks_at_all_that_targets_hold_takes_nothing_of_the_source_on_trust(world: World) -> None:
    late = build.artifact("application/x.signature", [b"of a signature"], subject=SIGNATURE)
    world.source.seed(APP, None, late)

    assert await world.sync(audit=0.0) == ArtifactCounts(source=3, target=3, transferred=1)


async def test_a_loss_that_was_found_and_could_not_be_made_good_is_not_believed_away(world: World) -> None:
    del world.target.repository(APP).manifests[SIGNATURE.digest]
    rule = world.source.on("GET", f"/manifests/{SIGNATURE.digest}", respond=faults.error(500, "UNKNOWN"))
    await world.sync(audit=0.0, fails=True)
    rule.end()

    assert await world.sync() == ArtifactCounts(source=2, target=2, transferred=1)
