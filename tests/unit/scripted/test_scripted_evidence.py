"""What counts as seen in a pass, and when a pass begins."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from scripted import Checks, ScriptedRegistry, build, faults
from scripted.evidence import PASSES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from scripted.build import Image
    from scripted.rules import Action

OURS = {"User-Agent": "ocync/1.0"}
IMAGE = build.image([build.layer(100), build.foreign_layer()])
CONFIG, LAYER = (entry["digest"] for entry in IMAGE.root.blobs)
INDEX = build.index([build.index([IMAGE])])
UPLOADS = "/v2/a/b/blobs/uploads/"


@asynccontextmanager
async def ocync(registry: ScriptedRegistry, *, ping: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that looks like a pass of ours, which begins with a ping."""
    async with httpx.AsyncClient(base_url=registry.url, headers=OURS) as client:
        if ping:
            await client.get("/v2/")
        yield client


async def put(client: httpx.AsyncClient, image: Image, reference: str = "1") -> int:
    headers = {"Content-Type": image.root.media_type}
    url = f"/v2/a/b/manifests/{reference}"
    return (await client.put(url, content=image.root.raw, headers=headers)).status_code


async def look(client: httpx.AsyncClient, *digests: str, kind: str = "blobs") -> None:
    for digest in digests:
        assert (await client.head(f"/v2/a/b/{kind}/{digest}")).status_code == 200


async def upload(client: httpx.AsyncClient, digest: str) -> None:
    content = IMAGE.blobs[digest]
    session = await client.post(UPLOADS)
    data = b"".join(bytes(piece) for piece in content.pieces(0, content.size))
    location = f"{session.headers['location']}&digest={digest}"
    assert (await client.put(location, content=data)).status_code == 201


async def post(client: httpx.AsyncClient, digest: str) -> None:
    content = IMAGE.blobs[digest]
    data = b"".join(bytes(piece) for piece in content.pieces(0, content.size))
    assert (await client.post(UPLOADS, params={"digest": digest}, content=data)).status_code == 201


async def mount(client: httpx.AsyncClient, digest: str) -> None:
    answer = await client.post(UPLOADS, params={"mount": digest, "from": "other/place"})
    assert answer.status_code == 201


async def read(client: httpx.AsyncClient, digest: str) -> None:
    assert (await client.get(f"/v2/a/b/blobs/{digest}")).status_code == 200


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    """One that holds everything, checks nothing and is not looked at when it is left."""
    async with ScriptedRegistry(check_references=False, watch=False) as registry:
        registry.seed("a/b", None, INDEX)
        registry.seed("other/place", None, INDEX)
        yield registry


@pytest.mark.parametrize("see", [look, read, post, mount, upload])
async def test_parts_that_were_taken_or_shown_are_seen(
    registry: ScriptedRegistry, see: Callable[[httpx.AsyncClient, str], Awaitable[None]]
) -> None:
    async with ocync(registry) as client:
        for digest in (CONFIG, LAYER):
            assert not registry.evidence.has("a/b", digest)
            await see(client, digest)
            assert registry.evidence.has("a/b", digest)
        await put(client, IMAGE)
    assert registry.unseen == []


async def test_each_part_that_was_not_seen_is_told(registry: ScriptedRegistry) -> None:
    async with ocync(registry) as client:
        await look(client, LAYER)
        assert await put(client, IMAGE) == 201
    assert registry.unseen == [f"a/b:1 was put and {CONFIG} not seen in this pass"]


@pytest.mark.parametrize("checks", Checks)
async def test_it_is_told_whatever_the_registry_itself_looks_for(checks: Checks) -> None:
    async with ScriptedRegistry(check_references=checks, watch=False) as registry:
        async with ocync(registry) as client:
            await put(client, IMAGE)
        assert len(registry.unseen) == 1


