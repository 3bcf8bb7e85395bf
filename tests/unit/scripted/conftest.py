"""An HTTP client without opinions for the scripted servers' own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        trust_env=False, headers={"Accept-Encoding": "identity", "Accept": "*/*"}, timeout=10
    ) as client:
        yield client
