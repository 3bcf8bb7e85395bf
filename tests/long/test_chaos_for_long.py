"""Hundreds of passes under faults, in many worlds."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from chaos import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSES = 6
"""Passes under faults in each world, before the one that makes all good."""
SHARE = 0.6
"""Of the minutes there are."""
EACH = 60.0
"""Seconds after which a line tells how far it is."""


@pytest.mark.skips_waits
async def test_nothing_is_ever_wrong_in_any_world(
    span: Callable[[float], object], seed: int, tell: Callable[[str], None], tmp_path: Path
) -> None:
    time_left, worlds, done = span(SHARE), 0, Counter[str]()
    told = time.perf_counter()
    while not time_left.is_over() or worlds == 0:
        async with World(seed + worlds, tmp_path / str(worlds)) as world:
            for _ in range(PASSES):
                await world.pass_under_faults()
            await world.settle()
        worlds += 1
        counts = world.counts
        done.update(passes=counts.passes, requests=counts.requests, looks=counts.looks, artifacts=counts.artifacts)
        done.update({f"images {name}": count for name, count in counts.results.items()})
        if time.perf_counter() - told > EACH:
            told = time.perf_counter()
            tell(f"chaos: {done['passes']} passes in {worlds} worlds so far")

    figures = ", ".join(f"{count:,} {name}" for name, count in done.items())
    tell(f"chaos: {worlds} worlds (seeds {seed} to {seed + worlds - 1}), nothing wrong: {figures}")
    assert done["passes"] >= worlds * (PASSES + 1)
