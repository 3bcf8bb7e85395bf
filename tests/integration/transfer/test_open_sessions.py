"""Upload sessions are opened when they are about to be used: they end by themselves when they wait for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted.wire import Request, Response

pytestmark = pytest.mark.skips_waits


@pytest.mark.parametrize("repositories", [1, 5], ids=["one repository", "several that share their layers"])
@pytest.mark.parametrize("slots", [1, 2, 4])
async def test_few_sessions_wait_for_bytes_however_many_blobs_there_are(slots: int, repositories: int) -> None:
    opened = most = 0

    async def count(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        nonlocal opened, most
        response = await proceed()
        opened += 1 if request.method == "POST" else -1
        most = max(most, opened)
        return response

    names = [f"team/app{number}" for number in range(repositories)]
    async with (
        ScriptedRegistry() as source,
        ScriptedRegistry(mount=False, single_post=False) as target,
        Side(slots=slots) as side,
    ):
        for number in range(10 // repositories):
            layers = [build.layer(100, 100 * number + layer) for layer in range(15)]
            for name in names:
                source.seed(name, str(number), build.image(layers, label=name))
        source.on("GET", "/blobs/", respond=faults.drip(size=2000, pause=0.005))
        target.on("POST|PUT", "/uploads/", respond=count)

        results = await side.sync(*(side.mapping(source.url, target.url, repository=name) for name in names))

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert opened == 0
    assert most <= 2 * slots
