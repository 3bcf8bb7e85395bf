"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.program import Started


def until(condition: Callable[[], object], *, of: Started | None = None, within: float = 15.0) -> None:
    """Return when the condition holds; raises TimeoutError, and AssertionError where the run ends before that."""
    limit = time.monotonic() + within
    while not condition():
        assert of is None or of.running(), of.done()
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {within:g} s")
        time.sleep(0.02)
