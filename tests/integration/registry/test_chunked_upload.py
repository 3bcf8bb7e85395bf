"""Blobs in parts (distribution-spec 1.1, "Pushing a blob in chunks"), at hosts that do not take them whole."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from clients import Side, cut, descriptor, repository_of, write
from ocync.lib.errors import NetworkError, OcyncError, ProtocolError
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.oci.providers import settings_of
from ocync.registry.upload_strategy import PART, UploadStrategy
from ocync.transfer.result import Status
from scripted import Basic, Bearer, GeneratedBlob, ScriptedRegistry, User, build, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.registry.repository import RegistryRepository
    from scripted.rules import Action
    from scripted.wire import Request, Response

UPLOADS = r"/uploads/"
ACCOUNT = ("robot", "secret")
ROBOT = User(name="robot", password="secret")
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
MIB = 1024 * 1024


def content(size: int) -> bytes:
    return b"".join(bytes(piece) for piece in GeneratedBlob(size, 7).pieces(0, size))


DATA = content(6 * MIB + 17)


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    """A registry that takes bodies of 1.5 MiB at most, and wants the newest Location each time."""
    async with ScriptedRegistry(
        auth=Basic(users=(ROBOT,)),
        body_limit=3 * MIB // 2,
        location_latest_only=True,
        single_post=False,
        chunked_encoding=False,
    ) as running:
        yield running


def stored(registry: ScriptedRegistry, data: bytes = DATA) -> bool:
    digest = str(descriptor(data).digest)
    repository = registry.repository("team/app")
    return digest in repository.blobs and repository.read(digest) == data


def spans(registry: ScriptedRegistry, status: int = 202) -> list[str]:
    return [
        patch.headers["content-range"] for patch in registry.requests.matching("PATCH") if patch.status == status
    ]


async def attempts(repository: RegistryRepository, data: bytes = DATA, *, most: int = 5) -> int:
    """Write until it succeeds, as a relay does; return how many attempts it took."""
    for attempt in range(1, most + 1):
        upload = await repository.open_upload(descriptor(data))
        assert upload is not None
        try:
            async with repository.slots.hold():
                await upload.send(cut(data))
        except OcyncError as error:
            await upload.abandon()
            if not error.retryable:
                raise
        else:
            return attempt
    raise AssertionError("never written")


@asynccontextmanager
async def in_parts(
    registry: ScriptedRegistry, *, host: str = "", **settings: object
) -> AsyncIterator[RegistryRepository]:
    """Give a repository whose host is known to take no whole blobs of this size."""
    async with repository_of(registry.url, account=ACCOUNT, **settings) as repository:
        if host:
            repository._client.upload_strategy = UploadStrategy(settings_of(host), host=host)
        assert repository._client.upload_strategy.too_large(2 * PART)
        yield repository


async def test_a_host_that_refuses_the_whole_as_too_large_gets_parts_and_is_remembered(
    registry: ScriptedRegistry,
) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        assert await attempts(repository) == 2
        assert stored(registry)
        # The size that is taken has been found by halving; what is small enough goes whole.
        sizes = [patch.received for patch in registry.requests.matching("PATCH", status=202)]
        assert max(sizes) <= 3 * MIB // 2
        assert sum(sizes) == len(DATA)
        refused = len(registry.requests.matching("PATCH", status=413))
        other, little = content(4 * MIB), content(100_000)
        assert await attempts(repository, other) == await attempts(repository, little) == 1

    assert stored(registry, other)
    assert stored(registry, little)
    assert len(registry.requests.matching("PATCH", status=413)) == refused <= 2
    assert registry.count("PUT", UPLOADS, status=413) == 1
    assert registry.uploads.sessions == {}


async def test_a_pass_gets_everything_into_a_target_behind_a_proxy_with_a_limit(registry: ScriptedRegistry) -> None:
    async with ScriptedRegistry() as source, Side(account=ACCOUNT) as side:
        layers = [build.layer(size, number) for number, size in enumerate((5 * MIB, 4 * MIB, 2 * MIB, 90_000))]
        source.seed("team/app", "1", build.image(layers))

        results = await side.sync(side.mapping(source.url, registry.url))

        assert {result.status for result in results.values()} == {Status.SYNCED}
        assert registry.content_of("team/app", "1") == source.content_of("team/app", "1")


async def test_parts_say_where_they_stand_and_follow_the_newest_location(registry: ScriptedRegistry) -> None:
    async with in_parts(registry) as repository:
        registry.behaviour.body_limit = None
        await write(repository, DATA)

    assert spans(registry) == [f"0-{PART - 1}", f"{PART}-{len(DATA) - 1}"]
    for patch in registry.requests.matching("PATCH"):
        assert patch.headers["content-type"] == "application/octet-stream"
        assert "transfer-encoding" not in patch.headers
    (put,) = registry.requests.matching("PUT", UPLOADS)
    assert put.headers["content-length"] == "0"
    assert stored(registry)


async def test_one_that_asks_for_larger_parts_gets_them(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit, registry.behaviour.chunk_minimum = None, 5 * MIB

    async with in_parts(registry) as repository:
        await write(repository, DATA)

    # The last one is shorter, as is allowed, and goes with the PUT: a registry can't know a PATCH for the last one.
    assert spans(registry) == [f"0-{5 * MIB - 1}"]
    (put,) = registry.requests.matching("PUT", UPLOADS)
    assert put.headers["content-range"] == f"{5 * MIB}-{len(DATA) - 1}"
    assert stored(registry)


async def test_one_that_asks_for_parts_that_no_memory_should_hold_gets_the_whole(
    registry: ScriptedRegistry,
) -> None:
    registry.behaviour.body_limit, registry.behaviour.chunk_minimum = None, 1 << 40

    async with in_parts(registry) as repository:
        await write(repository, DATA)

    assert registry.count("PATCH") == 0
    assert stored(registry)


async def test_ghcr_is_never_sent_a_range_of_more_than_four_mib(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit, registry.behaviour.content_range_limit = None, 4 * MIB

    async with in_parts(registry, host="ghcr.io") as repository:
        await write(repository, content(9 * MIB))

    assert [patch.received for patch in registry.requests.matching("PATCH")] == [4 * MIB, 4 * MIB, MIB]


async def test_a_host_with_ghcr_s_limit_and_another_name_gets_smaller_parts(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit, registry.behaviour.content_range_limit = None, MIB

    async with in_parts(registry) as repository:
        await write(repository, DATA)

    assert stored(registry)
    assert registry.count("PATCH", status=416) == 2


async def test_ecr_gets_parts_of_five_mib_and_its_range_is_not_believed(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit, registry.behaviour.stuck_range = None, True
    data = content(17 * MIB)

    async with in_parts(registry, host=ECR) as repository:
        await write(repository, data)

    sizes = [patch.received for patch in registry.requests.matching("PATCH")]
    assert sizes == [5 * MIB, 5 * MIB, 5 * MIB, 2 * MIB]
    assert registry.count("GET", UPLOADS) == 0
    assert stored(registry, data)


async def test_a_registry_of_google_gets_no_parts_and_the_reason_is_told(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        repository._client.upload_strategy = UploadStrategy(settings_of("europe-docker.pkg.dev"))
        with pytest.raises(ProtocolError, match="raise the limit"):
            await attempts(repository)

    assert registry.count("PATCH") == 0


async def test_acr_gets_parts_after_the_first_large_upload_that_breaks_others_after_two() -> None:
    for host, breaks in (("my-registry.azurecr.io", 1), ("r.example", 2)):
        async with ScriptedRegistry(single_post=False) as registry, repository_of(registry.url) as repository:
            repository._client.upload_strategy = UploadStrategy(settings_of(host))
            registry.on("PUT", UPLOADS, respond=faults.reset_upload(after=2 * MIB), when=_is_large)
            assert await attempts(repository) == breaks + 1
            assert stored(registry)
            assert max(patch.received for patch in registry.requests.matching("PATCH")) <= PART


async def test_a_host_that_breaks_large_posts_off_gets_parts_too() -> None:
    async with ScriptedRegistry() as registry, repository_of(registry.url) as repository:
        await write(repository, b"{}")
        registry.on("PUT|POST", UPLOADS, respond=faults.reset_upload(after=2 * MIB), when=_is_large)
        assert await attempts(repository) == 3
        assert stored(registry)


async def test_a_body_that_is_too_large_however_small_it_is_is_told_with_what_to_do() -> None:
    async with ScriptedRegistry(body_limit=1000) as registry, repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="client_max_body_size") as caught:
            await attempts(repository, content(90_000))
        with pytest.raises(ProtocolError, match="client_max_body_size"):
            await attempts(repository)

    assert not caught.value.retryable
    assert len(registry.requests) < 40


LOST = {
    "the answer is lost": faults.lose_answer(),
    "nothing has come": faults.reset(),
    "half of it has come": faults.reset_upload(after=MIB, keep=True),
    "an error of the server": faults.answer(500),
    "the offset is said to be wrong": faults.error(416, "RANGE_INVALID"),
}


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_part_that_is_lost_goes_on_from_what_the_registry_holds(
    registry: ScriptedRegistry, fault: Action, after: int
) -> None:
    registry.behaviour.body_limit, registry.behaviour.location_latest_only = None, False
    times = 2 if fault is LOST["nothing has come"] else 1
    registry.on("PATCH", UPLOADS, authorized=True, after=after, times=times, respond=fault)

    async with in_parts(registry, idle=3.0) as repository:
        tries = await attempts(repository, content(9 * MIB))

    assert tries == 1
    assert stored(registry, content(9 * MIB))
    # Within one session, and no part of it was sent three times.
    assert registry.uploads.opened == 1
    assert sum(patch.received for patch in registry.requests.matching("PATCH")) <= 9 * MIB + 3 * PART


async def test_a_part_that_breaks_off_again_and_again_goes_on_while_more_of_it_arrives(
    registry: ScriptedRegistry,
) -> None:
    registry.behaviour.body_limit, registry.behaviour.location_latest_only = None, False
    registry.on("PATCH", UPLOADS, authorized=True, respond=faults.reset_upload(after=MIB // 3, keep=True))

    async with in_parts(registry, idle=3.0) as repository:
        assert await attempts(repository, content(9 * MIB)) == 1

    assert stored(registry, content(9 * MIB))
    assert registry.uploads.opened == 1


async def test_a_part_of_which_next_to_nothing_arrives_is_not_sent_for_ever(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit, registry.behaviour.location_latest_only = None, False
    registry.on("PATCH", UPLOADS, authorized=True, respond=faults.reset_upload(after=1000, keep=True))

    async with in_parts(registry, idle=3.0) as repository:
        upload = await repository.open_upload(descriptor(content(9 * MIB)))
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(OcyncError):
                await upload.send(cut(content(9 * MIB)))

    assert registry.count("PATCH", UPLOADS) <= 4


async def test_a_session_that_says_0_0_is_not_taken_for_one_that_holds_a_byte(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit = None
    registry.on("PATCH", UPLOADS, authorized=True, times=1, respond=faults.error(416, "RANGE_INVALID"))

    async with in_parts(registry) as repository:
        assert await attempts(repository) == 1

    assert spans(registry)[0] == f"0-{PART - 1}"
    assert registry.count("GET", UPLOADS, status=204) == 1
    assert stored(registry)


GONE = {
    "it is forgotten": faults.error(404, "BLOB_UPLOAD_UNKNOWN"),
    "another node has it": faults.error(400, "BLOB_UPLOAD_INVALID"),
    "it stands elsewhere": faults.error(416, "RANGE_INVALID"),
}


@pytest.mark.parametrize("fault", GONE.values(), ids=GONE)
async def test_a_session_that_is_lost_between_two_parts_is_opened_anew(
    registry: ScriptedRegistry, fault: Action
) -> None:
    registry.behaviour.body_limit = None
    registry.on("PATCH|GET", r"/uploads/\w", authorized=True, after=1, times=2, respond=fault)

    async with in_parts(registry) as repository:
        assert await attempts(repository) <= 3

    assert stored(registry)


@pytest.mark.parametrize(
    "fault", [faults.error(405, "UNSUPPORTED"), faults.error(400, "BLOB_UPLOAD_INVALID"), faults.answer(501)]
)
async def test_a_host_that_takes_no_parts_at_all_gets_the_whole_again(
    registry: ScriptedRegistry, fault: Action
) -> None:
    registry.behaviour.body_limit = None
    registry.on("PATCH", UPLOADS, authorized=True, respond=fault)

    async with in_parts(registry) as repository:
        tries = await attempts(repository, most=10) if "501" not in repr(fault) else 3
        assert tries == 3
        if "501" not in repr(fault):
            assert stored(registry)


NO_PUT = {
    "404 without a code": faults.answer(404),
    "404 and the session unknown": faults.error(404, "BLOB_UPLOAD_UNKNOWN"),
    "400": faults.error(400, "BLOB_UPLOAD_INVALID"),
    "416": faults.answer(416),
}


@pytest.fixture
async def patching() -> AsyncIterator[ScriptedRegistry]:
    """A registry that takes bytes by PATCH only, as Artifactory 6 (docker/buildx#196)."""
    async with ScriptedRegistry(single_post=False) as registry:
        yield registry


def has_bytes(request: Request) -> bool:
    return bool(request.body.length)


@pytest.mark.parametrize("fault", NO_PUT.values(), ids=NO_PUT)
@pytest.mark.parametrize("size", [100, 300_000, 9 * MIB])
async def test_a_host_that_takes_no_bytes_by_put_gets_them_by_patch(
    patching: ScriptedRegistry, fault: Action, size: int
) -> None:
    patching.on("PUT", UPLOADS, respond=fault, when=has_bytes)
    data, other = content(size), content(size + 1)

    async with repository_of(patching.url) as repository:
        assert await attempts(repository, data) <= 3
        assert stored(patching, data)
        puts = patching.count("PUT", UPLOADS)
        assert await attempts(repository, other) == 1

    assert stored(patching, other)
    assert patching.count("PUT", UPLOADS) == puts + 1
    assert patching.requests.matching("PATCH")[-1].headers.get("content-range") is None
    assert patching.requests.matching("PATCH")[-1].received == size + 1


async def test_a_pass_fills_a_target_that_takes_bytes_by_patch_alone(patching: ScriptedRegistry) -> None:
    patching.on("PUT", UPLOADS, respond=faults.answer(404), when=has_bytes)
    async with ScriptedRegistry() as source, Side() as side:
        layers = [build.layer(size, number) for number, size in enumerate((5 * MIB, 90_000, 500))]
        source.seed("team/app", "1", build.image(layers))

        results = await side.sync(side.mapping(source.url, patching.url))

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert patching.content_of("team/app", "1") == source.content_of("team/app", "1")


async def test_a_session_that_is_lost_once_is_no_reason_for_a_patch(patching: ScriptedRegistry) -> None:
    patching.on("PUT", UPLOADS, times=1, respond=faults.error(404, "BLOB_UPLOAD_UNKNOWN"))

    async with repository_of(patching.url) as repository:
        assert await attempts(repository, content(1000)) == 2
        patching.on("PUT", UPLOADS, times=3, respond=faults.error(404, "BLOB_UPLOAD_UNKNOWN"))
        assert await attempts(repository, content(2000)) == 4

    assert patching.count("PATCH") == 0


async def test_a_host_that_takes_bytes_in_no_way_gets_the_usual_one_again(patching: ScriptedRegistry) -> None:
    patching.on("PUT|PATCH", UPLOADS, respond=faults.error(404, "BLOB_UPLOAD_UNKNOWN", "no such session"))

    async with repository_of(patching.url) as repository:
        with pytest.raises(AssertionError, match="never written"):
            await attempts(repository, content(1000))

    assert [request.method for request in patching.requests.matching("PUT|PATCH")] == ["PUT"] * 2 + ["PATCH"] + [
        "PUT"
    ] * 2


async def test_a_registry_that_is_read_only_gets_no_patch(patching: ScriptedRegistry) -> None:
    patching.on("PUT|PATCH", UPLOADS, respond=faults.error(405, "UNSUPPORTED", "read-only"))

    async with repository_of(patching.url) as repository:
        with pytest.raises(OcyncError, match="read-only") as caught:
            await attempts(repository, content(1000))

    assert not caught.value.retryable
    assert patching.count("PUT|PATCH") == 1


async def test_bytes_that_were_lost_are_no_reason_for_a_patch(patching: ScriptedRegistry) -> None:
    patching.on("PUT", UPLOADS, times=3, respond=faults.error(400, "DIGEST_INVALID"))

    async with repository_of(patching.url) as repository:
        assert await attempts(repository, content(1000)) == 4

    assert patching.count("PATCH") == 0


async def test_a_token_that_ends_between_parts_is_renewed_and_the_part_sent_again() -> None:
    auth = Bearer(users=(ROBOT,), anonymous=None)
    async with ScriptedRegistry(auth=auth, location_latest_only=True) as registry:
        registry.on("PATCH", UPLOADS, authorized=True, respond=faults.afterwards(auth.tokens.revoke_all))
        async with in_parts(registry) as repository:
            assert await attempts(repository, content(9 * MIB)) == 1

        assert stored(registry, content(9 * MIB))
        assert registry.count("PATCH", status=401) == 2


async def test_parts_that_are_not_kept_in_memory_arrive_too_and_what_fails_is_sent_anew(
    registry: ScriptedRegistry,
) -> None:
    async with AsyncExitStack() as stack:
        repository = await stack.enter_async_context(in_parts(registry))
        for _ in range(4):
            assert stack.enter_context(repository._client.upload_strategy.buffer())
        registry.behaviour.body_limit = None
        await write(repository, DATA)
        assert stored(registry)
        registry.behaviour.body_limit = 2 * MIB
        assert await attempts(repository, content(5 * MIB)) == 2

    assert stored(registry, content(5 * MIB))
    assert registry.count("GET", UPLOADS) == 0


async def test_when_the_pieces_fail_nothing_is_committed_and_their_error_comes_through(
    registry: ScriptedRegistry,
) -> None:
    registry.behaviour.body_limit = None
    broken = NetworkError("the source broke")

    async def most() -> AsyncIterator[bytes]:
        yield DATA[:-1]
        raise broken

    async with in_parts(registry) as repository:
        upload = await repository.open_upload(descriptor(DATA))
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(NetworkError) as caught:
                await upload.send(most())
        await upload.abandon()

    assert caught.value is broken
    assert registry.count("PUT", UPLOADS) == 0
    # Given back at the Location that was the newest.
    assert registry.uploads.cancelled == 1


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA + b"x"], ids=["too few", "too many"])
async def test_pieces_of_another_length_than_was_promised_are_never_committed(
    registry: ScriptedRegistry, wrong: bytes
) -> None:
    registry.behaviour.body_limit = None

    async with in_parts(registry) as repository:
        upload = await repository.open_upload(descriptor(DATA))
        assert upload is not None
        async with repository.slots.hold():
            with pytest.raises(OcyncError, match=r"missing|more bytes"):
                await upload.send(cut(wrong))

    assert not stored(registry)
    assert registry.count("PUT", UPLOADS) == 0


