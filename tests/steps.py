"""What a call costs in steps, which are the same on every machine and under any load; seconds are not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def steps(call: Callable[[], object]) -> int:
    """
    Return how many lines of Python a call runs.

    What a regular expression or a sort does is one step. Where those might never end, the time limit of pytest
    ends the test.
    """
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    # Coverage traces too, and goes on afterwards.
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
