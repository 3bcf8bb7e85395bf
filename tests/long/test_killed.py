"""First fills whose passes are killed at hundreds of moments."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from e2e import fills
from e2e.program import Program
from scripted import ScriptedRegistry
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1024 * 1024
KILLS = 150
"""With a cache folder, and as many without one."""
PER_FILL = 25
SPAN = 12 * MIB


@pytest.mark.parametrize("keeps_cache", [False, True], ids=["no cache folder", "a cache folder"])
def test_fills_that_are_killed_at_any_moment_are_done_without_sending_large_blobs_twice(
    keeps_cache: bool, seed: int, tell: Callable[[str], None], tmp_path: Path
) -> None:
    chance = random.Random(seed)
    tolls: list[fills.Toll] = []
    made = kills = 0
    with in_thread(ScriptedRegistry()) as source:
        fills.seed(source, repositories=6, tags=5, chance=chance)
        while kills < KILLS:
            with in_thread(ScriptedRegistry()) as target:
                fill = fills.Fill(Program.within(tmp_path / str(made)), source, target, keeps_cache)
                moments = [fills.Moment.by(chance, span=SPAN) for _ in range(min(PER_FILL, KILLS - kills))]
                kills += fills.carry_out(fill, moments)
            tolls += fill.tolls
            made += 1

    sent, wasted = (sum(getattr(toll, name) for toll in tolls) / MIB for name in ("received", "in_flight"))
    tell(
        f"fills: {made} with {kills} kills (seed {seed}); {sent:.0f} MiB sent, {wasted:.0f} MiB of it in flight "
        f"when killed, {sum(toll.small for toll in tolls) / MIB:.1f} MiB of small blobs twice, "
        f"{sum(len(toll.elsewhere) for toll in tolls)} large ones though another repository had them"
    )
