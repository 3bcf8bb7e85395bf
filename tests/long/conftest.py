"""What the long tests share: how long they go on, where chance begins, and the line at the end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = float(os.environ.get("OCYNC_LONG_MINUTES", "1"))
SEED = int(os.environ.get("OCYNC_LONG_SEED", "1"))


@dataclass(frozen=True)
class Span:
    """A time that began when it was made."""

    seconds: float
    began: float

    def is_over(self) -> bool:
        """Tell whether nothing more is to be begun."""
        return time.perf_counter() - self.began >= self.seconds


@pytest.fixture
def span() -> Callable[[float], Span]:
    """Give spans: a share of the minutes that the tests were given in all."""
    return lambda share: Span(seconds=MINUTES * 60 * share, began=time.perf_counter())


@pytest.fixture
def seed() -> int:
    """The number that chance begins with."""
    return SEED


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Write a line to the terminal at once, whatever is captured."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)

    return line


def pytest_report_header() -> str:
    """Say what makes this run again."""
    return f"long tests: scripts/test-long --minutes {MINUTES:g} --seed {SEED}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say how it went, in the last line."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        counts = {name: len(reporter.stats.get(name, ())) for name in ("passed", "failed", "error")}
        print(f"{counts['passed']} passed, {counts['failed'] + counts['error']} failed")