async def test_leaving_the_registry_fails() -> None:
    with pytest.raises(AssertionError, match="not seen in this pass"):
        async with ScriptedRegistry() as registry:
            registry.seed("a/b", None, IMAGE)
            async with ocync(registry) as client:
                assert await put(client, IMAGE) == 201


async def test_children_are_seen_as_manifests_by_digest_or_by_tag(registry: ScriptedRegistry) -> None:
    middle = INDEX.manifests[1]
    registry.repositories["a/b"].tags["middle"] = middle.digest
    async with ocync(registry) as client:
        await put(client, INDEX)
        await look(client, "middle", kind="manifests")
        await put(client, INDEX, "2")
        assert [told.split()[0] for told in registry.unseen] == ["a/b:1"]
        # One that was put is seen, by its digest or by its tag.
        await put(client, build.Image(manifests=(middle,), blobs={}), middle.digest)
    assert [told.split()[0] for told in registry.unseen] == ["a/b:1", f"a/b:{middle.digest}"]


async def test_what_is_seen_elsewhere_is_not_seen_here(registry: ScriptedRegistry) -> None:
    async with ocync(registry) as client:
        for digest in (CONFIG, LAYER):
            assert (await client.head(f"/v2/other/place/blobs/{digest}")).status_code == 200
        await put(client, IMAGE)
    assert len(registry.unseen) == 1


@pytest.mark.parametrize(
    "fault", [faults.error(404, "BLOB_UNKNOWN"), faults.answer(500), faults.lose_answer(), faults.raw(b"")]
)
async def test_what_was_not_told_is_not_seen(registry: ScriptedRegistry, fault: Action) -> None:
    registry.on("HEAD", "/blobs/", respond=fault)
    async with ocync(registry) as client:
        with suppress(httpx.TransportError):
            await client.head(f"/v2/a/b/blobs/{CONFIG}")
    assert not registry.evidence.has("a/b", CONFIG)


async def test_others_may_put_what_they_like_and_see_nothing_for_us(registry: ScriptedRegistry) -> None:
    async with httpx.AsyncClient(base_url=registry.url, headers={"User-Agent": "skopeo/1.14"}) as other:
        await look(other, CONFIG, LAYER)
        await put(other, IMAGE)
        assert registry.unseen == []
    async with ocync(registry) as client:
        await put(client, IMAGE)
    assert len(registry.unseen) == 1


async def test_a_ping_begins_a_pass_and_ends_what_was_seen(registry: ScriptedRegistry) -> None:
    async with ocync(registry) as client:
        await look(client, CONFIG, LAYER)
    async with ocync(registry) as client:
        await put(client, IMAGE)
    assert len(registry.unseen) == 1


async def test_a_ping_of_a_pass_beside_another_one_leaves_what_that_has_seen(registry: ScriptedRegistry) -> None:
    async with ocync(registry) as first:
        await look(first, CONFIG, LAYER)
        async with ocync(registry) as second:
            await look(second, CONFIG, LAYER)
            await put(first, IMAGE)
            await put(second, IMAGE, "2")
    assert registry.unseen == []


async def test_a_mark_begins_a_pass_whatever_pings_there_are(registry: ScriptedRegistry) -> None:
    async with ocync(registry, ping=False) as client:
        with PASSES.one():
            await look(client, CONFIG, LAYER)
            await client.get("/v2/")
            await put(client, IMAGE)
        assert registry.unseen == []
        with PASSES.one():
            await put(client, IMAGE)
        assert len(registry.unseen) == 1


async def test_marked_passes_that_overlap_share_what_they_have_seen(registry: ScriptedRegistry) -> None:
    async with ocync(registry) as client:
        with PASSES.one():
            await look(client, CONFIG, LAYER)
            with PASSES.one():
                await put(client, IMAGE)
    assert registry.unseen == []


async def test_what_is_done_by_hand_is_not_judged(registry: ScriptedRegistry) -> None:
    with PASSES.by_hand():
        async with ocync(registry) as client:
            await put(client, IMAGE)
            assert registry.unseen == []
            with PASSES.one():
                await put(client, IMAGE)
    assert len(registry.unseen) == 1


