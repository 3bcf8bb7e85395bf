"""Hosts that give no answer at all: waited for in bounds, left alone, and used again when they are back."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.errors import NetworkError, ServerError, UnreachableError
from ocync.registry import outage
from ocync.transfer.result import Status
from scripted import Bearer, ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PATIENCE", 0.0)


@pytest.fixture
def mute() -> Iterator[str]:
    """Give the URL of a host that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing() -> str:
    """Give the URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


async def test_a_dead_host_is_asked_once_a_request_and_not_five_times(refusing: str) -> None:
    async with Side() as side:
        repository = side.repository(refusing)
        with pytest.raises(NetworkError):
            await repository.head("1")
        waits = len(side.waits.seconds)
        for _ in range(10):
            with pytest.raises(UnreachableError, match="Connection refused"):
                await repository.head("1")

    assert len(side.waits.seconds) == waits
    (classes,) = side.tally.requests.values()
    assert classes == {"none": outage.FAILURES + 10}


async def test_a_silent_host_holds_up_one_request_and_not_all(mute: str) -> None:
    async with Side(idle=1.0) as side:
        repository = side.repository(mute)
        with pytest.raises(NetworkError):
            await repository.head("1")
        started = time.monotonic()
        answers = await asyncio.gather(*(repository.head(str(n)) for n in range(100)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {UnreachableError}
    # One asks, some wait a moment for what comes of it, and the others do not.
    assert time.monotonic() - started < 2


async def test_a_host_that_is_back_is_used_again(refusing: str) -> None:
    async with Side() as side:
        repository = side.repository(refusing)
        for _ in range(3):
            with pytest.raises(NetworkError):
                await repository.head("1")
        async with ScriptedRegistry(port=int(refusing.rpartition(":")[2])) as registry:
            image = build.image()
            registry.seed("team/app", "1", image)
            found = await asyncio.gather(*(repository.head("1") for _ in range(20)))

    assert {str(descriptor.digest) for descriptor in found if descriptor} == {image.digest}
    assert None not in found


async def test_a_host_that_answers_with_errors_is_not_dead() -> None:
    async with ScriptedRegistry() as registry, Side() as side:
        registry.on("*", r"^/v2/team", respond=faults.answer(503))
        for _ in range(4):
            with pytest.raises(ServerError):
                await side.repository(registry.url).head("1")

    assert registry.count("HEAD") == 4 * 5


async def test_an_answer_now_and_then_keeps_a_host_alive() -> None:
    async with ScriptedRegistry() as registry, Side() as side:
        registry.seed("team/app", "1", build.image())
        registry.on("HEAD", "", respond=faults.in_turn([faults.reset(), faults.reset(), None] * 6))
        for _ in range(6):
            assert await side.repository(registry.url).head("1") is not None


async def test_a_dead_token_service_is_asked_once_a_request_too(refusing: str) -> None:
    async with ScriptedRegistry(auth=Bearer(realm=f"{refusing}/token")) as registry, Side() as side:
        for _ in range(4):
            with pytest.raises(NetworkError):
                await side.repository(registry.url, writable=False).head("latest")

    # Once for /v2/, and so often in vain for a token.
    assert side.tally.requests[registry.host] == {"4xx": 1, "none": outage.FAILURES + 3}


@pytest.mark.parametrize("kind", ["refusing", "mute"])
async def test_a_dead_target_costs_the_good_one_little(kind: str, request: pytest.FixtureRequest) -> None:
    dead: str = request.getfixturevalue(kind)
    names = [f"team/app{number}" for number in range(40)]
    async with ScriptedRegistry() as source, ScriptedRegistry() as target, Side(idle=0.4, slots=50) as side:
        for name in names:
            for tag in ("1", "2", "3"):
                source.seed(name, tag, build.image([build.layer(100, 1)], label=name + tag))

        results = await side.sync(
            *(side.mapping(source.url, dead, target.url, repository=name) for name in names),
            within=20,
            at_once=50,
        )

        assert all(
            target.content_of(name, tag) == source.content_of(name, tag) != {} for name in names for tag in "123"
        )
    good = {result.status for result in results.values() if result.target_place == target.host}
    bad = [result for result in results.values() if result.target_place != target.host]
    assert good == {Status.SYNCED}
    assert len(bad) == 120
    assert {type(result.error) for result in bad} != {type(None)}
