"""Hosts that never come to an end, with the settings that a pass has by default: it ends within three minutes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from clients import Side
from ocync.config.model import RetrySettings, TagRules, Timeouts
from ocync.registry.retry import GIVE_UP_AFTER, MAX_RETRY_AFTER
from ocync.transfer.engine import RETURN_TIME
from ocync.transfer.result import Status
from scripted import Bearer, ScriptedRegistry, build, faults, media
from scripted.content import Bytes
from scripted.named import Named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from scripted.named import Proceed
    from scripted.rules import Action
    from scripted.wire import Request, Response

pytestmark = [pytest.mark.skips_waits, pytest.mark.timeout(120)]

MOST = 180.0
"""Seconds for a pass that has nothing else to do."""
APP, OTHER = "team/app", "team/other"
EVER = 1e9
ELEVEN_DAYS = str(11 * 86_400)
LIST, MANIFESTS, BLOBS, UPLOADS, REFERRERS = "/tags/list", "/manifests/", "/blobs/sha", "/uploads/", "/referrers/"
PULL, PUSH = "GET|HEAD", "POST|PUT|PATCH"
LARGE = build.image([build.layer(20_000_000, 5)])
LARGE_LAYER = str(LARGE.root.blobs[1]["digest"])


class World(NamedTuple):
    side: Side
    good: ScriptedRegistry
    target: ScriptedRegistry
    bad: ScriptedRegistry

    async def sync(self, bad: str, *, is_source: bool) -> float:
        """Make a pass in which one mapping needs the bad host; return the seconds that it took."""
        side, sides = self.side, (bad, self.target.url) if is_source else (self.good.url, bad)
        clock = asyncio.get_running_loop().time
        began = clock()
        results = await side.sync(
            side.mapping(self.good.url, self.target.url, repository=APP),
            side.mapping(*sides, repository=OTHER),
            within=3 * MOST,
            at_once=50,
        )
        took = clock() - began

        assert results.pop(f"{self.target.host}/{APP}:1").status is Status.SYNCED
        assert {result.status for result in results.values()} == {Status.FAILED}
        return took


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A pass with the default settings: a good mapping, and one that needs a registry which the test makes bad."""
    default = Timeouts()
    side = Side(
        connect=default.connect,
        idle=default.idle,
        attempts=RetrySettings().attempts,
        slots=50,
        sleep=asyncio.sleep,
        return_time=RETURN_TIME,
    )
    async with ScriptedRegistry() as good, ScriptedRegistry() as target, ScriptedRegistry() as bad, side:
        for registry in (good, bad):
            registry.seed(APP, "1", build.image([build.layer(3000, 1)]))
            for number in range(6):
                registry.seed(OTHER, str(number), build.image([build.layer(3000, 10 + number)]))
        yield World(side, good, target, bad)


