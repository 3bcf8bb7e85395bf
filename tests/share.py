"""Tests of the same in many variations: some of them each time, all of them with scripts/test-long."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
ALL = bool(os.environ.get("OCYNC_TEST_ALL"))


def share(cases: Sequence[T], *, of: int) -> list[T]:
    """Return one case of so many, evenly spread; all of them where that is asked for."""
    return list(cases) if ALL else list(cases[::of])