async def test_of_a_list_of_referrers_only_what_is_added_has_to_be_seen(registry: ScriptedRegistry) -> None:
    subject = build.image(label="subject")
    old, new = (build.artifact("x/y", [text], subject=subject) for text in (b"old", b"new"))
    tag = build.fallback_tag(subject.digest)
    registry.seed("a/b", tag, build.index([old]))
    registry.seed("a/b", None, new)
    async with ocync(registry) as client:
        await put(client, build.index([old, new]), tag)
        assert registry.unseen == [f"a/b:{tag} was put and {new.digest} not seen in this pass"]
        await look(client, new.digest, kind="manifests")
        registry.seed("a/b", tag, build.index([old]))
        await put(client, build.index([old, new]), tag)
    assert len(registry.unseen) == 1


async def test_a_layer_that_is_foreign_in_one_place_and_ordinary_in_another_has_to_be_seen(
    registry: ScriptedRegistry,
) -> None:
    ordinary, foreign = build.layer(100), build.foreign_layer(100, 0)
    assert ordinary.digest == foreign.digest
    image = build.image([foreign, ordinary])
    registry.seed("a/b", None, image)
    async with ocync(registry) as client:
        await look(client, image.root.blobs[0]["digest"])
        await put(client, image)
    assert registry.unseen == [f"a/b:1 was put and {ordinary.digest} not seen in this pass"]


def of(image: Image, kind: str) -> str:
    """Return the digest of a part."""
    children = {entry["digest"] for entry in image.root.children}
    return {"config": CONFIG, "layers": LAYER, "children": children.pop() if children else ""}[kind]


@pytest.mark.parametrize("gone", ["config", "layers", "children"])
@pytest.mark.parametrize("checks", [*Checks, True, False])
async def test_a_registry_checks_what_it_is_told_to_check(checks: Checks | bool, gone: str) -> None:
    image = INDEX if gone == "children" else IMAGE
    async with ScriptedRegistry(check_references=checks, watch=False) as registry:
        registry.seed("a/b", None, INDEX)
        repository = registry.repositories["a/b"]
        (repository.manifests if gone == "children" else repository.blobs).pop(of(image, gone))
        async with ocync(registry) as client:
            refused = await put(client, image) == 404
        assert refused == (checks in (True, Checks.ALL, Checks(gone)))
        # What was taken is incomplete, whatever the registry looks for.
        assert len(registry.violations) == (not refused)


@pytest.mark.parametrize("checks", Checks)
async def test_what_was_lost_deep_below_before_is_found_when_a_tag_is_put(checks: Checks) -> None:
    async with ScriptedRegistry(check_references=checks, watch=False) as registry:
        registry.seed("a/b", None, INDEX)
        del registry.repositories["a/b"].blobs[LAYER]
        async with ocync(registry) as client:
            await look(client, INDEX.manifests[1].digest, kind="manifests")
            assert await put(client, INDEX) == 201
        assert registry.violations == [f"a/b:1 was put with {LAYER} missing"]
        assert registry.unseen == []


async def test_a_manifest_that_is_there_as_a_blob_is_missing_all_the_same() -> None:
    async with ScriptedRegistry(watch=False) as registry:
        registry.seed("a/b", None, INDEX)
        repository, middle = registry.repositories["a/b"], INDEX.manifests[1]
        repository.manifests.pop(middle.digest)
        repository.blobs[middle.digest] = build.blob(middle.raw).content
        async with ocync(registry) as client:
            assert await put(client, INDEX) == 404


def test_the_kinds_of_checks_can_be_given_as_json() -> None:
    assert [Checks(json.loads(text)) for text in ('"config"', "true", "false")] == [
        Checks.CONFIG,
        Checks.ALL,
        Checks.NOTHING,
    ]
