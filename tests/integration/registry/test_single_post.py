"""Blobs by one POST with the bytes, where a host takes it (distribution-spec 1.1, "Single POST")."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clients import asked, cut, descriptor, repository_of, write
from ocync.lib.errors import AuthError, NetworkError, NotFoundError, OcyncError, ProtocolError, RateLimitedError
from ocync.oci.providers import settings_of
from ocync.registry.upload_strategy import SMALL, UploadStrategy
from scripted import Basic, Bearer, ScriptedRegistry, User, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted.rules import Action

UPLOADS, SINGLE = r"/uploads/", r"/uploads/\?digest="
ACCOUNT = ("robot", "secret")
ROBOT = User(name="robot", password="secret")
LITTLE = b"a config" * 100
LARGE = bytes(range(256)) * 2000
assert len(LITTLE) < SMALL < len(LARGE)


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry(auth=Basic(users=(ROBOT,)), chunked_encoding=False) as running:
        yield running


def methods(registry: ScriptedRegistry) -> list[str]:
    return [request.method for request in registry.requests.matching("*", UPLOADS) if request.status != 401]


def stored(registry: ScriptedRegistry, data: bytes) -> bool:
    digest = str(descriptor(data).digest)
    repository = registry.repository("team/app")
    return digest in repository.blobs and repository.read(digest) == data


async def test_a_host_that_takes_a_small_blob_gets_the_others_by_one_request_each_large_ones_too(
    registry: ScriptedRegistry,
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        assert repository.single_post is None
        for data in (LITTLE, LARGE, b"", b"{}"):
            await write(repository, data)
        assert repository.single_post is True

    assert methods(registry) == ["POST"] * 4
    assert all(stored(registry, data) for data in (LITTLE, LARGE, b"", b"{}"))
    assert registry.uploads.sessions == {}


async def test_the_post_has_the_length_the_type_and_the_digest_and_no_range(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for data in (LITTLE, LARGE):
            await write(repository, data)

    for data, post in zip((LITTLE, LARGE), registry.requests.matching("POST", SINGLE)[-2:], strict=True):
        assert post.headers["content-length"] == str(len(data))
        assert post.headers["content-type"] == "application/octet-stream"
        assert not {"content-range", "transfer-encoding", "expect"} & set(post.headers)
        assert post.query == f"digest={descriptor(data).digest}"


@pytest.mark.parametrize("location", ["absolute", "path", "relative", "other-host"])
async def test_a_host_that_opens_a_session_instead_gets_the_small_blob_again_and_is_not_tried_any_more(
    registry: ScriptedRegistry, location: str
) -> None:
    registry.behaviour.single_post, registry.behaviour.location = False, location

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for data in (LITTLE, LARGE, b"{}"):
            await write(repository, data)
        assert repository.single_post is False

    # As many requests as without the try.
    assert methods(registry) == ["POST", "PUT"] * 3
    assert registry.count("POST", SINGLE, status=202) == 1
    assert registry.uploads.opened == 3
    assert registry.uploads.sessions == {}
    assert all(stored(registry, data) for data in (LITTLE, LARGE, b"{}"))


async def test_a_large_blob_is_not_sent_by_one_post_to_a_host_that_has_shown_nothing(
    registry: ScriptedRegistry,
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, LARGE)

    assert methods(registry) == ["POST", "PUT"]
    assert registry.count("POST", SINGLE) == 0


@pytest.mark.parametrize("host", ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", "public.ecr.aws"])
async def test_a_host_that_is_known_to_want_two_requests_is_not_tried(
    registry: ScriptedRegistry, host: str
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        repository._client.upload_strategy = UploadStrategy(settings_of(host))
        await write(repository, LITTLE)

    assert methods(registry) == ["POST", "PUT"]
    assert registry.count("POST", SINGLE) == 0


ODDITIES = {
    "400": faults.error(400, "DIGEST_INVALID"),
    "405": faults.error(405, "UNSUPPORTED"),
    "411": faults.answer(411),
    "413": faults.answer(413),
    "415": faults.answer(415),
    "500": faults.answer(500),
    "501": faults.answer(501),
    "403": faults.error(403, "DENIED"),
    "404": faults.answer(404),
    "200": faults.answer(200),
    "204": faults.answer(204),
    "a page": faults.html(200),
    "a redirect without a target": faults.answer(302),
}


@pytest.mark.parametrize("fault", ODDITIES.values(), ids=ODDITIES)
async def test_whatever_is_said_to_one_post_the_usual_way_is_gone_then(
    registry: ScriptedRegistry, fault: Action
) -> None:
    registry.on("POST", SINGLE, authorized=True, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for data in (LITTLE, LARGE, b"{}"):
            await write(repository, data)
        assert repository.single_post is False

    assert all(stored(registry, data) for data in (LITTLE, LARGE, b"{}"))
    assert registry.count("POST", SINGLE) <= 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.error(403, "DENIED", "no push here"), AuthError),
        (faults.error(404, "NAME_UNKNOWN", "no such repository"), NotFoundError),
        (faults.error(400, "NAME_INVALID", "no such name"), ProtocolError),
    ],
    ids=["403", "404", "400"],
)
async def test_what_is_refused_both_ways_is_an_error_with_the_reason_and_teaches_nothing(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]
) -> None:
    registry.on("POST", UPLOADS, authorized=True, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(kind, match=r"no (push|such)") as caught:
            await write(repository, LITTLE)
        assert repository.single_post is None
        assert repository.slots.statistics.held == 0

    assert not caught.value.retryable
    assert registry.count("POST", UPLOADS, status=401) <= 2


@pytest.mark.parametrize(
    ("fault", "kind", "times"),
    [
        (faults.too_many(seconds=4), RateLimitedError, 1),
        (faults.answer(503), OcyncError, 1),
        # A connection that was used before may have ended on its own: it is tried on another one at once.
        (faults.reset(), NetworkError, 2),
        (faults.stall(30), NetworkError, 1),
    ],
    ids=["429", "503", "reset", "stall"],
)
async def test_a_host_that_only_wants_patience_is_tried_again_with_the_next_small_blob(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError], times: int
) -> None:
    registry.on("POST", SINGLE, authorized=True, times=times, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT, idle=0.2) as repository:
        with pytest.raises(kind) as caught:
            await write(repository, LITTLE)
        assert caught.value.retryable
        await write(repository, b"{}")
        assert repository.single_post is True


STREAMS = {
    "202": faults.answer(202, headers={"Location": "/v2/team/app/blobs/uploads/spare"}),
    "405": faults.answer(405, read_body=False),
    "307": faults.redirect("/elsewhere"),
    "400": faults.error(400, "DIGEST_INVALID"),
}


@pytest.mark.parametrize("fault", STREAMS.values(), ids=STREAMS)
async def test_a_host_that_changes_its_mind_with_a_large_blob_gets_it_the_usual_way(
    registry: ScriptedRegistry, fault: Action
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, LITTLE)
        rule = registry.on("POST", SINGLE, authorized=True, respond=fault)
        upload = await repository.open_upload(descriptor(LARGE))
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(OcyncError) as caught:
                await upload.send(cut(LARGE))
        await upload.abandon()
        # The bytes are gone: who has them sends them anew.
        assert caught.value.retryable
        await write(repository, LARGE)
        assert repository.single_post is False

    assert stored(registry, LARGE)
    assert rule.met == 1


@pytest.mark.parametrize("fault", [faults.reset_upload(after=100_000), faults.answer(500)], ids=["reset", "500"])
async def test_a_host_that_takes_only_small_blobs_so_gets_large_ones_the_usual_way_after_some_tries(
    registry: ScriptedRegistry, fault: Action
) -> None:
    registry.on("POST", SINGLE, when=_is_large, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, LITTLE)
        for _ in range(3):
            with pytest.raises(OcyncError):
                await write(repository, LARGE)
        await write(repository, LARGE)
        await write(repository, b"{}")
        assert repository.single_post is True

    assert stored(registry, LARGE)
    assert registry.requests.matching("POST")[-1].query == f"digest={descriptor(b'{}').digest}"


async def test_a_source_that_breaks_says_nothing_of_the_host(registry: ScriptedRegistry) -> None:
    broken = NetworkError("the source broke")

    async def half(data: bytes) -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        raise broken

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for data in (LITTLE, LARGE, LARGE, LARGE, LARGE):
            if data == LARGE and repository.single_post is None:
                await write(repository, LITTLE)
            upload = await repository.open_upload(descriptor(data))
            assert upload is not None
            async with repository.slots.hold():
                with pytest.raises(NetworkError) as caught:
                    await upload.send(half(data))
            assert caught.value is broken
        await write(repository, LARGE)

    assert registry.count("PUT", UPLOADS) == 0
    assert stored(registry, LARGE)


@pytest.mark.parametrize("wrong", [LITTLE[:-1], LITTLE + b"x"], ids=["too few", "too many"])
async def test_a_small_blob_of_another_length_than_was_promised_is_not_sent(
    registry: ScriptedRegistry, wrong: bytes
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(descriptor(LITTLE))
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(OcyncError, match="are due"):
                await upload.send(cut(wrong))
        await upload.abandon()

    assert asked(registry) == 0


async def test_an_upload_that_is_given_up_before_it_was_sent_asks_for_nothing(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for _ in range(2):
            upload = await repository.open_upload(descriptor(LITTLE))
            assert upload is not None
            await upload.abandon()
        await write(repository, LITTLE)
        assert repository.single_post is True

    assert methods(registry) == ["POST"]


async def test_only_one_blob_at_a_time_tries(registry: ScriptedRegistry) -> None:
    registry.behaviour.single_post = False
    registry.on("POST", UPLOADS, respond=faults.stall(0.1))

    async with repository_of(registry.url, account=ACCOUNT) as repository, asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(write(repository, LITTLE + bytes([number])))

    assert registry.count("POST", SINGLE, status=202) == 1
    assert len(registry.repository("team/app").blobs) == 20


async def test_a_mount_is_asked_for_first_and_a_refused_one_costs_no_try(registry: ScriptedRegistry) -> None:
    registry.seed_blob("team/base", str(descriptor(LITTLE).digest), Bytes(LITTLE))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, b"{}")
        assert await repository.open_upload(descriptor(LITTLE), mount_from="team/base") is None
        registry.behaviour.mount = False
        upload = await repository.open_upload(descriptor(LARGE), mount_from="team/base")
        assert upload is not None
        async with repository.slots.hold():
            await upload.send(cut(LARGE))

    assert methods(registry) == ["POST", "POST", "POST", "PUT"]


async def test_a_token_that_has_ended_is_renewed_and_the_small_blob_sent_again() -> None:
    auth = Bearer(users=(ROBOT,), anonymous=None)
    async with ScriptedRegistry(auth=auth) as registry:
        async with repository_of(registry.url, account=ACCOUNT) as repository:
            await write(repository, b"{}")
            auth.tokens.revoke_all()
            await write(repository, LITTLE)

        assert stored(registry, LITTLE)
        assert registry.count("POST", SINGLE, status=201) == 2


def _is_large(request: object) -> bool:
    return (getattr(request, "body").length or 0) > SMALL  # noqa: B009


def _first(registry: ScriptedRegistry, data: bytes) -> Action:
    """Refuse with 409, since another writer was first."""
    seed = faults.first(lambda: registry.seed_blob("team/app", str(descriptor(data).digest), Bytes(data)))
    return faults.chain(seed, faults.error(409, "CONFLICT", "blob exists"))


@pytest.mark.parametrize("data", [LITTLE, LARGE], ids=["little", "large"])
async def test_a_conflict_with_another_writer_of_the_same_blob_is_a_success(
    registry: ScriptedRegistry, data: bytes
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, b"it takes a blob by one POST")
        registry.on("POST", SINGLE, respond=_first(registry, data), times=1)
        await write(repository, data)

    assert stored(registry, data)
    assert repository.single_post is True
    assert methods(registry) == ["POST", "POST"]


@pytest.mark.parametrize("data", [LITTLE, LARGE], ids=["little", "large"])
@pytest.mark.parametrize("method", ["PUT", "PATCH|PUT"])
async def test_so_it_is_where_a_session_ends(data: bytes, method: str) -> None:
    async with ScriptedRegistry(single_post=False) as registry, repository_of(registry.url) as repository:
        await write(repository, b"{}")
        registry.on(method, UPLOADS, respond=_first(registry, data), times=1)
        await write(repository, data)

        assert stored(registry, data)
        assert registry.count("PUT", status=409) == 1
        assert registry.count("HEAD") == 1


async def test_so_it_is_where_a_session_is_opened() -> None:
    async with ScriptedRegistry(single_post=False) as registry, repository_of(registry.url) as repository:
        await write(repository, b"{}")
        registry.on("POST", UPLOADS, respond=_first(registry, LARGE), times=1)

        assert await repository.open_upload(descriptor(LARGE)) is None
        assert stored(registry, LARGE)


@pytest.mark.parametrize("look", [None, faults.answer(500), faults.reset()], ids=["missing", "500", "reset"])
async def test_a_conflict_about_a_blob_that_is_not_there_is_an_error(look: Action | None) -> None:
    async with ScriptedRegistry(single_post=False) as registry, repository_of(registry.url) as repository:
        registry.on("PUT", UPLOADS, respond=faults.error(409, "CONFLICT", "another upload is under way"))
        if look is not None:
            registry.on("HEAD", "/blobs/", respond=look)
        with pytest.raises(ProtocolError, match="another upload is under way"):
            await write(repository, LARGE)

        assert registry.count("PUT") == 1
        assert not stored(registry, LARGE)
