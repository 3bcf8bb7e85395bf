"""What holds for all tests."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

import machine
from skipping import Skipping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

# How long an example takes is a matter of the machine and of what else it does; pytest's own time limit holds.
# The variable makes it more examples of each property, for an hour to spare.
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    max_examples=int(os.environ.get("OCYNC_TEST_EXAMPLES", "100")),
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported, where tests run: not where workers are started that need to know."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        machine.forget()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the image, in whatever order the rest comes: others would wait for the worker that builds it."""
    items.sort(key=lambda item: item.path.parent.name != "image")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Skip what is waited for in tests that are marked so."""
    return {"loop": Skipping if item.get_closest_marker("skips_waits") else asyncio.new_event_loop}
