"""A first fill whose passes are killed one after the other gets further with each and sends little twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from e2e import fills
from scripted import ScriptedRegistry, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from e2e.program import Program

MOMENTS = 8
"""tests/long has more, and more images."""
MIB = 1024 * 1024


@pytest.mark.parametrize("keeps_cache", [False, True], ids=["no cache folder", "a cache folder"])
def test_a_fill_that_is_killed_again_and_again_is_done_without_sending_large_blobs_twice(
    program: Program, keeps_cache: bool
) -> None:
    chance = random.Random(17)
    with in_thread(ScriptedRegistry()) as source, in_thread(ScriptedRegistry()) as target:
        fills.seed(source, repositories=3, tags=3, chance=chance)
        fill = fills.Fill(program, source, target, keeps_cache)

        fills.carry_out(fill, [fills.Moment.by(chance, span=8 * MIB) for _ in range(MOMENTS)])


@pytest.mark.xfail(
    reason="images that are up to date do not tell which blobs their repository can give", strict=True
)
def test_a_large_blob_that_only_a_finished_repository_holds_is_mounted_from_it(program: Program) -> None:
    base = build.big_layer(2 * MIB, 1)
    images = [build.image([base, build.big_layer(60_000, number)]) for number in (2, 3)]
    with in_thread(ScriptedRegistry()) as source, in_thread(ScriptedRegistry()) as target:
        for number, image in enumerate(images):
            source.seed(f"team/app-{number}", "1", image)
        target.seed("team/app-0", "1", images[0])
        fill = fills.Fill(program, source, target, keeps_cache=False)
        fill.configure()

        assert fill.pass_until(None).elsewhere == []
