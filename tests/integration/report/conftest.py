from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.pushgateway import Pushgateway, pushgateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Pushgateway]:
    """A Pushgateway that anybody may push to, empty."""
    with pushgateway(tmp_path) as running:
        yield running