async def test_memory_does_not_grow_with_the_blob(registry: ScriptedRegistry) -> None:
    registry.behaviour.body_limit, registry.behaviour.discard_over = None, 0
    generated = GeneratedBlob(200 * MIB, 9)
    blob = Descriptor(media_type="x", digest=Digest.parse(generated.digest()), size=generated.size)
    given = taken = most = 0

    async def count(request: Request, proceed: Callable[[], object]) -> Response:
        nonlocal taken
        response = await proceed()  # type: ignore[misc]
        taken += request.body.received
        return response  # type: ignore[no-any-return]

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal given, most
        for piece in generated.pieces(0, generated.size):
            given += len(piece)
            most = max(most, given - taken)
            yield bytes(piece)

    registry.on("PATCH", UPLOADS, respond=count)  # type: ignore[arg-type]
    async with in_parts(registry, within=60.0) as repository:
        upload = await repository.open_upload(blob)
        assert upload is not None
        async with repository.slots.hold():
            await upload.send(pieces())

    assert given == taken == 200 * MIB
    assert most <= 2 * PART


def _is_large(request: Request) -> bool:
    return (request.body.length or 0) > 2 * MIB


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_conflict_with_another_writer_ends_an_upload_in_parts_well(
    registry: ScriptedRegistry, method: str
) -> None:
    other = content(6 * MIB + 18)
    digest = str(descriptor(other).digest)
    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await attempts(repository)
        seed = faults.first(lambda: registry.seed_blob("team/app", digest, Bytes(other)))
        after = 2 if method == "PATCH" else 0
        conflict = faults.chain(seed, faults.error(409, "CONFLICT", "blob exists"))
        registry.on(method, UPLOADS, after=after, times=1, respond=conflict)
        assert await attempts(repository, other) == 1

    assert stored(registry, other)
