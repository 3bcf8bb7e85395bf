"""Reading blobs (distribution-spec 1.1, "Pulling blobs"), one read after the other; the relay retries them."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clients import asked, descriptor, read, repository_of
from ocync.lib.errors import AuthError, NetworkError, NotFoundError, OcyncError, ProtocolError, VerificationError
from ocync.oci.digest import Verifier
from scripted import GeneratedBlob, ScriptedRegistry, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.manifest import Descriptor
    from scripted.rules import Action

DATA = b"".join(bytes(piece) for piece in GeneratedBlob(300_000, 7).pieces(0, 300_000))
BLOB = descriptor(DATA)
GET = r"/blobs/sha256:"


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as running:
        running.seed_blob("team/app", str(BLOB.digest), Bytes(DATA))
        yield running


async def test_a_blob_comes_whole_in_pieces_of_bounded_size(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url) as repository, repository.slots.hold(), repository.blob(BLOB) as pieces:
        sizes = [len(piece) async for piece in pieces]

    assert sum(sizes) == len(DATA)
    assert max(sizes) <= 1024 * 1024
    assert asked(registry) == 1


@pytest.mark.parametrize("data", [b"", b"{}"], ids=["no bytes", "the empty object"])
async def test_the_smallest_blobs_are_blobs(registry: ScriptedRegistry, data: bytes) -> None:
    registry.seed_blob("team/app", str(descriptor(data).digest), Bytes(data))

    async with repository_of(registry.url) as repository:
        assert await read(repository, descriptor(data)) == data
        assert await repository.has_blob(descriptor(data))


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_a_blob_is_asked_for_by_the_digest_it_is_known_by(registry: ScriptedRegistry, algorithm: str) -> None:
    blob = descriptor(DATA, algorithm)
    registry.seed_blob("team/app", str(blob.digest), Bytes(DATA))

    async with repository_of(registry.url) as repository:
        assert await repository.has_blob(blob)
        assert await read(repository, blob) == DATA


async def test_no_encoding_and_no_range_is_asked_for(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url) as repository:
        await read(repository, BLOB)

    request = registry.requests.matching("GET", GET)[0]
    assert request.headers["accept-encoding"] == "identity"
    assert "range" not in request.headers


PARTS = {
    "parts": faults.headers({}),
    "no parts": faults.headers({}),
    "parts in chunks": faults.chunked(),
    "a wrong part": faults.headers({"Content-Range": "bytes 1-2/3"}),
    "no such part": faults.error(416, "RANGE_INVALID"),
}


@pytest.mark.parametrize("start", [1, 150_000, 299_999])
@pytest.mark.parametrize(("kind", "fault"), PARTS.items(), ids=PARTS)
async def test_a_blob_can_be_read_from_the_middle(
    registry: ScriptedRegistry, kind: str, fault: Action, start: int
) -> None:
    registry.behaviour.ranges = kind != "no parts"
    registry.on("GET", GET, times=1, respond=fault)

    async with repository_of(registry.url) as repository, repository.slots.hold():
        async with repository.blob(BLOB, start=start) as pieces:
            assert b"".join([piece async for piece in pieces]) == DATA[start:]
        # What was learned the first time is known the second time.
        async with repository.blob(BLOB, start=start) as pieces:
            assert b"".join([piece async for piece in pieces]) == DATA[start:]

    assert registry.count("GET", GET) == (3 if kind in ("a wrong part", "no such part") else 2)
    asked = [request.headers.get("range") for request in registry.requests.matching("GET", GET)]
    assert asked[-1] == (f"bytes={start}-" if kind.startswith("parts") else None)


@pytest.mark.parametrize("framing", [faults.chunked(), faults.without_length()], ids=["chunked", "until close"])
async def test_a_blob_without_a_length_is_read_to_its_end(registry: ScriptedRegistry, framing: Action) -> None:
    registry.on("GET", GET, respond=framing)

    async with repository_of(registry.url) as repository:
        assert await read(repository, BLOB) == DATA


async def test_a_body_in_gzip_is_unpacked_and_its_length_not_taken_for_that_of_the_blob(
    registry: ScriptedRegistry,
) -> None:
    registry.on("GET", GET, respond=faults.encode_gzip())

    async with repository_of(registry.url) as repository:
        assert await read(repository, BLOB) == DATA


async def test_gzip_of_several_members_is_one_body(registry: ScriptedRegistry) -> None:
    body = gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:])
    registry.on("GET", GET, respond=faults.answer(200, body, headers={"Content-Encoding": "gzip"}))

    async with repository_of(registry.url) as repository:
        assert await read(repository, BLOB) == DATA


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"\x1f\x8bno gzip at all", NetworkError), (b"\x1f\x8b\x08\x00", NetworkError)],
    ids=["broken", "short"],
)
async def test_broken_gzip_is_worth_another_try(
    registry: ScriptedRegistry, body: bytes, kind: type[OcyncError]
) -> None:
    registry.on("GET", GET, respond=faults.answer(200, body, headers={"Content-Encoding": "gzip"}))

    async with repository_of(registry.url) as repository:
        with pytest.raises(NetworkError, match="gzip"):
            await read(repository, BLOB)


async def test_an_encoding_that_is_not_known_is_refused(registry: ScriptedRegistry) -> None:
    registry.on("GET", GET, respond=faults.answer(200, b"packed", headers={"Content-Encoding": "zstd"}))

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="zstd"):
            await read(repository, BLOB)


PACKED = gzip.compress(DATA)
LABELLED = faults.headers({"Content-Encoding": "gzip"})


@pytest.mark.parametrize("label", ["gzip", "x-gzip", "GZIP", "aws-chunked", "zstd", "br"])
@pytest.mark.parametrize("data", [DATA, PACKED, b"", b"{}"], ids=["bytes", "gzip", "nothing", "the empty object"])
async def test_bytes_of_the_length_that_is_due_are_taken_as_they_are_whatever_the_label(
    registry: ScriptedRegistry, data: bytes, label: str
) -> None:
    blob = descriptor(data)
    registry.seed_blob("team/app", str(blob.digest), Bytes(data))
    registry.on("*", GET, respond=faults.headers({"Content-Encoding": label}))

    async with repository_of(registry.url) as repository:
        await verified(repository, blob)
        assert await repository.has_blob(blob)


@pytest.mark.parametrize("packs", [False, True], ids=["labelled", "packed"])
@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (DATA, "application/octet-stream"),
        (DATA, "application/vnd.oci.image.layer.v1.tar+zstd"),
        (PACKED, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (PACKED, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ],
)
async def test_without_a_length_the_bytes_tell_whether_they_were_packed(
    registry: ScriptedRegistry, data: bytes, media_type: str, *, packs: bool
) -> None:
    blob = replace(descriptor(data), media_type=media_type)
    registry.seed_blob("team/app", str(blob.digest), Bytes(data))
    label = faults.encode_gzip() if packs else LABELLED
    registry.on("GET", GET, respond=faults.chain(faults.chunked(), label))

    async with repository_of(registry.url) as repository:
        await verified(repository, blob)


async def test_the_rest_of_a_blob_that_is_only_labelled_is_taken_as_it_is(registry: ScriptedRegistry) -> None:
    blob = descriptor(PACKED)
    registry.seed_blob("team/app", str(blob.digest), Bytes(PACKED))
    registry.on("GET", GET, respond=LABELLED)

    async with (
        repository_of(registry.url) as repository,
        repository.slots.hold(),
        repository.blob(blob, start=1000) as pieces,
    ):
        assert b"".join([piece async for piece in pieces]) == PACKED[1000:]

    assert registry.count("GET", GET, status=206) == asked(registry) == 1


async def test_a_length_other_than_the_descriptor_s_fails_before_anything_is_read(
    registry: ScriptedRegistry,
) -> None:
    wrong = descriptor(DATA + b"x")
    registry.seed_blob("team/app", str(wrong.digest), Bytes(DATA))

    async with repository_of(registry.url) as repository, repository.slots.hold():
        with pytest.raises(VerificationError, match="announces 300000 bytes where 300001 are due"):
            async with repository.blob(wrong):
                pytest.fail("the blob was opened")


LIES = {
    "a bit": faults.flip_bit(at=150_000),
    "a bit at the end": faults.flip_bit(at=299_999),
    "too short, in chunks": faults.chain(faults.chunked(), faults.answer(200, DATA[:-1])),
    "too long, in chunks": faults.chain(faults.chunked(), faults.answer(200, DATA + b"x")),
    "nothing, in chunks": faults.chain(faults.chunked(), faults.answer(200, b"")),
    "a page": faults.chain(faults.chunked(), faults.html()),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_bytes_that_are_not_those_of_the_digest_are_found_out(
    registry: ScriptedRegistry, lie: Action
) -> None:
    registry.on("GET", GET, respond=lie)

    async with repository_of(registry.url) as repository:
        with pytest.raises(VerificationError):
            await verified(repository, BLOB)


@pytest.mark.parametrize("excess", [0, 10_000_000], ids=["an endless one", "a long one"])
async def test_a_stream_beyond_its_size_is_left_at_once(registry: ScriptedRegistry, excess: int) -> None:
    endless = GeneratedBlob(len(DATA) + (excess or 1 << 40), 3)
    registry.seed_blob("team/app", str(BLOB.digest), endless)
    registry.on("GET", GET, respond=faults.chunked())

    async with repository_of(registry.url) as repository:
        with pytest.raises(VerificationError, match="longer than the 300000 bytes"):
            await verified(repository, BLOB)

    assert sum(request.sent for request in registry.requests) < 6_000_000


BROKEN = {
    "cut": faults.cut(after=1000),
    "cut at the last byte": faults.cut(after=299_999),
    "reset": faults.cut(after=1000, reset=True),
    "no answer": faults.reset(),
    "length too high": faults.claim_length(1),
    "stall": faults.stall(30),
    "stall after the head": faults.stall(30, after=0),
    "stall in the middle": faults.stall(30, after=1000),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_read_that_breaks_or_stands_still_ends_in_time_with_an_error_worth_another_try(
    registry: ScriptedRegistry, fault: Action
) -> None:
    registry.on("GET", GET, respond=fault)

    async with repository_of(registry.url, idle=0.15, within=3) as repository:
        with pytest.raises((NetworkError, VerificationError)) as caught:
            await read(repository, BLOB)

    assert caught.value.retryable
    assert registry.count("GET", GET) <= 2


async def test_a_blob_that_is_not_there_is_told_with_the_registry_s_words(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url) as repository:
        with pytest.raises(NotFoundError, match="BLOB_UNKNOWN") as caught:
            await read(repository, descriptor(b"absent"))
        assert not await repository.has_blob(descriptor(b"absent"))

    assert not caught.value.retryable


@pytest.mark.parametrize("status", [403, 503, 429])
async def test_the_status_stands_where_the_body_of_an_error_breaks_off(
    registry: ScriptedRegistry, status: int
) -> None:
    broken = faults.chain(faults.cut(after=10), faults.error(status, "DENIED", "a long story " * 50))
    registry.on("GET", GET, respond=broken)

    async with repository_of(registry.url) as repository:
        with pytest.raises(OcyncError, match=str(status)) as caught:
            await read(repository, BLOB)

    assert not isinstance(caught.value, NetworkError)


async def test_an_endless_error_is_not_read_to_its_end(registry: ScriptedRegistry) -> None:
    registry.on("GET", GET, respond=faults.chain(faults.chunked(), faults.answer(403, b"no " * 20_000_000)))

    async with repository_of(registry.url) as repository:
        with pytest.raises(AuthError, match="no no no"):
            await read(repository, BLOB)

    assert sum(request.sent for request in registry.requests) < 10_000_000


async def test_who_stops_in_the_middle_leaves_no_open_stream(registry: ScriptedRegistry) -> None:
    registry.seed_blob("team/app", str(BLOB.digest), GeneratedBlob(1 << 30, 1))
    large = descriptor(DATA)
    registry.on("GET", GET, respond=faults.chunked())

    async with repository_of(registry.url) as repository:
        for _ in range(3):
            async with repository.slots.hold(), repository.blob(large) as pieces:
                async for _piece in pieces:
                    break
        assert repository.slots.statistics.held == 0

    assert sum(request.sent for request in registry.requests) < 30_000_000


HEADS = {
    "there": (faults.headers({}), True),
    "no length": (faults.without_length(), True),
    "length of an encoding": (faults.headers({"Content-Length": "5", "Content-Encoding": "gzip"}), True),
    "another length": (faults.headers({"Content-Length": "5"}), False),
    "no HEAD here": (faults.answer(405), None),
    "not implemented": (faults.answer(501), None),
    "bad request": (faults.answer(400), None),
    "not allowed": (faults.answer(403), None),
    "no credentials": (faults.answer(401), None),
    "a page of a gateway": (faults.html(403), None),
    "gone": (faults.answer(404), False),
}


@pytest.mark.parametrize(("fault", "there"), HEADS.values(), ids=HEADS)
async def test_a_blob_is_there_only_where_the_registry_says_so(
    registry: ScriptedRegistry, fault: Action, *, there: bool | None
) -> None:
    registry.on("HEAD", GET, respond=fault)

    async with repository_of(registry.url) as repository:
        assert await repository.has_blob(BLOB) is there

    assert asked(registry) <= 5


async def test_a_login_page_in_place_of_a_blob_is_an_error(registry: ScriptedRegistry) -> None:
    registry.on("HEAD", GET, respond=faults.html())

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError):
            await repository.has_blob(BLOB)


async def verified(repository: object, blob: Descriptor) -> None:
    """Read a blob as the relay does: what is wrong is found out at the latest at its end."""
    verifier = Verifier(blob.digest, blob.size, what="the blob")
    async with repository.slots.hold(), repository.blob(blob) as pieces:  # type: ignore[attr-defined]
        async for piece in pieces:
            verifier.update(piece)
    verifier.finish()
