"""Clocks that are wrong, and clocks that jump while a pass runs (libfaketime stands between us and the clock)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.mirror import SYNC, Mirror
from scripted import faults
from servers.process import ServerFailedError

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

QUICK = 20.0
"""Seconds that a pass takes at most, by a clock that is right."""


def library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise ServerFailedError("libfaketime is not installed: apt-get install faketime")
    return str(found[0])


def clocked(mirror: Mirror, offset: str) -> Mirror:
    """Return the mirror with a program whose clock is set by the file `clock` in its folder, at any time."""
    file = mirror.program.write(offset, "clock")
    told = mirror.program.knowing(
        LD_PRELOAD=library(),
        FAKETIME_TIMESTAMP_FILE=str(file),
        FAKETIME_NO_CACHE="1",
        # The kernel's monotonic clock never jumps, whatever happens to the time of day.
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    return Mirror(program=told, source=mirror.source, target=mirror.target)


@pytest.mark.parametrize("offset", ["+900d", "-900d"])
def test_a_clock_that_is_years_off_changes_nothing(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry, offset: str
) -> None:
    mirror = clocked(Mirror.of(program, source, target), offset)

    first, again = mirror.program(*SYNC, "--json"), mirror.program(*SYNC, "--json")

    assert (first.code, again.code) == (0, 0), first.said
    mirror.assert_equal()
    year = datetime.fromisoformat(first.report["started_at"]).year
    assert abs(year - datetime.now(UTC).year) in (2, 3), "the clock was not changed"
    assert {image["status"] for image in again.report["images"]} == {"skipped"}
    assert 0 <= first.report["duration_seconds"] < QUICK


@pytest.mark.parametrize("jump", ["+30d", "-30d"])
def test_a_clock_that_jumps_during_a_pass_neither_holds_nor_ends_it(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry, jump: str
) -> None:
    mirror = clocked(Mirror.of(program, source, target), "+0d")
    mirror.when_asked(25, lambda: program.write(jump, "clock"))
    # By the clock from before the jump this is in a moment, by the one after it in a month, or long ago.
    target.on("POST", "/uploads/", times=1, after=2, respond=faults.too_many(date_in=1))

    done = mirror.program(*SYNC, "--json")

    assert done.code == 0, done.said
    mirror.assert_equal()
    assert 0 <= done.report["duration_seconds"] < QUICK