@asynccontextmanager
async def serving(pieces: list[bytes], *, pause: float = 1.0, scheme: str = "http") -> AsyncIterator[str]:
    """Give the URL of a host that sends these, and the last one again and again; and nothing if there are none."""
    tasks = set[asyncio.Task[None]]()

    async def begin(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        number = 0
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                if pieces:
                    writer.write(pieces[min(number, len(pieces) - 1)])
                    await writer.drain()
                number += 1
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


HOSTS: dict[str, Callable[[], AbstractAsyncContextManager[str]]] = {
    "no answer": lambda: serving([], pause=EVER),
    "no TLS handshake": lambda: serving([], pause=EVER, scheme="https"),
    "a TLS handshake without end": lambda: serving([b"\x16\x03\x03\x40\x00", b"\x00"], scheme="https"),
    "headers without end": lambda: serving([b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n"]),
    "a status line without end": lambda: serving([b"HTTP/1.1 200 ", b"O"]),
    "hints without end": lambda: serving([b"HTTP/1.1 103 Early Hints\r\n\r\n"]),
    "a body without end": lambda: serving([b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b" "]),
    "chunks without end": lambda: serving(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"]
    ),
}


@pytest.mark.parametrize("is_source", [True, False], ids=["source", "target"])
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
async def test_a_host_that_never_comes_to_an_end(
    world: World, host: Callable[[], AbstractAsyncContextManager[str]], *, is_source: bool
) -> None:
    async with host() as url:
        assert await world.sync(url, is_source=is_source) < MOST


@pytest.fixture
def hanging_dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No name server answers for names below .example."""
    over, real = threading.Event(), socket.getaddrinfo

    def look_up(host: str, *arguments: object, **settings: object) -> object:
        if str(host).endswith(".example"):
            over.wait()
        return real(host, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_dns")
@pytest.mark.parametrize("is_source", [True, False], ids=["source", "target"])
async def test_a_name_server_that_does_not_answer(world: World, *, is_source: bool) -> None:
    assert await world.sync("https://registry.example", is_source=is_source) < MOST


def drip(size: int = 1) -> Action:
    return faults.drip(size=size, pause=1.0)


def asking(status: int, seconds: str = ELEVEN_DAYS) -> Action:
    return faults.answer(status, headers={"Retry-After": seconds})


SOURCES: dict[str, tuple[str, str, Action]] = {
    "a list that does not come": ("GET", LIST, faults.stall(EVER)),
    "a list that drips": ("GET", LIST, faults.drip(pause=5.0)),
    "manifests that do not come": (PULL, MANIFESTS, faults.stall(EVER)),
    "manifests that drip": (PULL, MANIFESTS, drip()),
    "errors that drip": (PULL, MANIFESTS, faults.chain(drip(), faults.error(500, "UNKNOWN", "x" * 999))),
    "blobs that do not come": ("GET", BLOBS, faults.stall(EVER)),
    "blobs that stand still": ("GET", BLOBS, faults.stall(EVER, after=100)),
    "blobs that drip": ("GET", BLOBS, drip(10)),
    "referrers that do not come": ("GET", REFERRERS, faults.stall(EVER)),
    **{
        f"{status} and eleven days, for {name}": (PULL, pattern, asking(status))
        for status in (429, 503)
        for name, pattern in {"everything": "/v2/", "lists": LIST, "manifests": MANIFESTS, "blobs": BLOBS}.items()
    },
}


@pytest.mark.parametrize(("methods", "pattern", "fault"), SOURCES.values(), ids=SOURCES)
async def test_a_source_that_never_comes_to_an_end(world: World, methods: str, pattern: str, fault: Action) -> None:
    world.bad.on(methods, pattern, respond=fault)

    assert await world.sync(world.bad.url, is_source=True) < MOST


async def test_a_source_that_asks_for_a_minute_again_and_again_is_waited_for_somewhat_longer(world: World) -> None:
    world.bad.on(PULL, MANIFESTS, respond=asking(429, "50"))

    assert await world.sync(world.bad.url, is_source=True) < GIVE_UP_AFTER + MAX_RETRY_AFTER + 10


async def test_a_source_that_gives_a_large_blob_at_two_kilobytes_a_second(world: World) -> None:
    world.bad.repository(OTHER).tags.clear()
    world.bad.seed(OTHER, "1", LARGE)
    world.bad.on("GET", BLOBS, respond=drip(2000), when=lambda request: LARGE_LAYER in request.path)

    assert await world.sync(world.bad.url, is_source=True) < MOST


async def lengthened(request: Request, proceed: Proceed) -> Response:
    response = await proceed()
    response.body = Bytes(b" " * 9999)
    return response


TARGETS: dict[str, tuple[str, str, Action]] = {
    "uploads that get no answer": (PUSH, UPLOADS, faults.stall(EVER)),
    "uploads that are not taken": (PUSH, UPLOADS, faults.stall_upload(EVER, after=1)),
    "uploads whose answer drips": (PUSH, UPLOADS, faults.chain(drip(), Named("lengthened", lengthened))),
    "manifests that get no answer": ("PUT", MANIFESTS, faults.stall(EVER)),
    "looks that get no answer": (PULL, "/v2/team", faults.stall(EVER)),
    "lists, and manifests, that get no answer": ("*", r"/tags/list|/manifests/", faults.stall(EVER)),
    **{
        f"{status} and eleven days, for {name}": ("*", pattern, asking(status))
        for status in (429, 503)
        for name, pattern in {"everything": "/v2/", "uploads": UPLOADS, "manifests": MANIFESTS}.items()
    },
}


@pytest.mark.parametrize(("methods", "pattern", "fault"), TARGETS.values(), ids=TARGETS)
async def test_a_target_that_never_comes_to_an_end(world: World, methods: str, pattern: str, fault: Action) -> None:
    world.bad.repositories.clear()
    world.bad.on(methods, pattern, respond=fault)

    assert await world.sync(world.bad.url, is_source=False) < MOST


@pytest.mark.parametrize("rate", [100, 2_000])
async def test_a_target_that_takes_a_large_blob_slowly_for_ever(world: World, rate: int) -> None:
    world.bad.repositories.clear()
    world.good.repository(OTHER).tags.clear()
    world.good.seed(OTHER, "1", LARGE)
    world.bad.on(PUSH, UPLOADS, respond=faults.drip_upload(rate, after=1))

    assert await world.sync(world.bad.url, is_source=False) < MOST


MANY = {
    "blobs that do not come": (True, "GET", BLOBS, faults.stall(EVER)),
    "blobs that stand still": (True, "GET", BLOBS, faults.stall(EVER, after=100)),
    "blobs that drip": (True, "GET", BLOBS, drip()),
    "manifests that do not come": (True, PULL, MANIFESTS, faults.stall(EVER)),
    "manifests that drip": (True, PULL, MANIFESTS, faults.drip(size=5, pause=1.0)),
    "referrers that do not come": (True, "GET", REFERRERS, faults.stall(EVER)),
    "uploads that get no answer": (False, PUSH, UPLOADS, faults.stall(EVER)),
    "uploads that are not taken": (False, PUSH, UPLOADS, faults.stall_upload(EVER, after=1)),
    "manifests that are not taken": (False, "PUT", MANIFESTS, faults.stall(EVER)),
    "looks that get no answer": (False, PULL, "/v2/team", faults.stall(EVER)),
}


@pytest.mark.parametrize(("is_source", "methods", "pattern", "fault"), MANY.values(), ids=MANY)
async def test_more_images_than_can_be_copied_at_once_take_no_longer(
    world: World, methods: str, pattern: str, fault: Action, *, is_source: bool
) -> None:
    for number in range(120):
        for registry in (world.good, world.bad):
            registry.seed(OTHER, str(number), build.image([build.layer(2000, number)]))
    if not is_source:
        world.bad.repositories.clear()
    world.bad.on(methods, pattern, respond=fault)

    assert await world.sync(world.bad.url, is_source=is_source) < MOST


@pytest.mark.parametrize("is_source", [True, False], ids=["source", "target"])
@pytest.mark.parametrize("fault", [faults.stall(EVER), drip()], ids=["hangs", "drips"])
async def test_a_token_service_that_never_comes_to_an_end(world: World, fault: Action, *, is_source: bool) -> None:
    async with ScriptedRegistry(auth=Bearer()) as registry:
        registry.on("GET|POST", "^/token", respond=fault)

        assert await world.sync(registry.url, is_source=is_source) < MOST


@pytest.mark.parametrize("pause", [0.0, 0.3, 1.0, 40.0])
@pytest.mark.parametrize("kind", ["same", "fresh", "grow"])
async def test_a_tag_list_that_pages_for_ever(world: World, kind: str, pause: float) -> None:
    world.bad.on("GET", LIST, respond=faults.chain(faults.stall(pause), faults.endless_tags(kind)))

    assert await world.sync(world.bad.url, is_source=True) < MOST


def endless_referrers() -> Action:
    pages = 0

    async def action(request: Request, proceed: Proceed) -> Response:
        nonlocal pages
        pages += 1
        response = await proceed()
        entry = {"mediaType": media.OCI_MANIFEST, "digest": f"sha256:{pages:064x}", "size": 300}
        body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [entry]}
        response.body = Bytes(json.dumps(body).encode())
        response.headers.set("Link", f'<{request.path}?n=1&last={pages}>; rel="next"')
        return response

    return Named("endless referrers", action)


@pytest.mark.parametrize("pause", [0.3, 1.0, 40.0])
async def test_a_list_of_referrers_that_pages_for_ever(world: World, pause: float) -> None:
    world.bad.on("GET", REFERRERS, respond=faults.chain(faults.stall(pause), endless_referrers()))

    assert await world.sync(world.bad.url, is_source=True) < MOST


async def test_images_that_stand_still_keep_nothing_from_others_of_the_same_host(world: World) -> None:
    """More of them than can be copied at once, and before all others."""
    world.bad.repository(OTHER).tags.clear()
    evil = [build.image([build.layer(2000, 1000 + number)]) for number in range(60)]
    good = [build.image([build.layer(2000, 2000 + number)]) for number in range(60)]
    for number, image in enumerate([*evil, *good]):
        world.bad.seed(OTHER, f"{number:03}", image)
    never = {str(blob["digest"]) for image in evil for blob in image.root.blobs}
    world.bad.on(
        "GET", BLOBS, respond=faults.stall(EVER), when=lambda request: request.path.rpartition("/")[2] in never
    )
    mapping = world.side.mapping(world.bad.url, world.target.url, repository=OTHER)

    results = await world.side.sync(mapping, within=3600.0, at_once=50)

    arrived = {name.rpartition(":")[2] for name, each in results.items() if each.status is Status.SYNCED}
    assert arrived == {f"{number:03}" for number in range(60, 120)}


@pytest.mark.parametrize("who", ["source", "target"])
async def test_a_large_blob_at_an_honest_pace_arrives_however_long_it_takes(world: World, who: str) -> None:
    world.bad.repositories.clear()
    world.bad.seed(OTHER, "1", LARGE)
    if who == "source":
        world.bad.on("GET", LARGE_LAYER, respond=faults.drip(size=20_000, pause=1.0))
    else:
        world.target.on(PUSH, UPLOADS, respond=faults.drip_upload(200_000, after=1))
    clock = asyncio.get_running_loop().time
    began = clock()

    results = await world.side.sync(
        world.side.mapping(world.bad.url, world.target.url, repository=OTHER), within=10_000.0
    )

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert clock() - began > 90


async def test_what_asked_for_a_long_pause_is_tried_again_when_that_is_over(world: World) -> None:
    """The other mapping keeps the pass busy for longer than the pause that was asked for."""
    asked = world.bad.on(PULL, "/v2/team", times=1, respond=asking(429, "200"))
    slow = build.image([build.layer(20_000_000, 7)])
    world.good.seed(APP, "2", slow)
    world.good.on("GET", slow.root.blobs[1]["digest"], respond=faults.drip(size=65_536, pause=1.0))
    side = world.side

    results = await side.sync(
        side.mapping(world.good.url, world.target.url, repository=APP, tags=TagRules(glob=("*",))),
        side.mapping(world.bad.url, world.target.url, repository=OTHER),
        within=1000.0,
    )

    assert asked.met
    assert {result.status for result in results.values()} == {Status.SYNCED}
