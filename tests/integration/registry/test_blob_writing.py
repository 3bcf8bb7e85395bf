"""Writing blobs (distribution-spec 1.1, "Pushing blobs"): POST, then one PUT with the whole blob."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clients import asked, cut, descriptor, repository_of, write
from ocync.lib.errors import (
    AuthError,
    NetworkError,
    NotFoundError,
    OcyncError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    ServerError,
)
from scripted import Basic, GeneratedBlob, ScriptedRegistry, User, faults
from scripted.behaviour import LOCATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted.rules import Action

pytestmark = pytest.mark.skips_waits

DATA = b"".join(bytes(piece) for piece in GeneratedBlob(300_000, 7).pieces(0, 300_000))
BLOB = descriptor(DATA)
UPLOADS = r"/uploads/"
ACCOUNT = ("robot", "secret")
LOGIN = Basic(users=(User(name="robot", password="secret"),))


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    """A registry that asks for Basic; its second origin fails the test for any Authorization."""
    async with ScriptedRegistry(auth=LOGIN, chunked_encoding=False) as running:
        yield running


def stored(registry: ScriptedRegistry) -> bytes | None:
    blobs = registry.repository("team/app").blobs
    return registry.repository("team/app").read(str(BLOB.digest)) if str(BLOB.digest) in blobs else None


@pytest.mark.parametrize("query", ["none", "state", "exact"])
@pytest.mark.parametrize("location", LOCATIONS)
async def test_the_bytes_go_where_the_location_says_in_all_its_forms(
    registry: ScriptedRegistry, location: str, query: str
) -> None:
    registry.behaviour.location, registry.behaviour.location_query = location, query

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, DATA)

    assert stored(registry) == DATA
    put = registry.requests.matching("PUT")[0]
    assert (put.server, put.scheme) == (("other", None) if location == "other-host" else ("registry", "Basic"))
    assert [request.method for request in registry.requests.matching("*", UPLOADS)] == ["POST", "PUT"]


@pytest.mark.parametrize("location", ["absolute", "path", "other-host"])
async def test_a_location_may_lie_outside_of_v2_and_be_long(registry: ScriptedRegistry, location: str) -> None:
    registry.behaviour.location, registry.behaviour.location_outside = location, True

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, DATA)

    assert stored(registry) == DATA


async def test_one_put_has_the_length_and_the_type_and_no_range(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, DATA)

    post, put = registry.requests.matching("POST|PUT|PATCH", UPLOADS)
    assert (post.method, post.headers["content-length"]) == ("POST", "0")
    assert post.path.endswith("/uploads/")
    assert put.headers["content-length"] == str(len(DATA))
    assert put.headers["content-type"] == "application/octet-stream"
    assert not {"content-range", "transfer-encoding", "expect"} & set(put.headers)
    assert put.query.endswith(f"digest={BLOB.digest}")


@pytest.mark.parametrize("data", [b"", b"{}"], ids=["no bytes", "the empty object"])
async def test_the_smallest_blobs_can_be_written(registry: ScriptedRegistry, data: bytes) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, data)
        assert await repository.has_blob(descriptor(data))


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_a_blob_is_stored_under_the_digest_it_is_known_by(registry: ScriptedRegistry, algorithm: str) -> None:
    blob = descriptor(DATA, algorithm)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, DATA, blob=blob)

    assert set(registry.repository("team/app").blobs) == {str(blob.digest)}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_all_answers_that_registries_give_to_a_put_are_a_success(
    registry: ScriptedRegistry, status: int
) -> None:
    registry.on("PUT", UPLOADS, authorized=True, respond=faults.answer(status))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await write(repository, DATA)


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_web_page_is_no_success(registry: ScriptedRegistry, status: int) -> None:
    registry.on("PUT", UPLOADS, authorized=True, respond=faults.html(status))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match="web page"):
            await write(repository, DATA)


REFUSALS = {
    "413": (faults.refuse_upload(413, after=10_000), ProtocolError, True),
    "413 before a byte": (faults.answer(413, read_body=False), ProtocolError, True),
    "403": (faults.error(403, "DENIED", "no", read_body=False), AuthError, False),
    "quota": (
        faults.error(403, "DENIED", "adding 1 MiB will exceed the configured upper limit", read_body=False),
        QuotaError,
        False,
    ),
    "429": (faults.too_many(seconds=2), RateLimitedError, True),
    "503": (faults.answer(503, read_body=False), ServerError, True),
    "a session that is lost": (faults.error(404, "BLOB_UPLOAD_UNKNOWN", read_body=False), NotFoundError, True),
    "a session without a code": (faults.answer(404), NotFoundError, True),
    "a session of another node": (faults.error(400, "BLOB_UPLOAD_INVALID"), ProtocolError, True),
    "bytes lost on the way": (faults.error(400, "DIGEST_INVALID"), ProtocolError, True),
    "an offset that is off": (faults.error(416, "RANGE_INVALID"), ProtocolError, True),
    "405": (faults.error(405, "UNSUPPORTED", "read-only"), ProtocolError, False),
    "400": (faults.error(400, "NAME_INVALID"), ProtocolError, False),
    "reset in the middle": (faults.reset_upload(after=100_000), NetworkError, True),
    "lost answer": (faults.lose_answer(), NetworkError, True),
    "stall": (faults.stall_upload(30, after=10_000), NetworkError, True),
    "no answer": (faults.stall(30), NetworkError, True),
}


@pytest.mark.parametrize(("fault", "kind", "retryable"), REFUSALS.values(), ids=REFUSALS)
async def test_a_put_that_fails_says_why_and_whether_another_session_may_help(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError], *, retryable: bool
) -> None:
    registry.on("PUT", UPLOADS, authorized=True, respond=fault)
    large = b"".join(bytes(piece) for piece in GeneratedBlob(8_000_000, 7).pieces(0, 8_000_000))

    async with repository_of(registry.url, account=ACCOUNT, idle=0.2, within=5) as repository:
        with pytest.raises(kind) as caught:
            await write(repository, large)
        assert repository.slots.statistics.held == 0

    assert caught.value.retryable is retryable
    assert registry.count("PUT", UPLOADS) == 1


async def test_a_body_that_is_refused_early_is_not_sent_to_its_end(registry: ScriptedRegistry) -> None:
    registry.on("PUT", UPLOADS, authorized=True, respond=faults.refuse_upload(413, after=1000))
    size, sent = 1 << 30, 0
    blob = descriptor(b"x")

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(size // 65536):
            sent += 65536
            yield bytes(65536)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        large = type(blob)(media_type=blob.media_type, digest=blob.digest, size=size)
        upload = await repository.open_upload(large)
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(ProtocolError, match="413"):
                await upload.send(endless())

    assert sent < 50_000_000


async def test_when_the_pieces_fail_nothing_is_committed_and_their_error_comes_through(
    registry: ScriptedRegistry,
) -> None:
    broken = NetworkError("the source broke")

    async def half() -> AsyncIterator[bytes]:
        yield DATA[: len(DATA) // 2]
        raise broken

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(BLOB)
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(NetworkError) as caught:
                await upload.send(half())

    assert caught.value is broken
    assert stored(registry) is None


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA + b"x"], ids=["too few", "too many"])
async def test_pieces_of_another_length_than_was_promised_are_never_committed(
    registry: ScriptedRegistry, wrong: bytes
) -> None:
    async with repository_of(registry.url, account=ACCOUNT, idle=0.2) as repository:
        upload = await repository.open_upload(BLOB)
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(OcyncError):
                await upload.send(cut(wrong))

    assert stored(registry) is None


async def test_a_registry_gets_time_to_store_a_large_blob_after_its_last_byte(registry: ScriptedRegistry) -> None:
    content = GeneratedBlob(32 * 1024 * 1024, 5)
    blob = type(BLOB)(media_type="x", digest=type(BLOB.digest).parse(content.digest()), size=content.size)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in content.pieces(0, content.size):
            yield bytes(piece)

    registry.on("PUT", UPLOADS, respond=_slow_to_answer(0.7))
    async with repository_of(registry.url, account=ACCOUNT, idle=0.3) as repository:
        upload = await repository.open_upload(blob)
        assert upload is not None
        async with repository.slots.hold():
            await upload.send(pieces())

    assert str(blob.digest) in registry.repository("team/app").blobs


async def test_a_session_that_is_not_used_is_given_back(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(BLOB)
        assert upload is not None
        await upload.abandon()

    assert registry.uploads.cancelled == 1
    assert not registry.uploads.sessions


@pytest.mark.parametrize(
    "fault", [faults.answer(405), faults.answer(403), faults.answer(404), faults.answer(500), faults.reset()]
)
async def test_a_session_that_can_t_be_given_back_is_no_error(registry: ScriptedRegistry, fault: Action) -> None:
    registry.on("DELETE", UPLOADS, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        upload = await repository.open_upload(BLOB)
        assert upload is not None
        await upload.abandon()

    assert registry.count("DELETE") <= 3


OPENINGS = {
    "no Location": (faults.answer(202), ProtocolError),
    "an empty Location": (faults.answer(202, headers={"Location": ""}), ProtocolError),
    "a Location at a metadata service": (
        faults.answer(202, headers={"Location": "http://169.254.169.254/latest/api/token"}),
        ProtocolError,
    ),
    "a Location that is no URL": (faults.answer(202, headers={"Location": "ftp://x/y"}), ProtocolError),
    "a page": (faults.html(200), ProtocolError),
    "201": (faults.answer(201), ProtocolError),
    "404": (faults.error(404, "NAME_UNKNOWN", "no such repository"), NotFoundError),
    "405": (faults.error(405, "UNSUPPORTED"), ProtocolError),
    "403": (faults.error(403, "DENIED"), AuthError),
}


@pytest.mark.parametrize(("fault", "kind"), OPENINGS.values(), ids=OPENINGS)
async def test_a_session_that_can_t_be_opened_is_an_error_with_a_reason(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]
) -> None:
    registry.on("POST", UPLOADS, authorized=True, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(kind) as caught:
            await repository.open_upload(BLOB)

    assert not caught.value.retryable
    assert registry.count("POST", UPLOADS) == 1


async def test_a_repository_that_the_target_does_not_make_is_told_in_words(registry: ScriptedRegistry) -> None:
    registry.behaviour.create_repositories = False

    async with repository_of(registry.url, "new/app", account=ACCOUNT) as repository:
        with pytest.raises(NotFoundError, match="create it first"):
            await repository.open_upload(BLOB)


@pytest.mark.parametrize(
    "fault",
    [faults.answer(503), faults.too_many(seconds=1), faults.reset(), faults.lose_answer(), faults.stall(30)],
    ids=["503", "429", "reset", "lost answer", "stall"],
)
async def test_the_opening_of_a_session_is_tried_again(registry: ScriptedRegistry, fault: Action) -> None:
    registry.on("POST", UPLOADS, authorized=True, times=2, respond=fault)

    async with repository_of(registry.url, account=ACCOUNT, idle=0.1) as repository:
        await write(repository, DATA)

    assert stored(registry) == DATA
    assert registry.count("POST", UPLOADS) <= 4


@pytest.mark.parametrize("single_post", [True, False])
async def test_many_uploads_at_once_keep_to_the_slots(registry: ScriptedRegistry, *, single_post: bool) -> None:
    registry.behaviour.single_post = single_post
    contents = [bytes([number]) * 20_000 for number in range(30)]

    async with (
        repository_of(registry.url, account=ACCOUNT, slots=3) as repository,
        asyncio.TaskGroup() as group,
    ):
        for data in contents:
            group.create_task(write(repository, data))

    assert len(registry.repository("team/app").blobs) == 30
    assert registry.requests.peak_of("*", r"/v2/team") <= 3
    assert asked(registry) == (30 if single_post else 60)


def _slow_to_answer(seconds: float) -> Action:
    async def action(request, proceed):  # type: ignore[no-untyped-def]
        response = await proceed()
        await asyncio.sleep(seconds)
        return response

    return action
