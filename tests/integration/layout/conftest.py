from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocync.layout.repository import LayoutRepository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> LayoutRepository:
    """A repository whose folder does not exist yet."""
    return LayoutRepository(tmp_path / "mirror", "team/app")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Where the layout of `repository` is."""
    return tmp_path / "mirror" / "team" / "app"
