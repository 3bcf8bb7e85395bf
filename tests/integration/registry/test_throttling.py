"""Registries that ask for patience, or that need it: 429, 503, and how long we wait."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from clients import Side, asked, descriptor, read, repository_of
from ocync.lib.errors import (
    AuthError,
    ErrorKind,
    NetworkError,
    OcyncError,
    QuotaError,
    RateLimitedError,
    ServerError,
    ThrottledError,
)
from ocync.transfer.result import Status
from scripted import Bearer, ScriptedRegistry, build, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from scripted.rules import Action
    from scripted.wire import Request, Response

pytestmark = pytest.mark.skips_waits

MANIFEST = r"/manifests/"
QUOTA = (
    "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: "
    "https://www.docker.com/increase-rate-limit"
)


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as running:
        running.seed("team/app", "1", build.image())
        yield running


ASKED = {
    "seconds": (faults.too_many(seconds=7), 7, 8),
    "a date": (faults.too_many(date_in=9), 8, 10),
    "a date in the past": (faults.too_many(date_in=-3600), 0, 1),
    "a date by a clock that is years ahead of ours": (
        faults.answer(
            429,
            headers={"Date": "Mon, 23 Nov 2093 12:00:00 GMT", "Retry-After": "Mon, 23 Nov 2093 12:00:05 GMT"},
        ),
        5,
        6,
    ),
    "a date beside a Date that is none": (
        faults.answer(429, headers={"Date": "today", "Retry-After": "Mon, 23 Nov 2009 12:00:05 GMT"}),
        0,
        1,
    ),
    "seconds with 503": (faults.answer(503, headers={"Retry-After": "11"}), 11, 12),
    "nothing": (faults.too_many(), 0, 1),
    "nonsense": (faults.answer(429, headers={"Retry-After": "soon"}), 0, 1),
    "a negative number": (faults.answer(429, headers={"Retry-After": "-5"}), 0, 1),
    "minutes": (faults.too_many(seconds=120), 120, 121),
    "GHCR, in the message": (
        faults.too_many(message="retry-after: 4.305464s, allowed: 44000/minute"),
        4.3,
        5.3,
    ),
    "GHCR, a moment": (faults.too_many(message="retry-after: 10.305464ms, allowed: 2000/minute"), 0, 1),
    "GitHub's second limit": (
        faults.answer(
            403, '{"message": "You have exceeded a secondary rate limit."}', headers={"Retry-After": "6"}
        ),
        6,
        7,
    ),
    "GHCR, minutes": (faults.too_many(message="retry-after: 1m30.5s, allowed: 2000/minute"), 90, 100),
    "GHCR, next to nothing": (faults.too_many(message="retry-after: 75µs, allowed: 44000/minute"), 0, 1),
    "GitHub's second limit, without a time": (
        faults.error(403, "DENIED", "You have exceeded a secondary rate limit."),
        60,
        61,
    ),
    "the end of a window": (
        faults.answer(429, headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "17"}),
        17,
        18,
    ),
    "Docker Hub's abuse limit": (
        faults.answer(429, "Too Many Requests (HAP429).\n", headers={"Retry-After": "60"}),
        60,
        61,
    ),
}


@pytest.mark.parametrize(("fault", "least", "most"), ASKED.values(), ids=ASKED)
async def test_we_wait_as_long_as_we_are_asked_to_and_not_for_ever(
    registry: ScriptedRegistry, fault: Action, least: float, most: float
) -> None:
    registry.on("GET", MANIFEST, times=1, respond=fault)

    async with Side() as side:
        await side.repository(registry.url).manifest("1")

    assert len(side.waits.seconds) == 1
    # Up to a second is ours: half of it is where the backoff begins, and all who wait do not come back at once.
    assert least <= side.waits.seconds[0] <= most
    assert registry.count("GET", MANIFEST) == 2


TOO_LONG = {
    "a year": faults.answer(429, headers={"Retry-After": "31536000"}),
    "eleven days": faults.too_many(date_in=11 * 86400),
    "a number without end": faults.answer(429, headers={"Retry-After": "9" * 5000}),
    "three minutes": faults.too_many(seconds=180),
    "503": faults.answer(503, headers={"Retry-After": "999999"}),
    "in the message": faults.too_many(message="retry-after: 99999999999h, allowed: 44000/minute"),
    "the end of a window": faults.answer(429, headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "500"}),
}


@pytest.mark.parametrize("fault", TOO_LONG.values(), ids=TOO_LONG)
async def test_who_asks_for_too_long_a_wait_is_left_alone_at_once(
    registry: ScriptedRegistry, fault: Action
) -> None:
    rule = registry.on("GET", MANIFEST, respond=fault)

    async with Side() as side:
        repository = side.repository(registry.url)
        with pytest.raises(ThrottledError, match=r"it asks to be left alone for \d+ s, until 20\d\d-") as caught:
            await repository.manifest("1")
        assert registry.host in str(caught.value)
        for _ in range(20):
            with pytest.raises(ThrottledError):
                await repository.manifest("1")
        # Others wait for nothing, and do not ask it either; what it has said holds for requests of this kind.
        assert registry.count("GET", MANIFEST) == 1
        assert side.waits.passed < 5
        blob = descriptor(b"a config")
        registry.seed_blob("team/app", str(blob.digest), Bytes(b"a config"))
        assert await read(repository, blob) == b"a config"

        # After two minutes it is tried again.
        rule.end()
        await side.policy.sleep(121)
        assert (await repository.manifest("1")).raw


async def test_an_answer_with_bare_line_feeds_is_read_as_any_other(registry: ScriptedRegistry) -> None:
    # As Docker Hub's abuse limit has been sent (docker/hub-feedback#1907).
    head = "HTTP/1.1 429 Too Many Requests\nRetry-After: 5\nContent-Type: text/plain\nContent-Length: 4\n\n"
    registry.on("GET", MANIFEST, times=1, respond=faults.raw(head.encode() + b"slow"))

    async with Side() as side:
        await side.repository(registry.url).manifest("1")

    assert 5 <= side.waits.seconds[0] <= 6


async def test_a_used_up_quota_is_not_waited_for(registry: ScriptedRegistry) -> None:
    registry.on("GET", MANIFEST, respond=faults.error(429, "TOOMANYREQUESTS", QUOTA, headers={"Retry-After": "60"}))

    async with Side() as side:
        with pytest.raises(QuotaError, match="log in, or wait") as caught:
            await side.repository(registry.url).manifest("1")

    assert not caught.value.retryable
    assert side.waits.seconds == []
    assert asked(registry) == 1


def _counting(left: int, *, limit: int = 100) -> Action:
    """Count GETs of manifests as Docker Hub does: tell what is left, refuse what is more."""
    remaining = left

    async def action(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        nonlocal remaining
        fields = {"ratelimit-limit": f"{limit};w=21600"}
        if request.method == "GET":
            remaining -= 1
        fields["ratelimit-remaining"] = f"{max(remaining, 0)};w=21600"
        if remaining < 0:
            return await faults.error(429, "TOOMANYREQUESTS", QUOTA, headers=fields)(request, proceed)
        return await faults.headers(fields)(request, proceed)

    return action


async def test_the_last_pulls_of_a_quota_are_not_used_and_what_is_done_is_kept() -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target, Side(slots=2) as side:
        for number in range(20):
            source.seed("team/app", str(number), build.image(label=str(number)))
        source.on("GET|HEAD", MANIFEST, respond=_counting(10))

        results = await side.sync(side.mapping(source.url, target.url), at_once=3)

        synced = [result for result in results.values() if result.status is Status.SYNCED]
        errors = [result.error for result in results.values() if result.error is not None]
        assert 5 <= len(synced) <= 8
        assert len(target.repository("team/app").tags) == len(synced)
        assert {error.kind for error in errors} == {ErrorKind.QUOTA}
        assert {(error.hint or "").partition(" by ")[0] for error in errors} == {"it is renewed"}
        # A fiftieth is left: nothing was refused.
        assert source.count("GET", MANIFEST, status=429) == 0
        assert source.count("GET", MANIFEST) == len(synced)
        assert side.waits.seconds == []


async def test_a_source_whose_quota_is_used_up_is_asked_for_no_more_manifests_in_the_pass() -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target, Side(slots=2) as side:
        for number in range(20):
            source.seed("team/app", str(number), build.image(label=str(number)))
            if number < 5:
                target.seed("team/app", str(number), build.image(label=str(number)))
        source.on("GET", MANIFEST, after=3, respond=faults.error(429, "TOOMANYREQUESTS", QUOTA))

        results = await side.sync(side.mapping(source.url, target.url), at_once=3)

        statuses = Counter(result.status for result in results.values())
        # What needs no GET is looked at to the end.
        assert statuses == {Status.SKIPPED: 5, Status.SYNCED: 3, Status.FAILED: 12}
        assert 1 <= source.count("GET", MANIFEST, status=429) <= 3
        assert all("log in, or wait" in (r.error.hint or "") for r in results.values() if r.error is not None)
        assert side.waits.seconds == []


async def test_a_missing_header_is_no_empty_quota(registry: ScriptedRegistry) -> None:
    registry.on("*", MANIFEST, respond=faults.headers({"ratelimit-limit": "100;w=21600"}))

    async with repository_of(registry.url) as repository:
        for _ in range(3):
            await repository.manifest("1")


async def test_a_window_that_ends_within_minutes_is_waited_for(registry: ScriptedRegistry) -> None:
    empty = {"RateLimit-Limit": "300", "RateLimit-Remaining": "0", "RateLimit-Reset": str(int(time.time()) + 50)}
    registry.on("GET", MANIFEST, times=1, respond=faults.headers(empty))

    async with Side() as side:
        await side.repository(registry.url).manifest("1")
        assert side.waits.seconds == []
        await side.repository(registry.url).manifest("1")
        await side.repository(registry.url).manifest("1")

    assert len(side.waits.seconds) == 1
    assert 40 <= side.waits.seconds[0] <= 50


@pytest.mark.parametrize(
    "told",
    [
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"},
        {"RateLimit": '"default";r=0;t=60'},
        {"RateLimit-Limit": "100;w=60", "RateLimit-Remaining": "0;w=60"},
        {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "400"},
        {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "60"},
    ],
    ids=["reset", "structured", "window", "hours", "minutes", "one"],
)
async def test_a_counter_that_never_moves_is_heeded_twice_and_no_more(told: dict[str, str]) -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target, Side() as side:
        for number in range(30):
            source.seed("team/app", str(number), build.image(label=str(number)))
        for registry in (source, target):
            registry.on("*", r"^/v2/team", respond=faults.headers(told))

        results = await side.sync(side.mapping(source.url, target.url), at_once=10)

        assert {result.status for result in results.values()} == {Status.SYNCED}
        assert side.waits.passed < 1000


@pytest.mark.parametrize("burst", [1, 4])
async def test_a_burst_of_503_is_outlived(registry: ScriptedRegistry, burst: int) -> None:
    registry.on("*", r"/v2/team", times=burst, respond=faults.answer(503, "<html>upstream</html>"))

    async with Side() as side:
        assert await side.repository(registry.url).tags() == ("1",)

    assert asked(registry) == burst + 1
    assert side.waits.seconds[-1] <= 60


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.answer(503), ServerError),
        (faults.answer(502, "<html>bad gateway</html>"), ServerError),
        (faults.answer(522), ServerError),
        (faults.too_many(seconds=1), RateLimitedError),
        (faults.answer(408), ServerError),
    ],
    ids=["503", "502 in HTML", "522", "429", "408"],
)
async def test_patience_ends_after_the_attempts(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]
) -> None:
    registry.on("*", r"/v2/team", respond=fault)

    async with Side(attempts=4) as side:
        with pytest.raises(kind) as caught:
            await side.repository(registry.url).tags()

    assert "<html>" not in str(caught.value)
    assert len(side.waits.seconds) == 3
    assert asked(registry) == 4


@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 410, 418, 451])
async def test_what_is_refused_for_good_is_not_asked_again(registry: ScriptedRegistry, status: int) -> None:
    registry.on("GET", MANIFEST, respond=faults.error(status, "DENIED", "for good"))

    async with Side() as side:
        with pytest.raises(OcyncError, match="for good") as caught:
            await side.repository(registry.url).manifest("1")

    assert not caught.value.retryable
    assert side.waits.seconds == []
    assert asked(registry) == 1


async def test_nobody_holds_a_slot_while_waiting(registry: ScriptedRegistry) -> None:
    registry.seed("team/other", "1", build.image())
    registry.on("GET", r"/team/app/manifests/", times=1, respond=faults.too_many(seconds=1))
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_seconds: float) -> None:
        waiting.set()
        await go_on.wait()

    async with Side(slots=1, sleep=wait) as side, asyncio.TaskGroup() as group:
        first = group.create_task(side.repository(registry.url).manifest("1"))
        await waiting.wait()
        # The only slot is free for others.
        await side.repository(registry.url, "team/other").manifest("1")
        assert not first.done()
        go_on.set()


async def test_no_new_attempt_is_begun_once_the_pass_is_ending(registry: ScriptedRegistry) -> None:
    registry.on("GET", MANIFEST, respond=faults.answer(503))

    async with Side() as side:
        side.stop.request("a test")
        with pytest.raises(ServerError):
            await side.repository(registry.url).manifest("1")

    assert asked(registry) == 1


async def test_a_registry_that_is_not_there_is_a_network_error_in_bounded_time() -> None:
    async with ScriptedRegistry() as registry:
        url = registry.url

    async with repository_of(url, attempts=3, within=5) as repository:
        with pytest.raises(NetworkError) as caught:
            await repository.tags()

    assert repository.host in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_token_service_that_needs_patience_gets_it_once_for_all(status: int) -> None:
    async with ScriptedRegistry(auth=Bearer()) as registry, Side(attempts=3) as side:
        registry.seed("team/app", "latest", build.image())
        rule = registry.on("GET", r"/token", times=2, respond=faults.answer(status, headers={"Retry-After": "3"}))
        await side.repository(registry.url).manifest("latest")
        assert [int(wait) for wait in side.waits.seconds] == [3, 3]
        rule.end()

    async with ScriptedRegistry(auth=Bearer()) as registry, Side(attempts=3) as side:
        registry.on("GET", r"/token", respond=faults.answer(status))
        with pytest.raises(OcyncError, match="log in at"):
            await side.repository(registry.url).manifest("latest")
        # Once for each attempt, and never again within one.
        assert registry.count("GET", r"/token") == 3


async def test_a_token_service_that_refuses_is_final() -> None:
    async with ScriptedRegistry(auth=Bearer()) as registry, Side() as side:
        registry.on("GET", r"/token", respond=faults.error(403, "DENIED", "no entitlement"))
        with pytest.raises(AuthError):
            await side.repository(registry.url).manifest("latest")
        assert registry.count("GET", r"/token") == 1
        assert side.waits.seconds == []
