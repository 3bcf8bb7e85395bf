"""Hosts that give no answer at all: waited for in bounds, left alone, and used again when they are back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor, read
from ocync.lib.errors import NetworkError, ServerError, UnreachableError
from ocync.registry import circuit_breaker, client
from ocync.transfer.result import Status
from scripted import Bearer, ScriptedRegistry, build, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ocync.registry.repository import RegistryRepository

pytestmark = pytest.mark.skips_waits


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "PATIENCE", 0.0)


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
    assert classes == {"none": circuit_breaker.FAILURES + 10}


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
    assert side.tally.requests[registry.host] == {"4xx": 1, "none": circuit_breaker.FAILURES + 3}


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
    good = {result.status for result in results.values() if result.target_host == target.host}
    bad = [result for result in results.values() if result.target_host != target.host]
    assert good == {Status.SYNCED}
    assert len(bad) == 120
    assert {type(result.error) for result in bad} != {type(None)}


LIST, TAG = r"/tags/list", r"/manifests/1$"
DRIPS = {
    "a manifest": (TAG, lambda repository: repository.manifest("1")),
    "a list of tags": (LIST, lambda repository: repository.tags()),
    "a list of referrers": (r"/referrers/", lambda repository: repository.referrers(descriptor(b"x").digest)),
    "a token": (r"^/token", lambda repository: repository.tags()),
    "an error": (TAG, lambda repository: repository.manifest("1")),
}


@pytest.mark.parametrize(("path", "ask"), DRIPS.values(), ids=DRIPS)
async def test_a_small_answer_that_drips_counts_against_its_host_as_silence_does(
    path: str,
    ask: Callable[[RegistryRepository], Awaitable[object]],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_TOKEN_TIME", 0.6)
    case = request.node.callspec.id
    auth = Bearer() if case == "a token" else None
    async with ScriptedRegistry(auth=auth) as registry, Side(give_up_after=0.8, idle=5) as side:
        registry.seed("team/app", "1", build.image())
        slow = faults.drip(pause=0.1)
        registry.on(
            "GET",
            path,
            respond=faults.chain(slow, faults.error(500, "X", "y" * 99)) if case == "an error" else slow,
        )
        repository = side.repository(registry.url, writable=False)
        for _ in range(3):
            with pytest.raises((NetworkError, ServerError)) as caught:
                await ask(repository)
        assert registry.host in str(caught.value)
        started = time.monotonic()
        answers = await asyncio.gather(*(ask(repository) for _ in range(50)), return_exceptions=True)

    # One asks, some wait a moment for what comes of it, and the others do not.
    assert time.monotonic() - started < 2
    assert {type(answer) for answer in answers} <= {UnreachableError, NetworkError, ServerError}
    assert sum(isinstance(answer, UnreachableError) for answer in answers) >= 45


async def test_who_answers_whole_after_drips_is_used_again() -> None:
    async with ScriptedRegistry() as registry, Side(give_up_after=0.3, idle=5) as side:
        registry.seed("team/app", "1", build.image())
        rule = registry.on("GET", TAG, respond=faults.drip(pause=0.1))
        repository = side.repository(registry.url)
        for _ in range(4):
            with pytest.raises(NetworkError):
                await repository.manifest("1")
        rule.end()
        found = await asyncio.gather(*(repository.manifest("1") for _ in range(20)))

    assert len({manifest.digest for manifest in found}) == 1


BEGINNINGS = {
    "fields without end": [b"HTTP/1.1 200 OK\r\n", *[b"X-Y: z\r\n"] * 500],
    "hints without end": [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 500,
    "a status line without end": [b"HTTP/1.1 200 ", *[b"O"] * 500],
}


@pytest.fixture
async def endless(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Give the URL of a host that begins its answers for ever."""

    over, open_ones = asyncio.Event(), set[asyncio.Task[None]]()

    async def begin(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        with contextlib.suppress(ConnectionError):
            for piece in request.param:
                writer.write(piece)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await over.wait()
                        break
        writer.close()

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()
        await asyncio.gather(*open_ones)


@pytest.mark.parametrize("endless", BEGINNINGS.values(), ids=BEGINNINGS, indirect=True)
async def test_an_answer_that_only_ever_begins_is_given_up(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_TIME", 0.4)
    monkeypatch.setattr(client, "_TOKEN_TIME", 0.2)
    async with Side(give_up_after=0.4, idle=5) as side:
        repository = side.repository(endless)
        for ask in (lambda: repository.manifest("1"), lambda: read(repository, descriptor(b"x"))):
            started = time.monotonic()
            with pytest.raises(NetworkError, match="no answer came within") as caught:
                await ask()
            assert time.monotonic() - started < 2
            assert repository.host in str(caught.value)


async def test_a_silent_host_is_given_up_in_time(mute: str) -> None:
    async with Side(give_up_after=1.0, idle=0.7) as side:
        started = time.monotonic()
        with pytest.raises(NetworkError):
            await side.repository(mute).manifest("1")
        assert time.monotonic() - started < 1.5


async def test_a_host_that_comes_back_is_waited_for_and_then_used(refusing: str) -> None:
    async with Side() as side:
        repository = side.repository(refusing)
        for _ in range(4):
            with pytest.raises(NetworkError):
                await repository.head("1")
        assert not await repository.answers(0.2)

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(repository.answers(20))
            await asyncio.sleep(0.1)
            registry = ScriptedRegistry(port=int(refusing.rpartition(":")[2]))
            async with registry:
                registry.seed_blob("team/app", str(descriptor(b"x").digest), Bytes(b"x"))
                rule = registry.on("GET", r"^/v2/$", respond=faults.answer(503))
                assert await waiting
                rule.end()
                # It is dead no more: this is asked at once, by all.
                assert (
                    await asyncio.gather(*(repository.has_blob(descriptor(b"x")) for _ in range(5))) == [True] * 5
                )


async def test_a_host_is_not_waited_for_at_the_end_of_a_pass(mute: str) -> None:
    async with Side() as side:
        repository = side.repository(mute)
        side.stop.request("a test")
        started = time.monotonic()
        assert not await repository.answers(60)
        assert time.monotonic() - started < 1
