"""What goes out with every request, and what of an answer people are told."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor, read, repository_of, write
from ocync import __version__
from scripted import ScriptedRegistry, build, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry(docker_headers=False) as running:
        running.seed("team/app", "1", build.image())
        yield running


async def test_no_cookie_is_ever_sent_back(registry: ScriptedRegistry) -> None:
    registry.on("*", r"", respond=faults.headers({"Set-Cookie": "sid=1; Path=/"}))

    async with repository_of(registry.url) as repository:
        await repository.tags()
        await repository.manifest("1")
        await write(repository, b"bytes")

    assert len(registry.requests) >= 4
    assert not any("cookie" in request.headers for request in registry.requests)


async def test_every_request_says_who_asks_and_takes_no_encoding(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url) as repository:
        await repository.tags()
        await repository.head("1")
        await write(repository, b"bytes")

    asked = registry.requests.matching("*", r"/v2/team")
    assert {request.headers["user-agent"] for request in asked} == {f"ocync/{__version__}"}
    assert {request.headers["accept-encoding"] for request in asked} == {"identity"}
    assert {request.host for request in asked} == {registry.host}


async def test_no_request_tells_by_ns_which_other_host_was_meant(registry: ScriptedRegistry) -> None:
    async with ScriptedRegistry() as target, Side() as side:
        await side.sync(side.mapping(registry.url, target.url))

        assert target.resolve("team/app", "1") is not None
        asked = [*registry.requests, *target.requests]
        assert not [str(request) for request in asked if re.search(r"(^|&)ns=", request.query)]


async def test_all_works_without_the_headers_that_only_docker_s_registry_sends(registry: ScriptedRegistry) -> None:
    registry.on("*", r"", respond=faults.headers({"Docker-Content-Digest": None, "Etag": None}))

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == ("1",)
        head, found = await repository.head("1"), await repository.manifest("1")
        assert head is not None
        assert head.digest == found.digest
        await write(repository, b"bytes")
        assert await read(repository, descriptor(b"bytes")) == b"bytes"
        await repository.put_manifest(found, tag="2")

    assert registry.resolve("team/app", "2") == registry.resolve("team/app", "1")


async def test_a_warning_is_told_once_in_one_line_whatever_it_holds(
    registry: ScriptedRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.behaviour.warnings = ('this tag \\"old\\" goes away', "this registry closes \x1b[31mtomorrow")
    caplog.set_level(logging.WARNING, logger="ocync")

    async with Side() as side:
        for name in ("team/app", "team/other"):
            repository = side.repository(registry.url, name)
            await repository.first_tags()
            await repository.head("1")

    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f'{registry.host} says: this tag "old" goes away',
        f"{registry.host} says: this registry closes  [31mtomorrow",
    ]


@pytest.mark.parametrize(
    "value",
    ['199 - "other code"', '299 agent "with an agent"', "299 - unquoted", '299 - "' + "x" * 5000 + '"', "", '"'],
    ids=["code", "agent", "unquoted", "too long", "empty", "half"],
)
async def test_a_warning_of_another_form_is_no_reason_to_say_or_do_anything(
    registry: ScriptedRegistry, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    registry.on("*", r"", respond=faults.headers({"Warning": value}))
    caplog.set_level(logging.WARNING, logger="ocync")

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == ("1",)

    assert not caplog.records


async def test_a_registry_that_warns_without_end_does_not_fill_the_log(
    registry: ScriptedRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="ocync")

    async with repository_of(registry.url) as repository:
        for number in range(40):
            registry.behaviour.warnings = (f"warning {number}",)
            await repository.head("1")

    assert 10 <= len(caplog.records) <= 20


async def test_requests_and_their_answers_are_counted_by_host_and_class() -> None:
    async with ScriptedRegistry() as one, ScriptedRegistry() as two, Side() as side:
        one.seed("team/app", "1", build.image())
        one.seed_blob("team/app", str(descriptor(b"x").digest), Bytes(b"x"))
        one.on("GET", r"/blobs/", times=1, respond=faults.redirect(two.url + "/gone"))
        two.on("GET", r"/manifests/", times=1, respond=faults.answer(503))
        two.on("GET", r"/manifests/", times=1, respond=faults.reset())
        await side.repository(one.url).head("1")
        await side.repository(one.url).head("2")
        with pytest.raises(Exception, match="404"):
            await read(side.repository(one.url), descriptor(b"x"))
        with pytest.raises(Exception, match="404"):
            await side.repository(two.url).manifest("1")

    # The first look at /v2/ counts as well; what another host answered after a redirect counts to the registry.
    assert dict(side.tally.requests[one.host]) == {"2xx": 2, "3xx": 1, "4xx": 2}
    assert side.tally.requests[two.host]["5xx"] == 1
    assert side.tally.requests[two.host]["4xx"] == 1
