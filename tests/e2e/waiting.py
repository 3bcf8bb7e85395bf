"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.program import Started

PROMPT = 15.0
"""Seconds within which a busy machine ends what is to be ended at once; what is in its way lasts much longer."""


def until(condition: Callable[[], object], *, of: Started | None = None, within: float = PROMPT) -> None:
    """Return when the condition holds; raises TimeoutError, and AssertionError where the run ends before that."""
    limit = time.monotonic() + within
    while not condition():
        assert of is None or of.running(), of.done()
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {within:g} s")
        time.sleep(0.02)
