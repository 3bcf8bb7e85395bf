"""All unit tests on machines unlike this one: see tests/anywhere.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from anywhere import BARE, COLOURFUL, SHUT_IN, Machine, run_on

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("machine", [SHUT_IN, COLOURFUL, BARE], ids=["shut in", "colourful", "bare and busy"])
def test_all_unit_tests_find_the_same_on_another_machine(machine: Machine, tmp_path: Path) -> None:
    done = run_on(machine, "tests/unit", "--numprocesses", "2", folder=tmp_path)

    assert done.returncode == 0, done.stdout
