"""
What the tests find is the same on every machine.

These run those unit tests again that show something, read an environment, talk by sockets or write files;
`scripts/test-long` runs all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from anywhere import COLOURFUL, SHUT_IN, Machine, run_on

if TYPE_CHECKING:
    from pathlib import Path

TELLING = (
    *(
        "tests/unit/cli",
        "tests/unit/registry/http",
        "tests/unit/layout/test_atomic_file.py",
        "tests/unit/lib/test_log.py",
    ),
    *(
        "tests/unit/report/progress/test_display.py",
        "tests/unit/report/test_text.py",
        "tests/unit/report/test_metrics.py",
    ),
    "tests/unit/scripted/test_scripted_evidence.py",
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("machine", [SHUT_IN, COLOURFUL], ids=["shut in", "colourful"])
def test_the_tests_find_the_same_on_another_machine(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCYNC_TEST_EXAMPLES", "5")

    done = run_on(machine, *TELLING, folder=tmp_path)

    assert done.returncode == 0, done.stdout
