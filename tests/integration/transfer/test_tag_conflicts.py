"""Two sources that have different signatures of one image under one tag, and one target repository for both."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.config.model import TagRules
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.config.model import MappingConfig

APP = "team/app"
IMAGE = build.image()
TAG = build.cosign_tag(IMAGE.digest)


class World:
    """The image as `1` in the first source and as `2` in the second, signed differently."""

    def __init__(self, side: Side, *registries: ScriptedRegistry) -> None:
        self.side = side
        self.first, self.second, self.target = registries
        for source, tag in ((self.first, "1"), (self.second, "2")):
            source.seed(APP, tag, IMAGE)
            source.seed(APP, TAG, build.cosign_signature(IMAGE, text=tag))

    @property
    def mappings(self) -> list[MappingConfig]:
        made = []
        for source, tag in ((self.first, "1"), (self.second, "2")):
            mapping = self.side.mapping(source.url, self.target.url, tags=TagRules(glob=(f"{tag}*",)))
            made.append(replace(mapping, name=tag))
        return made

    def signed_by(self, source: ScriptedRegistry) -> bool:
        tags = self.target.repository(APP).tags
        return tags[TAG] == source.repository(APP).tags[TAG]

    async def sync(self) -> int:
        """Make a pass, and return how often the signature was written."""
        self.target.requests.clear()
        results = await self.side.sync(*self.mappings)
        assert {result.status for result in results.values()} <= {Status.SYNCED, Status.SKIPPED}
        assert not self.target.violations
        return self.target.count("PUT", TAG)


@asynccontextmanager
async def worlds() -> AsyncIterator[World]:
    async with (
        ScriptedRegistry() as first,
        ScriptedRegistry() as second,
        ScriptedRegistry() as target,
        Side() as side,
    ):
        yield World(side, first, second, target)


@pytest.mark.parametrize("late", ["first", "second", "none"])
async def test_that_of_the_first_in_the_config_is_kept_and_it_is_told_once(
    late: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with worlds() as world:
        if late != "none":
            getattr(world, late).on("*", r"/v2/team", respond=faults.stall(0.1))
        for number in range(3):
            caplog.clear()
            written = await world.sync()

            assert world.signed_by(world.first)
            assert written == 0 or number == 0
            (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
            message = warning.getMessage()
            assert message.startswith(f"{world.target.host}/{APP}:{TAG}: ")
            assert f"only that of {world.first.host}/{APP} is kept" in message
            assert f"{world.second.host}/{APP}" in message


async def test_a_tag_that_the_first_does_not_have_comes_from_the_second(caplog: pytest.LogCaptureFixture) -> None:
    async with worlds() as world:
        del world.first.repository(APP).tags[TAG]
        await world.sync()
        assert world.signed_by(world.second)
        # Signed anew there.
        world.second.seed(APP, TAG, build.cosign_signature(IMAGE, text="anew"))

        assert await world.sync() == 1
        assert world.signed_by(world.second)
        assert not [record for record in caplog.records if record.name == "ocync.transfer.tag_conflicts"]


async def test_the_same_signature_in_both_is_nothing_to_tell_of(caplog: pytest.LogCaptureFixture) -> None:
    async with worlds() as world:
        world.second.seed(APP, TAG, build.cosign_signature(IMAGE, text="1"))

        await world.sync()

        assert await world.sync() == 0
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_first_source_that_can_t_be_asked_holds_up_no_other() -> None:
    async with worlds() as world:
        await world.sync()
        world.second.seed(APP, TAG, build.cosign_signature(IMAGE, text="anew"))
        world.first.on("*", f"/manifests/{TAG}", respond=faults.error(403, "DENIED"))

        results = await world.side.sync(*world.mappings)

        assert [result.status for result in results.values()].count(Status.FAILED) == 1
        assert world.signed_by(world.second)
