"""Registries that take so many at once, or so many in a second: we find out, and keep to it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor, read, write
from ocync.config.model import TagRules
from ocync.lib.errors import ErrorKind, RateLimitedError
from ocync.registry.limits import host
from ocync.registry.limits.aimd import Start
from ocync.registry.limits.kinds import Kind
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted.wire import Request, Response

pytestmark = pytest.mark.skips_waits

MANIFEST, UPLOADS = r"/manifests/", r"/blobs/uploads/"
SLOTS = 50


class AtOnce:
    """Refuses what comes while so many are being answered; each takes some time."""

    def __init__(self, number: int, *, seconds: float = 0.04, retry_after: float | None = None) -> None:
        self.number = number
        self.refused = 0
        self._seconds = seconds
        self._under_way = 0
        self._refuse = faults.too_many(seconds=retry_after)

    async def __call__(self, request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        if self._under_way >= self.number:
            self.refused += 1
            return await self._refuse(request, proceed)
        self._under_way += 1
        try:
            await asyncio.sleep(self._seconds)
            return await proceed()
        finally:
            self._under_way -= 1


class PerSecond:
    """Refuses what comes faster than so many in a second, of which some may come at once."""

    def __init__(self, number: float, *, burst: int) -> None:
        self.refused = 0
        self._number = number
        self._burst = self._left = float(burst)
        self._seen = time.monotonic()

    async def __call__(self, request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._seen) * self._number)
        self._seen = now
        if self._left < 1:
            self.refused += 1
            return await faults.too_many()(request, proceed)
        self._left -= 1
        return await proceed()


def real(**settings: object) -> Side:
    """Return a side that waits as long as it says."""
    return Side(slots=SLOTS, sleep=asyncio.sleep, idle=5, **settings)  # type: ignore[arg-type]


async def look(side: Side, registry: ScriptedRegistry, times: int, name: str = "team/app") -> float:
    """Ask for a tag so many times, all at once; the seconds it took."""
    repository = side.repository(registry.url, name)
    started = time.monotonic()
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(repository.head("1"))
    return time.monotonic() - started


@pytest.mark.parametrize("number", [1, 5, 20])
async def test_as_many_go_at_once_as_the_registry_takes(number: int) -> None:
    async with ScriptedRegistry() as registry, real() as side:
        registry.seed("team/app", "1", build.image())
        throttle = AtOnce(number, seconds=0.1)
        registry.on("HEAD", MANIFEST, respond=throttle)

        times = 20 * number
        seconds = await look(side, registry, times)

        # Where it also keeps to a pace, the number grows a little beyond what the registry takes at once.
        limit = side.repositories.client(side.config(registry.url)).limits.bucket(Kind.METADATA).limit
        assert limit <= max(2 * number + 3, SLOTS // 4)
    # The first burst and its halves; then, now and then, one more than it takes.
    assert throttle.refused <= 2 * SLOTS + 3 * seconds
    # Two seconds, if as many were under way all the time as it takes, on a machine with nothing else to do.
    assert seconds < 3 * times * 0.1 / number + 3


async def test_as_many_go_in_a_second_as_the_registry_takes() -> None:
    async with ScriptedRegistry() as registry, real() as side:
        registry.seed("team/app", "1", build.image())
        throttle = PerSecond(60, burst=30)
        registry.on("HEAD", MANIFEST, respond=throttle)

        seconds = await look(side, registry, 300)

    assert throttle.refused <= 2 * SLOTS + 5 * seconds
    assert seconds < 3 * (300 - 30) / 60 + 3


async def test_what_is_asked_to_wait_waits_as_a_whole_and_nothing_else_does() -> None:
    async with ScriptedRegistry() as registry, real() as side:
        registry.seed("team/app", "1", build.image())
        registry.on("HEAD", MANIFEST, times=1, respond=faults.too_many(seconds=1))
        repository = side.repository(registry.url)
        async with asyncio.TaskGroup() as group:
            group.create_task(repository.head("1"))
            await asyncio.sleep(0.2)
            for _ in range(20):
                group.create_task(repository.head("1"))
            started = time.monotonic()
            await write(repository, b"bytes")
            assert time.monotonic() - started < 0.7

        looks = [request.started for request in registry.requests if request.matches("HEAD", MANIFEST)]
        # One that was refused, and all of them when the second was over.
        assert len(looks) == 22
        assert sum(at - looks[0] < 0.9 for at in looks) == 1


async def test_a_throttled_target_slows_down_neither_look_ups_nor_another_target() -> None:
    images = {f"app{number}": build.image(label=str(number)) for number in range(20)}
    async with ScriptedRegistry() as source, ScriptedRegistry() as slow, ScriptedRegistry() as fast, real() as side:
        for name, image in images.items():
            source.seed(f"slow/{name}", "1", image)
            source.seed(f"fast/{name}", "1", image)
        throttle = AtOnce(1, seconds=0.05, retry_after=1)
        slow.on("POST|PUT", UPLOADS, respond=throttle)
        mappings = [
            side.mapping(source.url, target.url, repository=f"{kind}/{name}", tags=TagRules())
            for name in images
            for kind, target in (("slow", slow), ("fast", fast))
        ]

        results = await side.sync(*mappings, within=55, at_once=50)

        assert {result.status for result in results.values()} == {Status.SYNCED}
        ended = {at: max(request.finished or 0 for request in at.requests) for at in (slow, fast)}
        began = min(request.started for request in source.requests)
        looked = [request.finished or 0 for request in slow.requests if request.matches("GET", r"/tags/list")]
        assert ended[fast] - began < 0.6 * (ended[slow] - began)
        assert max(looked) - began < 0.6 * (ended[slow] - began)
        assert throttle.refused <= 2 * SLOTS + 3 * (ended[slow] - began)
        slowed = {host for host, kinds in side.repositories.learned().items() if kinds}
        assert slowed == {side.config(slow.url).registry.host}  # type: ignore[union-attr]


async def test_what_one_pass_has_learned_spares_the_next_one_the_refusals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ocync.registry.limits")
    async with ScriptedRegistry() as registry:
        registry.seed("team/app", "1", build.image())
        first = AtOnce(6)
        rule = registry.on("HEAD", MANIFEST, respond=first)
        async with real() as side:
            await look(side, registry, 150)
            learned = side.repositories.learned()
        rule.end()
        [(host, kinds)] = learned.items()
        assert (host, set(kinds)) == (side.config(registry.url).registry.host, {Kind.METADATA})  # type: ignore[union-attr]
        assert kinds[Kind.METADATA].at_once is not None
        assert 4 <= kinds[Kind.METADATA].at_once <= 9
        # A direction is told when it changes, and not each step.
        told = [record.getMessage() for record in caplog.records]
        assert told
        assert all(
            ("less than before" in one) != ("less than before" in two) for one, two in itertools.pairwise(told)
        )

        second = AtOnce(6)
        registry.on("HEAD", MANIFEST, respond=second)
        async with real(starts=learned) as side:
            seconds = await look(side, registry, 150)

    assert first.refused > 20
    assert second.refused <= 6 + 3 * seconds


async def test_a_registry_that_tells_how_many_are_left_is_not_asked_for_more() -> None:
    left = 10

    async def counted(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        nonlocal left
        if left <= 0:
            return await faults.too_many(seconds=1)(request, proceed)
        left -= 1
        response = await proceed()
        response.headers.set("RateLimit-Remaining", str(left))
        response.headers.set("RateLimit-Reset", "1")
        return response

    async with ScriptedRegistry() as registry, real() as side:
        registry.seed("team/app", "1", build.image())
        registry.on("HEAD", MANIFEST, respond=counted)
        repository = side.repository(registry.url)
        for _ in range(10):
            await repository.head("1")
        started = time.monotonic()
        task = asyncio.create_task(repository.head("1"))
        await asyncio.sleep(0.8)
        assert registry.count("HEAD", MANIFEST) == 10
        left = 1
        await task
        assert time.monotonic() - started >= 0.9
        assert registry.count("HEAD", MANIFEST) == 11


async def test_a_session_is_given_up_without_waiting_out_a_pause() -> None:
    async with ScriptedRegistry(single_post=False) as registry, real() as side:
        repository = side.repository(registry.url)
        blob = descriptor(b"x" * 100_000)
        upload = await repository.open_upload(blob)
        assert upload is not None
        registry.on("POST", UPLOADS, times=1, respond=faults.too_many(seconds=60))
        other = asyncio.create_task(repository.open_upload(descriptor(b"y" * 100_000)))
        while not side.repositories.client(side.config(registry.url)).limits.bucket(Kind.UPLOAD).is_paused:
            await asyncio.sleep(0.01)

        async with asyncio.timeout(2):
            await upload.abandon()

        other.cancel()
        assert registry.count("DELETE", UPLOADS) == 0


async def test_an_upload_that_is_refused_counts_for_uploads_alone() -> None:
    async with ScriptedRegistry() as registry, real() as side:
        registry.on("POST", UPLOADS, times=1, respond=faults.too_many(seconds=0))
        with pytest.raises(RateLimitedError):
            await write(side.repository(registry.url), b"bytes")

        assert set(side.repositories.client(side.config(registry.url)).limits.learned()) == {Kind.UPLOAD}


async def test_what_is_known_of_a_registry_is_where_its_limits_begin() -> None:
    async with real(starts={"ghcr.io": {Kind.UPLOAD: Start(at_once=20), Kind.MANIFEST: Start(rate=5)}}) as side:
        known = side.repositories.client(side.config("https://ghcr.io")).limits

        assert (known.bucket(Kind.UPLOAD).limit, known.bucket(Kind.UPLOAD).level.rate) == (20, 33)
        assert (known.bucket(Kind.MANIFEST).limit, known.bucket(Kind.MANIFEST).level.rate) == (SLOTS, 5)
        other = side.repositories.client(side.config("https://registry.example")).limits
        assert all(other.bucket(kind).level.is_open for kind in Kind)
        assert side.repositories.learned() == {
            "ghcr.io": {Kind.UPLOAD: Start(at_once=20), Kind.MANIFEST: Start(rate=5)},
            "registry.example": {},
        }


async def test_a_registry_that_refuses_everything_for_long_does_not_keep_a_pass_waiting_for_each_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "PATIENCE", 1.0)
    async with ScriptedRegistry() as source, ScriptedRegistry() as target:
        for number in range(SLOTS * 2):
            source.seed("team/app", f"v{number}", build.image(label=str(number)))
        rule = source.on("GET", MANIFEST, respond=faults.too_many(seconds=1))
        async with Side(attempts=3) as side:
            # One after the other, with a second between two, it would take more than a minute.
            results = await side.sync(side.mapping(source.url, target.url), within=25)

            assert len(results) == SLOTS * 2
            assert {result.error.kind for result in results.values() if result.error} == {ErrorKind.RATE_LIMITED}
            assert any("has refused all requests of this kind" in str(result.error) for result in results.values())
            assert source.count("GET", MANIFEST) < SLOTS

            rule.end()
            await asyncio.sleep(1.1)
            results = await side.sync(side.mapping(source.url, target.url), within=25)

        assert {result.status for result in results.values()} == {Status.SYNCED}


async def test_a_registry_that_takes_one_now_and_then_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PATIENCE", 0.3)
    async with ScriptedRegistry() as source, ScriptedRegistry() as target:
        for number in range(6):
            source.seed("team/app", f"v{number}", build.image(label=str(number)))
        left_alone = iter(itertools.cycle([False, False, True]))
        rule = source.on(
            "GET", MANIFEST, respond=faults.too_many(seconds=0), when=lambda _request: not next(left_alone)
        )
        async with Side(attempts=8) as side:
            results = await side.sync(side.mapping(source.url, target.url), within=25)

        assert rule.met > 6
        assert {result.status for result in results.values()} == {Status.SYNCED}


async def test_how_long_blobs_and_lists_take_says_nothing_of_how_much_is_taken() -> None:
    async with ScriptedRegistry() as registry, real() as side:
        registry.seed("team/app", "1", build.image())
        data = b"x" * 1000
        repository = side.repository(registry.url)
        await write(repository, data)
        assert await read(repository, descriptor(data)) == data
        assert await repository.tags() == ("1",)
        registry.on("GET", r"/blobs/|/tags/", respond=faults.stall(0.7))
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(read(repository, descriptor(data)))
                group.create_task(repository.tags())

        limits = side.repositories.client(side.config(registry.url)).limits
        assert all(limits.bucket(kind).level.is_open for kind in Kind)
