"""Few seeds of chaos; scripts/test-long has more of these, and tests/long many more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from chaos import World

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(int(os.environ.get("OCYNC_TEST_CHAOS", "2")))
PASSES = 4


# Five passes, each with a limit of its own that is shorter.
@pytest.mark.timeout(300)
@pytest.mark.skips_waits
@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_ever_wrong_and_one_pass_without_faults_makes_all_equal(seed: int, tmp_path: Path) -> None:
    async with World(seed, tmp_path) as world:
        for _ in range(PASSES):
            await world.pass_under_faults()
        await world.settle()
        # It was worth the while: things failed, and things were put and looked at.
        assert world.counts.looks > 0
        assert world.counts.requests > 0
