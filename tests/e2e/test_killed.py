"""Processes that end at any moment: what they leave is whole, and the next pass completes it."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from e2e.mirror import REQUESTS, SYNC, Mirror

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SEED = 11
MOMENTS = 5
"""How many moments are tried in one test; tests/long has more."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_ended_at_any_moment_it_leaves_only_what_is_whole_and_the_next_pass_completes_it(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry, number: signal.Signals
) -> None:
    mirror = Mirror.of(program, source, target)
    chance = random.Random(SEED)
    codes = []
    for _ in range(MOMENTS):
        codes.append(mirror.killed(number, at=chance.randint(1, REQUESTS)))
        mirror.assert_sound()

    assert set(codes) <= {0, 5, -signal.SIGKILL}
    assert codes.count(0) < MOMENTS, "no pass was ended early"
    assert mirror.program(*SYNC).code == 0
    mirror.assert_equal()


def test_what_many_killed_passes_began_does_not_stay_on_the_disk(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    mirror = Mirror.of(program, source, target)
    for at in (30, 45, 60):
        assert mirror.killed(signal.SIGKILL, at=at) == -signal.SIGKILL

    assert mirror.program(*SYNC).code == 0

    # Checks that nothing in the making is left.
    mirror.assert_equal()
