"""Children that an index lists and the source does not hold, as with a caching proxy: named, with what to set."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from clients import Side
from ocync.lib.errors import ErrorKind
from ocync.oci.platform import Platform
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.transfer.result import ImageResult

APP = "team/app"
AMD, ARM = (
    build.image([build.layer(300, seed)], platform=f"linux/{name}") for seed, name in enumerate(("amd64", "arm64"))
)
ATTESTATIONS = [build.attestation(image) for image in (AMD, ARM)]
INDEX = build.index([AMD, ARM, *ATTESTATIONS])


class World(NamedTuple):
    side: Side
    source: ScriptedRegistry
    target: ScriptedRegistry

    async def sync(self, *platforms: str) -> ImageResult:
        mapping = self.side.mapping(self.source.url, self.target.url, repository=APP)
        wanted = tuple(Platform.parse(name) for name in platforms)
        return (await self.side.sync(replace(mapping, platforms=wanted)))[f"{self.target.host}/{APP}:1"]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        source.seed(APP, "1", INDEX)
        yield World(await stack.enter_async_context(Side()), source, target)


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", ""])
async def test_an_image_that_is_listed_and_missing_is_named_with_its_platform(world: World, code: str) -> None:
    world.source.on("GET|HEAD", ARM.digest, respond=faults.error(404, code, "unknown"))

    result = await world.sync()

    assert result.error is not None
    assert result.error.kind is ErrorKind.NOT_FOUND
    assert f"{ARM.digest} for linux/arm64" in result.error.message
    assert result.error.hint is not None
    assert "set platforms to those that it has" in result.error.hint
    assert world.target.resolve(APP, "1") is None
    assert (await world.sync("linux/amd64")).status is Status.SYNCED


async def test_an_attestation_that_is_listed_and_missing_is_named_with_its_image(world: World) -> None:
    world.source.on("GET|HEAD", ATTESTATIONS[1].digest, respond=faults.error(404, "MANIFEST_UNKNOWN"))

    result = await world.sync()

    assert result.error is not None
    assert result.error.kind is ErrorKind.NOT_FOUND
    assert f"the attestation {ATTESTATIONS[1].digest} of {ARM.digest}" in result.error.message
    assert result.error.hint is not None
    assert "leave the image that it describes out with platforms" in result.error.hint
    assert (await world.sync("linux/amd64")).status is Status.SYNCED


async def test_a_missing_child_is_named_to_each_image_that_lists_it(world: World) -> None:
    world.source.seed(APP, "2", build.index([ARM, build.image(label="another", platform="linux/s390x")]))
    world.source.on("GET|HEAD", ARM.digest, respond=faults.answer(404))
    mapping = world.side.mapping(world.source.url, world.target.url, repository=APP)

    results = await world.side.sync(mapping)

    assert len(results) == 2
    assert all(each.error is not None and "for linux/arm64" in each.error.message for each in results.values())


async def test_an_index_within_an_index_that_is_missing_is_named_too(world: World) -> None:
    inner = build.index([build.image(label="inner")])
    world.source.seed(APP, "1", build.index([AMD, inner]))
    world.source.on("GET|HEAD", inner.digest, respond=faults.answer(404))

    result = await world.sync()

    assert result.error is not None
    assert inner.digest in result.error.message
    assert result.error.hint is not None
