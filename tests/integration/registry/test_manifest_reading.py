"""Looking up and fetching manifests (distribution-spec 1.1, "Pulling manifests")."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from clients import asked, repository_of
from ocync.lib.errors import NetworkError, NotFoundError, OcyncError, ProtocolError, VerificationError
from ocync.oci.manifest import MAX_SIZE
from ocync.registry.call import Call
from scripted import ScriptedRegistry, build, faults, media

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted.rules import Action

MANIFEST = r"/manifests/"
OLD_ARTIFACTS = {media.OCI_ARTIFACT, "application/vnd.cncf.oras.artifact.manifest.v1+json"}


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as running:
        yield running


KINDS = {
    "OCI image": build.image(),
    "OCI index": build.multi_arch(),
    "Docker image": build.image(docker=True),
    "Docker list": build.multi_arch(docker=True),
    "nested index": build.index([build.multi_arch(seed=1), build.image()]),
    "artifact": build.artifact("application/spdx+json"),
    "chart": build.chart(),
    "no mediaType in the body": build.image(media_type_in_body=False),
    "index without mediaType": build.index([build.image()], media_type_in_body=False),
}


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
async def test_a_manifest_comes_byte_for_byte_with_its_type(registry: ScriptedRegistry, image: build.Image) -> None:
    registry.seed("team/app", "1", image)

    async with repository_of(registry.url) as repository:
        head = await repository.head("1")
        found = await repository.manifest("1")
        by_digest = await repository.manifest(image.digest, size=len(image.root.raw))

    assert head is not None
    assert (str(head.digest), head.size, head.media_type) == (
        image.digest,
        len(image.root.raw),
        image.root.media_type,
    )
    assert (found.raw, str(found.digest), found.media_type) == (
        image.root.raw,
        image.digest,
        image.root.media_type,
    )
    assert by_digest == found
    assert asked(registry) == 3


async def test_all_types_are_accepted_in_one_header_line_on_head_too(registry: ScriptedRegistry) -> None:
    registry.seed("team/app", "1", build.image())

    async with repository_of(registry.url) as repository:
        await repository.head("1")
        await repository.manifest("1")

    for request in registry.requests.matching("*", MANIFEST):
        # The record keeps the first line only.
        accepted = {part.strip() for part in request.headers["accept"].split(",")}
        assert accepted == media.MANIFESTS | OLD_ARTIFACTS
        assert request.headers["accept-encoding"] == "identity"


STRANGE_TYPES = (
    media.OCI_MANIFEST + "; charset=utf-8",
    media.OCI_MANIFEST.upper(),
    "text/plain",
    "application/json",
    "application/octet-stream",
    None,
)


@pytest.mark.parametrize(
    ("content_type", "declared"),
    # Where the body has no mediaType, a header that names another one can't be told from the truth.
    [(media.OCI_INDEX, True), *((name, declared) for name in STRANGE_TYPES for declared in (True, False))],
)
async def test_the_body_decides_where_the_content_type_is_strange(
    registry: ScriptedRegistry, content_type: str | None, *, declared: bool
) -> None:
    image = build.image(media_type_in_body=declared)
    registry.seed("team/app", "1", image)
    registry.on("GET", MANIFEST, respond=faults.headers({"Content-Type": content_type}))

    async with repository_of(registry.url) as repository:
        found = await repository.manifest("1")

    assert (found.media_type, found.raw) == (media.OCI_MANIFEST, image.root.raw)
    assert len(found.blobs) == 2


@pytest.mark.parametrize(
    "fault",
    [
        faults.headers({"Docker-Content-Digest": None}),
        faults.headers({"Docker-Content-Digest": "nonsense"}),
        faults.headers({"Docker-Content-Digest": "md5:abc"}),
        faults.answer(405),
        faults.answer(403),
        faults.answer(400),
        faults.answer(501),
    ],
    ids=["no digest", "nonsense", "unknown algorithm", "405", "403", "400", "501"],
)
async def test_where_head_tells_nothing_get_is_asked(registry: ScriptedRegistry, fault: Action) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("HEAD", MANIFEST, respond=fault)

    async with repository_of(registry.url) as repository:
        found = await repository.head("1")
        nothing = await repository.head("2")

    assert found is not None
    assert (str(found.digest), found.size) == (image.digest, len(image.root.raw))
    assert nothing is None
    assert registry.count("GET", MANIFEST) <= 2
    assert asked(registry) <= 4


@pytest.mark.parametrize(
    "changed",
    [{"Content-Length": "17"}, {"Content-Encoding": "gzip", "Content-Length": "80"}],
    ids=["wrong length", "length of a compressed body"],
)
async def test_a_head_is_believed_whatever_length_it_tells(
    registry: ScriptedRegistry, changed: dict[str, str]
) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("HEAD", MANIFEST, respond=faults.headers(changed))

    async with repository_of(registry.url) as repository:
        head = await repository.head("1")
        assert head is not None
        found = await repository.manifest(str(head.digest))

    assert found.raw == image.root.raw
    assert asked(registry) == 2


async def test_what_is_not_there_is_none_at_head_and_an_error_at_get(registry: ScriptedRegistry) -> None:
    registry.seed("team/app", "1", build.image())

    async with repository_of(registry.url) as repository:
        assert await repository.head("2") is None
        assert await repository.head(f"sha256:{'0' * 64}") is None
        with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
            await repository.manifest("2")
    async with repository_of(registry.url, "no/such") as missing:
        assert await missing.head("1") is None
        with pytest.raises(NotFoundError) as caught:
            await missing.manifest("1")

    assert caught.value.code == "NAME_UNKNOWN"
    assert "repository does not exist" in str(caught.value)
    assert asked(registry) == 5


@pytest.mark.parametrize("status", [404, 403, 405])
async def test_the_reason_for_a_refused_head_is_read_by_get(registry: ScriptedRegistry, status: int) -> None:
    registry.seed("team/app", "1", build.image())
    registry.on("HEAD|GET", MANIFEST, respond=faults.error(status, "DENIED", "no entitlement for this tag"))

    async with repository_of(registry.url) as repository:
        if status == 404:
            assert await repository.head("1") is None
        else:
            with pytest.raises(OcyncError, match="no entitlement for this tag"):
                await repository.head("1")


@pytest.mark.parametrize("algorithm", ["sha512", "sha384"])
async def test_a_digest_is_verified_by_its_own_algorithm(registry: ScriptedRegistry, algorithm: str) -> None:
    image = build.image([build.layer(algorithm=algorithm)], algorithm=algorithm)
    registry.seed("team/app", "1", image)

    async with repository_of(registry.url) as repository:
        found = await repository.manifest(image.digest)
        assert found.raw == image.root.raw
        assert found.digest.algorithm == algorithm
        registry.on("GET", MANIFEST, respond=faults.flip_bit(at=5))
        with pytest.raises(VerificationError):
            await repository.manifest(image.digest)


@pytest.mark.parametrize("reference", ["digest", "digest and size"])
async def test_bytes_that_are_not_those_asked_for_are_fetched_again_and_never_used(
    registry: ScriptedRegistry, reference: str
) -> None:
    image, other = build.image(), build.image(label="other")
    registry.seed("team/app", "1", image)
    size = len(image.root.raw) if reference == "digest and size" else None
    swapped = faults.answer(200, other.root.raw, headers={"Content-Type": media.OCI_MANIFEST})
    registry.on("GET", MANIFEST, times=2, respond=swapped)

    async with repository_of(registry.url) as repository:
        found = await repository.manifest(image.digest, size=size)
        registry.on("GET", MANIFEST, respond=swapped)
        before = asked(registry)
        with pytest.raises(VerificationError):
            await repository.manifest(image.digest, size=size)

    assert found.raw == image.root.raw
    assert before == 3
    assert asked(registry) == 3 + 5


async def test_a_child_of_another_size_than_its_descriptor_is_refused(registry: ScriptedRegistry) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)

    async with repository_of(registry.url) as repository:
        with pytest.raises(VerificationError):
            await repository.manifest(image.digest, size=len(image.root.raw) + 1)


async def test_a_digest_header_that_lies_about_a_tag_is_only_a_hint(registry: ScriptedRegistry) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("GET", MANIFEST, respond=faults.headers({"Docker-Content-Digest": f"sha256:{'1' * 64}"}))

    async with repository_of(registry.url) as repository:
        found = await repository.manifest("1")

    assert str(found.digest) == image.digest


@pytest.mark.parametrize("at", [0, 30, 120, 200, -3])
async def test_a_bit_that_is_lost_from_what_a_tag_gives_is_noticed_by_the_digest_that_is_told(
    registry: ScriptedRegistry, at: int
) -> None:
    image = build.image(annotations={"text": "long enough for a bit to be lost in it" * 9})
    registry.seed("team/app", "1", image)
    registry.on("GET", "/manifests/1$", respond=faults.flip_bit(at=at % len(image.root.raw)))

    async with repository_of(registry.url) as repository:
        found = await repository.manifest("1")

    assert (found.raw, str(found.digest)) == (image.root.raw, image.digest)
    assert registry.count("GET", MANIFEST) == 2


async def test_a_body_in_gzip_that_nobody_asked_for_is_unpacked_before_it_is_hashed(
    registry: ScriptedRegistry,
) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("GET", MANIFEST, respond=faults.encode_gzip())

    async with repository_of(registry.url) as repository:
        found = await repository.manifest(image.digest, size=len(image.root.raw))

    assert found.raw == image.root.raw
    assert asked(registry) == 1


async def test_a_manifest_that_is_only_labelled_as_gzip_is_taken_as_it_is(registry: ScriptedRegistry) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("*", MANIFEST, respond=faults.headers({"Content-Encoding": "gzip"}))

    async with repository_of(registry.url) as repository:
        for reference in ("1", image.digest):
            found = await repository.manifest(reference)
            assert (found.raw, str(found.digest)) == (image.root.raw, image.digest)
            head = await repository.head(reference)
            assert head is not None
            assert str(head.digest) == image.digest


async def test_a_manifest_beyond_the_limit_is_refused_before_it_is_read(registry: ScriptedRegistry) -> None:
    huge = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [], "x": "y" * MAX_SIZE})
    registry.seed("team/app", "1", build.image())
    registry.on("GET", MANIFEST, respond=faults.answer(200, huge, headers={"Content-Type": media.OCI_INDEX}))

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="more than 8388608 bytes"):
            await repository.manifest("1")

    assert asked(registry) == 1


async def test_a_bomb_in_gzip_is_refused_at_the_limit(registry: ScriptedRegistry) -> None:
    registry.seed("team/app", "1", build.image())
    bomb = faults.chain(faults.encode_gzip(), faults.answer(200, bytes(64 * 1024 * 1024)))
    registry.on("GET", MANIFEST, respond=bomb)

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="more than 8388608 bytes"):
            await repository.manifest("1")

    assert sum(request.sent for request in registry.requests) < 1024 * 1024


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html><body>Sign in</body></html>", "answered 200 with a web page; a proxy or a login page stands"),
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"schemaVersion": 2, "mediaType": "application/x"}', "unknown media type"),
        (json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), "schema 1"),
        (json.dumps({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST}).encode(), "config"),
    ],
    ids=["HTML", "nothing", "a list", "depth", "unknown type", "schema 1", "no config"],
)
async def test_an_answer_that_is_no_manifest_is_refused_with_a_reason_and_not_asked_again(
    registry: ScriptedRegistry, body: bytes, why: str
) -> None:
    registry.seed("team/app", "1", build.image())
    registry.on("GET", MANIFEST, respond=faults.answer(200, body, headers={"Content-Type": "text/html"}))

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match=why):
            await repository.manifest("1")

    assert asked(registry) == 1


BROKEN = {
    "cut": faults.cut(after=100),
    "reset within the body": faults.cut(after=100, reset=True),
    "length too high": faults.claim_length(5),
    "reset": faults.reset(),
    "closed": faults.close(),
    "503": faults.answer(503),
    "500": faults.error(500, "UNKNOWN", "internal error"),
    "429": faults.too_many(),
    "408": faults.answer(408),
    "stall": faults.stall(30),
    "stall within the body": faults.stall(30, after=50),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_asked_for_again(registry: ScriptedRegistry, fault: Action) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("GET", MANIFEST, times=2, respond=fault)

    async with repository_of(registry.url, idle=0.1) as repository:
        found = await repository.manifest("1")

    assert found.raw == image.root.raw
    assert 3 <= asked(registry) <= 4


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_what_stays_broken_ends_after_the_attempts(registry: ScriptedRegistry, fault: Action) -> None:
    registry.seed("team/app", "1", build.image())
    registry.on("GET", MANIFEST, respond=fault)

    async with repository_of(registry.url, idle=0.1, attempts=3) as repository:
        with pytest.raises(OcyncError) as caught:
            await repository.manifest("1")

    assert caught.value.retryable
    # On a kept connection a reset may mean that it had been closed before: that is tried at once on another one.
    assert 3 <= asked(registry) <= 4


async def test_a_length_that_is_too_low_is_never_taken_for_the_manifest(registry: ScriptedRegistry) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on("GET", MANIFEST, times=1, respond=faults.claim_length(-7))

    async with repository_of(registry.url) as repository:
        found = await repository.manifest(image.digest)

    assert found.raw == image.root.raw


async def test_an_answer_that_drips_is_cut_off_in_the_end(registry: ScriptedRegistry) -> None:
    registry.seed("team/app", "1", build.image())
    registry.on("GET", MANIFEST, respond=faults.drip(pause=0.05))

    async with repository_of(registry.url) as repository:
        client = repository._client
        with pytest.raises(NetworkError, match="the answer did not end within"):
            async with asyncio.timeout(5), repository.slots.hold():
                url = client.url("/v2/team/app/manifests/1")
                await client.once(Call("GET", url, "fetch", frozenset()), seconds=0.3)
