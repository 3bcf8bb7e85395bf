"""What earlier passes knew of artifacts spares requests; what comes later is found all the same."""

from __future__ import annotations

from contextlib import AsyncExitStack
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
    """An index, an SBOM of it and a signature of that, brought by a first pass."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        source.seed(APP, "1", INDEX)
        for artifact in (SBOM, SIGNATURE):
            source.seed(APP, None, artifact)
        world = World(source, target, tmp_path)
        assert await world.sync() == ArtifactCounts(source=2, target=2, transferred=2)
        yield world


async def test_what_a_target_has_is_not_asked_again_and_images_are_looked_at_in_every_pass(world: World) -> None:
    assert await world.sync() == ArtifactCounts(source=2, target=2)

    # The index, its two images and the SBOM; of the signature it is known that nothing refers to it.
    assert world.lists == (4, 0)


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
