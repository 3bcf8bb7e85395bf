"""Artifacts in manifests from before OCI 1.1, as signatures by early notation still lie at ACR."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from attached import attach
from clients import Side
from ocync.lib.errors import ErrorKind
from ocync.oci.digest import Digest
from ocync.transfer.result import ArtifactCounts, Status
from scripted import ScriptedRegistry, build, media

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.transfer.result import ImageResult

APP, NOTATION = "team/app", "application/vnd.cncf.notary.signature"
TAKES_OLD = {"manifest_types": media.MANIFESTS | {media.OCI_ARTIFACT}}


class World:
    def __init__(self, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
        self.source, self.target = source, target
        self.image = build.image()
        self.signature = build.old_artifact(NOTATION, [b"envelope", b"second", b""], subject=self.image)
        source.seed(APP, "1", self.image)
        attach(source, APP, self.image.digest, self.signature)

    async def sync(self) -> ImageResult:
        async with Side() as side:
            results = await side.sync(side.mapping(self.source.url, self.target.url))
        assert not self.target.violations
        return results[f"{self.target.host}/{APP}:1"]


@asynccontextmanager
async def worlds(*, referrers: bool, takes_old: bool) -> AsyncIterator[World]:
    async with (
        ScriptedRegistry(referrers=referrers, **TAKES_OLD) as source,
        ScriptedRegistry(referrers=referrers, **(TAKES_OLD if takes_old else {})) as target,
    ):
        yield World(source, target)


@pytest.mark.parametrize("referrers", [True, False], ids=["api", "none"])
async def test_it_is_copied_byte_for_byte_like_any_other(referrers: bool) -> None:
    async with worlds(referrers=referrers, takes_old=True) as world:
        first, second = await world.sync(), await world.sync()

        assert (first.status, second.status) == (Status.SYNCED, Status.SKIPPED)
        assert first.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
        held = world.target.repository(APP)
        assert held.manifests[world.signature.digest] == world.signature.root
        assert set(world.signature.blobs) <= set(held.blobs)


async def test_the_list_at_a_target_without_the_api_has_its_type() -> None:
    async with ScriptedRegistry(**TAKES_OLD) as source, ScriptedRegistry(referrers=False, **TAKES_OLD) as target:
        world = World(source, target)
        await world.sync()

        (entry,) = json.loads(target.manifest(APP, build.fallback_tag(world.image.digest)).raw)["manifests"]
        assert entry == {
            **world.signature.descriptor,
            "artifactType": NOTATION,
            "annotations": {"made": "by ORAS 0.16"},
        }


async def test_a_target_that_takes_no_such_manifest_is_told_of_with_what_to_do() -> None:
    async with worlds(referrers=True, takes_old=False) as world:
        result = await world.sync()

        assert (result.status, "1" in world.target.repository(APP).tags) == (Status.FAILED, False)
        assert result.error is not None
        assert result.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
        assert world.signature.digest in result.error.message
        assert result.error.hint == (
            f"it is an artifact of type {NOTATION}, in a manifest of type {media.OCI_ARTIFACT}: "
            f"if the target takes no such, leave it out with artifacts.exclude: ['{NOTATION}']"
        )


async def test_it_may_be_the_child_of_an_index_and_an_image_of_its_own() -> None:
    async with worlds(referrers=True, takes_old=True) as world:
        world.source.seed(APP, "1", build.index([build.image(), build.old_artifact("application/x.thing", [b"y"])]))
        world.source.seed(APP, "2", build.old_artifact("application/x.thing", [b"z"]))

        assert (await world.sync()).status is Status.SYNCED
        assert world.target.repository(APP).tags == world.source.repository(APP).tags
        assert Digest.parse(world.target.manifest(APP, "2").digest)
