from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocync.config.model import TlsSettings
from ocync.registry.http.pool import Pool
from ocync.registry.http.trust import context
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted.certificates import Authority


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
async def leaves_nothing_open() -> AsyncIterator[None]:
    """Fail a test after which a socket is still open."""
    before = open_files()
    yield
    gc.collect()
    assert open_files() <= before


@pytest.fixture
async def pool(leaves_nothing_open: None) -> AsyncIterator[Pool]:
    """A pool for plain HTTP."""
    pool = Pool(trust=lambda: context(TlsSettings()))
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that our side has to be told of."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def tls_pool(leaves_nothing_open: None, authority: Authority) -> AsyncIterator[Pool]:
    """A pool that trusts the authority."""
    trusted = context(TlsSettings(ca_file=authority.ca_file))
    pool = Pool(trust=lambda: trusted)
    yield pool
    await pool.close()
