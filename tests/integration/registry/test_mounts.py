"""Mounting blobs from another repository of the same registry (distribution-spec 1.1, "Mounting a blob")."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from clients import cut, descriptor, repository_of
from ocync.lib.errors import NetworkError, RateLimitedError
from scripted import Bearer, ScriptedRegistry, User, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted.rules import Action

DATA = b"shared layer" * 1000
BLOB = descriptor(DATA)
MOUNT = r"/uploads/\?mount="
ROBOT = User(name="robot", password="secret")
ACCOUNT = ("robot", "secret")


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    """A registry with tokens that are good for what they were asked for only."""
    async with ScriptedRegistry(auth=Bearer(users=(ROBOT,), anonymous=None)) as running:
        running.seed_blob("team/base", str(BLOB.digest), Bytes(DATA))
        yield running


def holds(registry: ScriptedRegistry) -> bool:
    return str(BLOB.digest) in registry.repository("team/app").blobs


async def test_a_mount_that_is_granted_needs_no_bytes(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        assert await repository.open_upload(BLOB, mount_from="team/base") is None

    assert holds(registry)
    assert registry.count("POST|PUT|PATCH", r"/uploads/") == 1
    post = registry.requests.matching("POST", MOUNT)[-1]
    assert post.query == f"mount={BLOB.digest}&from=team/base"


@pytest.mark.parametrize("location", ["absolute", "path", "other-host"])
async def test_a_mount_that_is_not_granted_has_opened_the_session_that_is_used(
    registry: ScriptedRegistry, location: str
) -> None:
    registry.behaviour.mount, registry.behaviour.location = False, location

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(BLOB, mount_from="team/base")
        assert upload is not None
        async with repository.slots.hold():
            await upload.send(cut(DATA))

    assert holds(registry)
    assert registry.uploads.opened == 1
    assert registry.count("POST", r"/uploads/") == 1


REFUSALS = {
    "400": faults.error(400, "UNSUPPORTED", "mounts are off"),
    "401": faults.error(401, "UNAUTHORIZED"),
    "403": faults.error(403, "DENIED", "not your repository"),
    "404": faults.error(404, "NAME_UNKNOWN"),
    "405": faults.error(405, "UNSUPPORTED"),
    "409": faults.answer(409),
    "a page": faults.html(200),
    "500, always": faults.answer(500),
    "202 without a Location": faults.answer(202),
}


@pytest.mark.parametrize("fault", REFUSALS.values(), ids=REFUSALS)
async def test_whatever_is_said_to_a_mount_the_bytes_can_still_be_sent(
    registry: ScriptedRegistry, fault: Action
) -> None:
    registry.on("POST", MOUNT, authorized=True, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(BLOB, mount_from="team/base")
        assert upload is not None
        async with repository.slots.hold():
            await upload.send(cut(DATA))

    assert holds(registry)
    assert registry.count("POST", r"/uploads/") <= 6


async def test_a_source_that_may_not_be_read_is_no_reason_to_fail() -> None:
    robot = User(name="robot", password="secret", pull=("team/app",), push=("team/app",))
    async with ScriptedRegistry(auth=Bearer(users=(robot,), anonymous=None)) as registry:
        registry.seed_blob("other/base", str(BLOB.digest), Bytes(DATA))

        async with repository_of(registry.url, account=ACCOUNT) as repository:
            upload = await repository.open_upload(BLOB, mount_from="other/base")
            assert upload is not None
            async with repository.slots.hold():
                await upload.send(cut(DATA))

        assert holds(registry)
        assert len(registry.requests) < 15


async def test_a_token_service_that_gives_no_token_for_two_scopes_is_no_reason_to_fail(
    registry: ScriptedRegistry,
) -> None:
    registry.on("GET|POST", r"/token.*team/base", respond=faults.error(403, "DENIED", "one scope only"))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(BLOB, mount_from="team/base")
        assert upload is not None
        async with repository.slots.hold():
            await upload.send(cut(DATA))

    assert holds(registry)


@pytest.mark.parametrize(
    ("fault", "kind"), [(faults.too_many(seconds=1), RateLimitedError), (faults.reset(), NetworkError)]
)
async def test_a_host_that_can_t_be_reached_or_wants_less_is_not_pressed_for_more(
    registry: ScriptedRegistry, fault: Action, kind: type[Exception]
) -> None:
    registry.on("POST", r"/uploads/", authorized=True, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT, attempts=3) as repository:
        with pytest.raises(kind):
            await repository.open_upload(BLOB, mount_from="team/base")

    assert registry.count("POST", r"/uploads/") <= 4


async def test_a_mount_asks_for_a_token_with_both_repositories_push_first(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await repository.open_upload(BLOB, mount_from="team/base")

    asked = [parse_qs(request.query)["scope"] for request in registry.requests.matching("GET", r"/token")]
    assert ["repository:team/app:pull,push", "repository:team/base:pull"] in asked
