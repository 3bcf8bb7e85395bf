"""Writing manifests (distribution-spec 1.1, "Pushing Manifests")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import asked, manifest_of, repository_of
from ocync.lib.errors import (
    AuthError,
    ErrorKind,
    ImmutableTagError,
    NetworkError,
    NotFoundError,
    OcyncError,
    ProtocolError,
    QuotaError,
    ServerError,
)
from scripted import Immutable, ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scripted.rules import Action

PUT = r"/manifests/"
IMAGE = build.image()
OTHER = build.image(label="other")


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    """A registry that holds the parts of all images of these tests, and none of their tags."""
    async with ScriptedRegistry() as running:
        for image in (IMAGE, OTHER):
            running.repository("team/app").blobs.update(image.blobs)
        yield running


KINDS = {
    "OCI image": build.image(),
    "Docker image": build.image(docker=True),
    "artifact": build.artifact("application/spdx+json"),
    "no mediaType in the body": build.image(media_type_in_body=False),
    "OCI index": build.multi_arch(),
    "Docker list": build.multi_arch(docker=True),
}


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
async def test_a_manifest_is_stored_byte_for_byte_with_its_type(
    registry: ScriptedRegistry, image: build.Image
) -> None:
    registry.seed("team/app", None, image)
    registry.repository("team/app").manifests.pop(image.digest)

    async with repository_of(registry.url) as repository:
        await repository.put_manifest(manifest_of(image))
        await repository.put_manifest(manifest_of(image), tag="1")

    assert registry.manifest("team/app", "1").raw == image.root.raw
    by_digest, by_tag = registry.requests.matching("PUT", PUT)
    assert by_digest.path.endswith(f"/manifests/{image.digest}")
    assert by_tag.path.endswith("/manifests/1")
    assert by_tag.headers["content-type"] == image.root.media_type
    assert by_tag.headers["content-length"] == str(len(image.root.raw))


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_a_manifest_is_stored_under_the_digest_it_is_known_by(
    registry: ScriptedRegistry, algorithm: str
) -> None:
    image = build.image(algorithm=algorithm)
    registry.repository("team/app").blobs.update(image.blobs)

    async with repository_of(registry.url) as repository:
        await repository.put_manifest(manifest_of(image))
        # The registry names a tag's content by sha256; that is no contradiction.
        await repository.put_manifest(manifest_of(image), tag="1")

    assert registry.manifest("team/app", image.digest).raw == image.root.raw


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_all_answers_that_registries_give_to_a_put_are_a_success(
    registry: ScriptedRegistry, status: int
) -> None:
    registry.on("PUT", PUT, respond=faults.answer(status))

    async with repository_of(registry.url) as repository:
        await repository.put_manifest(manifest_of(IMAGE), tag="1")


async def test_a_manifest_that_was_stored_as_another_is_an_error(registry: ScriptedRegistry) -> None:
    registry.on("PUT", PUT, respond=faults.headers({"Docker-Content-Digest": OTHER.digest}))

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="was stored as sha256:") as caught:
            await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert OTHER.digest in str(caught.value)
    assert asked(registry) == 1


REFUSALS = {
    "a web page": (faults.html(200), ProtocolError),
    "a web page that says created": (faults.html(201), ProtocolError),
    "a full disk": (faults.answer(507, "no space left"), QuotaError),
    "400": (faults.error(400, "MANIFEST_INVALID", "invalid JSON syntax"), ProtocolError),
    "413": (faults.error(413, "SIZE_INVALID", "4194304 bytes at most"), ProtocolError),
    "413 before the body": (faults.error(413, "SIZE_INVALID", "too large", read_body=False), ProtocolError),
    "415": (faults.error(415, "MANIFEST_INVALID", "no schema 2 here"), ProtocolError),
    "405": (faults.error(405, "UNSUPPORTED", "read-only"), ProtocolError),
    "404": (faults.error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"), NotFoundError),
    "403": (faults.error(403, "DENIED", "no push for you"), AuthError),
    "quota": (faults.error(403, "DENIED", "Quota has been exceeded on namespace"), QuotaError),
    "412 of Harbor": (
        faults.error(412, "PRECONDITION", "'app:1' configured as immutable, cannot be updated"),
        ImmutableTagError,
    ),
}


@pytest.mark.parametrize(("fault", "kind"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_final_and_has_the_registry_s_words(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]
) -> None:
    registry.on("PUT", PUT, respond=fault)

    async with repository_of(registry.url) as repository:
        with pytest.raises(kind) as caught:
            await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert not caught.value.retryable
    assert registry.count("PUT", PUT) == 1
    assert registry.resolve("team/app", "1") is None


@pytest.mark.parametrize("limit", [2_000_000, None], ids=["413 while it is sent", "refused after it was sent"])
async def test_a_manifest_over_the_target_s_limit_is_refused_in_its_words(
    registry: ScriptedRegistry, limit: int | None
) -> None:
    annotations = {"x": "y" * 5_000_000}
    image = build.image(annotations=annotations)
    registry.repository("team/app").blobs.update(image.blobs)
    if limit is not None:
        registry.on("PUT", PUT, respond=faults.refuse_upload(413, after=limit))

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="413"):
            await repository.put_manifest(manifest_of(image), tag="1")

    assert registry.resolve("team/app", "1") is None


@pytest.mark.parametrize(
    "fault",
    [faults.answer(503), faults.too_many(seconds=1), faults.reset(), faults.lose_answer(), faults.stall(30)],
    ids=["503", "429", "reset", "lost answer", "stall"],
)
async def test_a_put_is_tried_again(registry: ScriptedRegistry, fault: Action) -> None:
    registry.on("PUT", PUT, times=2, respond=fault)

    async with repository_of(registry.url, idle=0.1) as repository:
        await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert registry.resolve("team/app", "1") == IMAGE.digest
    assert registry.count("PUT", PUT) <= 4


@pytest.mark.parametrize(
    ("fault", "kind"), [(faults.answer(500), ServerError), (faults.stall(30), NetworkError)], ids=["500", "stall"]
)
async def test_the_tries_come_to_an_end(registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]) -> None:
    registry.on("PUT", PUT, respond=fault)

    async with repository_of(registry.url, idle=0.1, attempts=3) as repository:
        with pytest.raises(kind):
            await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert registry.count("PUT", PUT) == 3


IMMUTABLE = {
    "ECR": Immutable(),
    "ECR, for the same digest too": Immutable(same_digest_too=True),
    "Harbor": Immutable(status=412, code="PRECONDITION", message="'{tag}' configured as immutable."),
    "409": Immutable(status=409, code="DENIED", message="tag {tag} is immutable", same_digest_too=True),
    "403": Immutable(status=403, code="DENIED", message="tag {tag} is immutable", same_digest_too=True),
    "Artifact Registry": Immutable(code="UNKNOWN", message="The repository has enabled tag immutability"),
    "409, in words that nobody knows": Immutable(status=409, code="X", message="no", same_digest_too=True),
    "412, in words that nobody knows": Immutable(status=412, code="X", message="no", same_digest_too=True),
    "TAG_INVALID, in words that nobody knows": Immutable(message="no", same_digest_too=True),
}


@pytest.mark.parametrize("rule", IMMUTABLE.values(), ids=IMMUTABLE)
async def test_an_immutable_tag_with_another_digest_is_a_conflict(
    registry: ScriptedRegistry, rule: Immutable
) -> None:
    registry.seed("team/app", "1", OTHER)
    registry.behaviour.immutable = rule

    async with repository_of(registry.url) as repository:
        with pytest.raises(ImmutableTagError, match="delete it there, or mirror by digest") as caught:
            await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert f"it points to {OTHER.digest}" in (caught.value.hint or "")
    assert registry.resolve("team/app", "1") == OTHER.digest
    assert asked(registry) == 2


async def test_a_403_without_a_word_of_tags_stays_one_of_credentials_and_tells_of_the_tag(
    registry: ScriptedRegistry,
) -> None:
    registry.seed("team/app", "1", OTHER)
    registry.on("PUT", PUT, respond=faults.error(403, "DENIED", "no"))

    async with repository_of(registry.url) as repository:
        with pytest.raises(AuthError, match="must not be moved") as caught:
            await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert f"it points to {OTHER.digest}" in (caught.value.hint or "")


@pytest.mark.parametrize("status", [400, 403, 409, 412])
async def test_a_refusal_of_a_tag_that_is_not_there_or_can_t_be_looked_up_is_what_it_is(
    registry: ScriptedRegistry, status: int
) -> None:
    registry.on("PUT", PUT, respond=faults.error(status, "TAG_INVALID", "no"))

    async with repository_of(registry.url) as repository:
        with pytest.raises(OcyncError, match=f"{status} TAG_INVALID: no") as missing:
            await repository.put_manifest(manifest_of(IMAGE), tag="1")
        registry.on("GET|HEAD", PUT, respond=faults.error(403, "DENIED", "no look either"))
        with pytest.raises(OcyncError, match=f"{status} TAG_INVALID: no") as unseen:
            await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert ErrorKind.IMMUTABLE_CONFLICT not in (missing.value.kind, unseen.value.kind)


@pytest.mark.parametrize("rule", IMMUTABLE.values(), ids=IMMUTABLE)
async def test_an_immutable_tag_that_is_right_already_is_a_success(
    registry: ScriptedRegistry, rule: Immutable
) -> None:
    registry.behaviour.immutable = rule
    # The first answer is lost after the tag was set; the second try is refused.
    registry.on("PUT", PUT, times=1, respond=faults.stall(30, after=None))
    registry.on("PUT", PUT, times=1, respond=faults.lose_answer())

    async with repository_of(registry.url, idle=0.1) as repository:
        await repository.put_manifest(manifest_of(IMAGE), tag="1")

    assert registry.resolve("team/app", "1") == IMAGE.digest


async def test_a_missing_part_is_named_by_the_registry(registry: ScriptedRegistry) -> None:
    image = build.image([build.layer(seed=5)])

    async with repository_of(registry.url) as repository:
        with pytest.raises(NotFoundError, match=r"MANIFEST_BLOB_UNKNOWN.*sha256:"):
            await repository.put_manifest(manifest_of(image), tag="1")

    assert registry.resolve("team/app", "1") is None


@pytest.mark.parametrize("there", [True, False])
async def test_a_conflict_about_a_manifest_by_its_digest_is_a_success_where_it_is_there(there: bool) -> None:
    image = build.image()
    async with ScriptedRegistry() as registry, repository_of(registry.url) as repository:
        if there:
            registry.seed("team/app", "1", image)
        registry.on("PUT", r"/manifests/", respond=faults.error(409, "CONFLICT", "manifest exists"))
        if there:
            assert await repository.put_manifest(manifest_of(image)) is False
        else:
            with pytest.raises(ProtocolError, match="manifest exists"):
                await repository.put_manifest(manifest_of(image))
