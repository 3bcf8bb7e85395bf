"""Two programs that fill the same targets at the same time, as when a CronJob overlaps with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.mirror import SYNC, Mirror
from e2e.waiting import until
from scripted import faults

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry


def test_two_passes_at_once_both_succeed_and_the_targets_are_equal(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    mirror = Mirror.of(program, source, target)
    # Slow enough for each to meet the other in the middle of things.
    source.on("GET", "/blobs/", respond=faults.drip(size=8_000, pause=0.02), authorized=True)

    with mirror.program.started(*SYNC) as one, mirror.program.started(*SYNC) as other:
        codes = [one.done().code, other.done().code]

    assert codes == [0, 0]
    mirror.assert_equal()


def test_one_of_two_that_is_killed_keeps_nothing_from_the_other(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    mirror = Mirror.of(program, source, target)
    source.on("GET", "/blobs/", respond=faults.drip(size=8_000, pause=0.02), authorized=True)

    with mirror.program.started(*SYNC) as one, mirror.program.started(*SYNC) as other:
        until(lambda: source.count("GET", "/blobs/", status=200) >= 4, of=one)
        one.kill()
        code = other.done().code

    assert code == 0
    # What the other had in the making in the folder stays there until something is written again.
    mirror.assert_complete()
