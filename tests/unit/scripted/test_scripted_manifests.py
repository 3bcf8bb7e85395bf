"""Manifests at the scripted registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from scripted import Immutable, ScriptedRegistry, build, media
from scripted.content import digest_of

if TYPE_CHECKING:
    import httpx

    from scripted.build import Image

ALL = ", ".join(sorted(media.MANIFESTS))


def url(registry: ScriptedRegistry, reference: str, repository: str = "a/b") -> str:
    return f"{registry.url}/v2/{repository}/manifests/{reference}"


async def put(
    client: httpx.AsyncClient, registry: ScriptedRegistry, reference: str, image: Image
) -> httpx.Response:
    headers = {"Content-Type": image.root.media_type}
    return await client.put(url(registry, reference), content=image.root.raw, headers=headers)


def hold(registry: ScriptedRegistry, image: Image) -> None:
    """Put everything below an image there, but not its root."""
    registry.seed("a/b", None, image)
    del registry.repositories["a/b"].manifests[image.digest]


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
@pytest.mark.parametrize("kind", ["image", "index"])
async def test_a_manifest_comes_by_tag_and_by_digest_as_it_was(
    client: httpx.AsyncClient, kind: str, docker: bool
) -> None:
    image = build.image(docker=docker) if kind == "image" else build.multi_arch(docker=docker)
    async with ScriptedRegistry() as registry:
        registry.seed("a/b", "1.0", image)
        for reference in ("1.0", image.digest):
            answer = await client.get(url(registry, reference), headers={"Accept": ALL})
            assert answer.content == image.root.raw
            head = await client.head(url(registry, reference), headers={"Accept": ALL})
            for headers in (answer.headers, head.headers):
                assert headers["content-type"] == image.root.media_type
                assert headers["docker-content-digest"] == image.digest
                assert headers["content-length"] == str(len(image.root.raw))


async def test_an_accept_that_does_not_name_the_type_finds_nothing(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        registry.seed("a/b", "1.0", build.multi_arch())
        headers = {"Accept": f"{media.OCI_MANIFEST}, {media.DOCKER_LIST}"}
        assert (await client.get(url(registry, "1.0"), headers=headers)).status_code == 404
        registry.behaviour.strict_accept = False
        assert (await client.get(url(registry, "1.0"), headers=headers)).status_code == 200


async def test_a_known_digest_need_not_be_sent_again(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        digest = registry.seed("a/b", "1.0", build.image())
        answer = await client.get(url(registry, "1.0"), headers={"If-None-Match": f'"{digest}"'})
        assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(
    ("repository", "reference", "code"),
    [
        pytest.param("a/b", "2.0", "MANIFEST_UNKNOWN", id="no such tag"),
        pytest.param("a/b", "sha256:" + "0" * 64, "MANIFEST_UNKNOWN", id="no such digest"),
        pytest.param("a/c", "1.0", "NAME_UNKNOWN", id="no such repository"),
        pytest.param("a/b", "-x", "MANIFEST_UNKNOWN", id="not a tag"),
    ],
)
async def test_what_is_not_there_is_404(
    client: httpx.AsyncClient, repository: str, reference: str, code: str
) -> None:
    async with ScriptedRegistry() as registry:
        registry.seed("a/b", "1.0", build.image())
        answer = await client.get(url(registry, reference, repository))
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, code)


async def test_an_image_is_pushed_from_the_leaves_to_the_tag(client: httpx.AsyncClient) -> None:
    image = build.multi_arch(attestations=True)
    async with ScriptedRegistry() as registry:
        hold(registry, image)
        answer = await put(client, registry, "1.0", image)
        assert (answer.status_code, answer.headers["docker-content-digest"]) == (201, image.digest)
        assert answer.headers["location"] == f"/v2/a/b/manifests/{image.digest}"
        assert registry.resolve("a/b", "1.0") == image.digest
        assert registry.manifest("a/b", "1.0").raw == image.root.raw


@pytest.mark.parametrize("gone", ["config", "layer", "child"])
async def test_a_manifest_that_refers_to_what_is_missing_is_refused(client: httpx.AsyncClient, gone: str) -> None:
    image = build.multi_arch() if gone == "child" else build.image()
    async with ScriptedRegistry() as registry:
        hold(registry, image)
        repository = registry.repositories["a/b"]
        if gone == "child":
            del repository.manifests[image.manifests[0].digest]
        else:
            entry = image.root.body["config"] if gone == "config" else image.root.body["layers"][0]
            del repository.blobs[entry["digest"]]
        answer = await put(client, registry, "1.0", image)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
        assert registry.resolve("a/b", "1.0") is None


async def test_foreign_layers_and_subjects_may_be_missing(client: httpx.AsyncClient) -> None:
    image = build.image([build.layer(), build.foreign_layer()], subject=build.image(label="elsewhere"))
    async with ScriptedRegistry() as registry:
        hold(registry, image)
        answer = await put(client, registry, "1.0", image)
        assert answer.status_code == 201
        assert answer.headers["oci-subject"] == image.root.subject


async def test_without_the_referrers_api_subjects_are_not_acknowledged(client: httpx.AsyncClient) -> None:
    image = build.image(subject=build.image(label="elsewhere"))
    async with ScriptedRegistry(referrers=False) as registry:
        hold(registry, image)
        assert "oci-subject" not in (await put(client, registry, "1.0", image)).headers


def _document(**changes: Any) -> bytes:
    return json.dumps({**build.image().root.body, **changes}).encode()


@pytest.mark.parametrize(
    ("raw", "content_type", "reference", "status", "code"),
    [
        pytest.param(b"{", media.OCI_MANIFEST, "x", 400, "MANIFEST_INVALID", id="not JSON"),
        pytest.param(b"[]", media.OCI_MANIFEST, "x", 400, "MANIFEST_INVALID", id="not an object"),
        pytest.param(_document(schemaVersion=1), media.OCI_MANIFEST, "x", 400, "MANIFEST_INVALID", id="schema 1"),
        pytest.param(_document(), media.OCI_INDEX, "x", 400, "MANIFEST_INVALID", id="another Content-Type"),
        pytest.param(_document(), "text/plain", "x", 415, "MANIFEST_INVALID", id="no manifest's Content-Type"),
        pytest.param(
            _document(), media.OCI_MANIFEST + "; charset=utf-8", "x", 415, "MANIFEST_INVALID", id="with parameters"
        ),
        pytest.param(_document(), media.OCI_MANIFEST, "-x", 400, "TAG_INVALID", id="not a tag"),
        pytest.param(_document(), media.OCI_MANIFEST, digest_of(b"x"), 400, "DIGEST_INVALID", id="another digest"),
        pytest.param(
            _document(config={"digest": "sha256:x"}),
            media.OCI_MANIFEST,
            "x",
            400,
            "DIGEST_INVALID",
            id="bad digest",
        ),
        pytest.param(
            _document(layers=[{**build.layer().descriptor, "size": 1}]),
            media.OCI_MANIFEST,
            "x",
            400,
            "MANIFEST_INVALID",
            id="a wrong size",
        ),
        pytest.param(bytes(5_000_000), media.OCI_MANIFEST, "x", 413, "SIZE_INVALID", id="too long"),
    ],
)
async def test_what_is_no_good_manifest_is_refused(
    client: httpx.AsyncClient, raw: bytes, content_type: str, reference: str, status: int, code: str
) -> None:
    async with ScriptedRegistry() as registry:
        hold(registry, build.image())
        answer = await client.put(url(registry, reference), content=raw, headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
        assert not registry.repositories["a/b"].manifests


async def test_a_sha512_digest_is_taken(client: httpx.AsyncClient) -> None:
    image = build.image(algorithm="sha512")
    async with ScriptedRegistry() as registry:
        hold(registry, image)
        assert (await put(client, registry, image.digest, image)).status_code == 201
        assert (await client.get(url(registry, image.digest))).content == image.root.raw


async def test_types_can_be_refused_as_zot_does(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(manifest_types=frozenset({media.OCI_MANIFEST, media.OCI_INDEX})) as registry:
        image = build.image(docker=True)
        hold(registry, image)
        assert (await put(client, registry, "1.0", image)).status_code == 415


@pytest.mark.parametrize(
    ("rule", "same", "other"),
    [
        pytest.param(Immutable(), 201, 400, id="another digest is refused"),
        pytest.param(Immutable(same_digest_too=True), 400, 400, id="ECR refuses the same one, too"),
        pytest.param(Immutable(pattern=r"v\d+", status=412), 201, 201, id="tags that are not covered"),
        pytest.param(Immutable(status=412, code="DENIED", message="immutable"), 201, 412, id="as Harbor"),
    ],
)
async def test_tags_can_be_immutable(client: httpx.AsyncClient, rule: Immutable, same: int, other: int) -> None:
    image, changed = build.image(), build.image(label="changed")
    async with ScriptedRegistry(immutable=rule) as registry:
        registry.seed("a/b", "1.0", image)
        hold(registry, changed)
        assert (await put(client, registry, "1.0", image)).status_code == same
        assert (await put(client, registry, "1.0", changed)).status_code == other


async def test_deleting_by_tag_leaves_the_manifest_and_by_digest_takes_the_tags(
    client: httpx.AsyncClient,
) -> None:
    async with ScriptedRegistry() as registry:
        digest = registry.seed("a/b", "1.0", build.image())
        registry.seed("a/b", "latest", build.image())
        assert (await client.delete(url(registry, "1.0"))).status_code == 202
        assert (await client.get(url(registry, "latest"))).status_code == 200
        assert (await client.delete(url(registry, digest))).status_code == 202
        assert registry.repositories["a/b"].tags == {}
        assert (await client.delete(url(registry, digest))).status_code == 404
        registry.behaviour.delete = False
        assert (await client.delete(url(registry, digest))).status_code == 405


async def test_tags_can_be_given_with_a_push_by_digest(client: httpx.AsyncClient) -> None:
    image = build.image()
    async with ScriptedRegistry() as registry:
        hold(registry, image)
        answer = await put(client, registry, f"{image.digest}?tag=a&tag=b", image)
        assert answer.headers.get_list("oci-tag") == ["a", "b"]
        assert set(registry.repositories["a/b"].tags) == {"a", "b"}


async def test_a_tag_put_on_something_incomplete_fails_the_test(client: httpx.AsyncClient) -> None:
    image = build.multi_arch()
    with pytest.raises(AssertionError, match=r"a/b:1\.0 was put with sha256:\w+ missing"):
        async with ScriptedRegistry(check_references=False) as registry:
            hold(registry, image)
            del registry.repositories["a/b"].blobs[image.manifests[0].blobs[0]["digest"]]
            assert (await put(client, registry, "1.0", image)).status_code == 201
            assert registry.incomplete_tags() == [
                f"a/b:1.0: {image.manifests[0].blobs[0]['digest']}",
            ]
    async with ScriptedRegistry(check_references=False, watch=False) as registry:
        registry.repository("a/b")
        assert (await put(client, registry, "1.0", image)).status_code == 201
        assert len(registry.violations) == 1


async def test_images_can_be_compared_between_registries() -> None:
    async with ScriptedRegistry() as one, ScriptedRegistry() as other:
        one.seed("a/b", "1.0", build.multi_arch())
        other.seed("x/y", "1.0", build.multi_arch())
        other.seed("x/y", "1.1", build.multi_arch(seed=1))
        assert one.content_of("a/b", "1.0") == other.content_of("x/y", "1.0") != {}
        assert one.content_of("a/b", "1.0") != other.content_of("x/y", "1.1")
        assert other.content_of("x/y", "2") == other.content_of("no/where", "1") == {}
