"""What is attached to images, between registries over real sockets: found, brought, counted, never lost."""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from clients import Side
from ocync.config.model import ArtifactRules, RegistryConfig, TagRules
from ocync.lib.errors import ErrorKind
from ocync.oci.platform import Platform
from ocync.plan import attachments
from ocync.plan.model import Reason
from ocync.transfer.result import ArtifactCounts, Status
from scripted import ScriptedRegistry, build, faults, media
from scripted.behaviour import Immutable
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocync.config.model import MappingConfig
    from ocync.transfer.result import ImageResult

APP = "team/app"
SIGNATURE, SBOM, BUNDLE = "application/x.signature", "application/spdx+json", "application/x.bundle"
REFERRERS, MANIFEST, BLOB = r"/referrers/", r"/manifests/", r"/blobs/sha"


class World(NamedTuple):
    side: Side
    source: ScriptedRegistry
    target: ScriptedRegistry

    async def sync(self, **changes: Any) -> ImageResult:
        """Make one pass over the repository, and return the result of its tag `1`."""
        for registry in (self.source, self.target):
            registry.requests.clear()
        results = await self.side.sync(replace(self.mapping(), **changes))
        assert not self.target.incomplete_tags()
        assert not self.target.violations
        return results[f"{self.target.host}/{APP}:1"]

    def mapping(self) -> MappingConfig:
        return self.side.mapping(self.source.url, self.target.url, repository=APP, tags=TagRules(glob=("1*",)))

    def has(self, *artifacts: build.Image) -> bool:
        """Tell whether the target holds artifacts, whole."""
        held = self.target.repository(APP).manifests
        blobs = self.target.repository(APP).blobs
        return all(one.digest in held and set(one.blobs) <= set(blobs) for one in artifacts)

    def listed(self, subject: build.Image) -> dict[str, dict[str, Any]]:
        """Return the entries under the target's fallback tag of a subject."""
        raw = self.target.manifest(APP, build.fallback_tag(subject.digest)).raw
        entries = json.loads(raw)["manifests"]
        assert len({entry["digest"] for entry in entries}) == len(entries)
        return {entry["digest"]: entry for entry in entries}


@pytest.fixture(params=["api", "none"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Two registries with the referrers API, or (`none`) a target without it."""
    async with worlds(target={"referrers": request.param == "api"}) as made:
        yield made


def worlds(source: dict[str, Any] | None = None, target: dict[str, Any] | None = None) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def make() -> AsyncIterator[World]:
        async with AsyncExitStack() as stack:
            there = await stack.enter_async_context(ScriptedRegistry(**(source or {})))
            here = await stack.enter_async_context(ScriptedRegistry(**(target or {})))
            yield World(await stack.enter_async_context(Side()), there, here)

    return make()


class Signed(NamedTuple):
    """An index with two images, and what is attached to all of them."""

    index: build.Image
    signature: build.Image
    sbom: build.Image
    signature_of_sbom: build.Image
    of_child: build.Image

    @property
    def artifacts(self) -> tuple[build.Image, ...]:
        return (self.signature, self.sbom, self.signature_of_sbom, self.of_child)


def signed(seed: int = 0) -> Signed:
    children = [build.image(platform=f"linux/p{number}", label=f"{seed}") for number in range(2)]
    index = build.index(children)
    sbom = build.artifact(SBOM, [b'{"spdx": %d}' % seed], subject=index, annotations={"made": "by a test"})
    return Signed(
        index=index,
        signature=build.artifact(SIGNATURE, [b"signature %d" % seed], subject=index),
        sbom=sbom,
        signature_of_sbom=build.artifact(SIGNATURE, [b"of the SBOM %d" % seed], subject=sbom),
        of_child=build.artifact(BUNDLE, [b"bundle %d" % seed], subject=children[1]),
    )


def seed(registry: ScriptedRegistry, image: Signed, tag: str = "1") -> None:
    registry.seed(APP, tag, image.index)
    for artifact in image.artifacts:
        registry.seed(APP, None, artifact)


def seed_list(registry: ScriptedRegistry, subject: build.Image, *artifacts: build.Image) -> StoredManifest:
    """Put a list of referrers under the fallback tag, as clients do at a registry without the API."""
    entries = [
        {**artifact.descriptor, "artifactType": artifact.root.body.get("artifactType", "")}
        for artifact in artifacts
    ]
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries}
    root = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
    registry.seed(APP, build.fallback_tag(subject.digest), build.Image(manifests=(root,), blobs={}))
    return root


async def test_all_that_is_attached_arrives_is_counted_and_is_then_left_alone(world: World) -> None:
    image = signed()
    seed(world.source, image)

    first = await world.sync()
    second = await world.sync()

    assert (first.status, first.reason) == (Status.SYNCED, Reason.NEW)
    assert first.artifacts == ArtifactCounts(source=4, target=4, transferred=4)
    assert world.has(*image.artifacts)
    assert (second.status, second.reason) == (Status.SKIPPED, Reason.UP_TO_DATE)
    assert second.artifacts == ArtifactCounts(source=4, target=4)
    assert world.target.count("PUT|POST|PATCH") == world.source.count("GET", MANIFEST) == 0


async def test_a_target_without_the_api_gets_lists_that_describe_their_entries() -> None:
    async with worlds(target={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)

        await world.sync()

        of_index = world.listed(image.index)
        assert set(of_index) == {image.signature.digest, image.sbom.digest}
        assert of_index[image.sbom.digest] == {
            **image.sbom.descriptor,
            "artifactType": SBOM,
            "annotations": {"made": "by a test"},
        }
        assert set(world.listed(image.sbom)) == {image.signature_of_sbom.digest}


async def test_a_target_with_the_api_gets_no_lists() -> None:
    async with worlds(source={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)
        seed_list(world.source, image.index, image.signature, image.sbom)

        result = await world.sync()

        assert result.artifacts == ArtifactCounts(source=2, target=2, transferred=2)
        assert set(world.target.repository(APP).tags) == {"1"}


async def test_between_registries_without_the_api_the_list_is_the_same_on_both_sides() -> None:
    none = {"referrers": False}
    async with worlds(source=none, target={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)
        root = seed_list(world.source, image.index, image.signature, image.sbom)

        first = await world.sync()
        second = await world.sync()

        assert world.target.resolve(APP, build.fallback_tag(image.index.digest)) == root.digest
        assert (first.artifacts and first.artifacts.transferred, second.status) == (2, Status.SKIPPED)


async def test_a_list_that_tells_wrong_sizes_and_types_is_put_right_at_the_target() -> None:
    image = build.image()
    artifact = build.artifact(SBOM, [b"sbom"], subject=image)
    entry = {**artifact.descriptor, "size": artifact.descriptor["size"] + 5, "artifactType": SIGNATURE}
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [entry]}
    index = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
    async with worlds(source={"referrers": False}, target={"referrers": False}) as world:
        world.source.seed(APP, "1", image)
        world.source.seed(APP, None, artifact)
        world.source.seed(APP, build.fallback_tag(image.digest), build.Image(manifests=(index,), blobs={}))

        result = await world.sync()

        assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
        assert world.listed(image) == {artifact.digest: {**artifact.descriptor, "artifactType": SBOM}}


async def test_signatures_that_come_later_arrive_with_the_next_pass(world: World) -> None:
    image = signed()
    world.source.seed(APP, "1", image.index)
    world.source.seed(APP, None, image.sbom)
    await world.sync()
    for late in (image.signature, image.signature_of_sbom, image.of_child):
        world.source.seed(APP, None, late)

    result = await world.sync()

    assert (result.status, result.reason) == (Status.SYNCED, Reason.ARTIFACTS)
    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=3)
    assert result.digest == result.previous_digest == image.index.digest
    assert world.has(*image.artifacts)
    # What was there is not fetched again.
    assert world.source.count("GET", MANIFEST) == 3


async def test_what_others_have_listed_at_the_target_stays() -> None:
    async with worlds(target={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)
        foreign = build.artifact("application/x.foreign", [b"of somebody else"], subject=image.index)
        world.target.seed(APP, "1", image.index)
        world.target.seed(APP, None, foreign)
        seed_list(world.target, image.index, foreign)

        await world.sync()

        assert set(world.listed(image.index)) == {foreign.digest, image.signature.digest, image.sbom.digest}


async def test_a_list_that_somebody_else_writes_meanwhile_ends_up_with_everything() -> None:
    async with worlds(target={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)
        foreign = build.artifact("application/x.foreign", [b"of somebody else"], subject=image.index)
        world.target.seed(APP, "1", image.index)
        world.target.seed(APP, None, foreign)
        # Whoever it is has read no list, and writes after us, twice.
        world.target.on(
            "PUT",
            rf"/manifests/{build.fallback_tag(image.index.digest)}",
            respond=faults.afterwards(lambda: seed_list(world.target, image.index, foreign)),
            times=2,
        )

        result = await world.sync()

        assert set(world.listed(image.index)) == {foreign.digest, image.signature.digest, image.sbom.digest}
        assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)


@pytest.mark.parametrize("there", ["nothing", "the image", "a list"])
async def test_what_others_list_while_artifacts_are_on_their_way_stays(there: str) -> None:
    async with worlds(target={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)
        earlier, foreign = (
            build.artifact("application/x.foreign", [text], subject=image.index) for text in (b"earlier", b"now")
        )
        listed = [earlier] if there == "a list" else []
        if there != "nothing":
            world.target.seed(APP, "1", image.index)
        for artifact in listed:
            world.target.seed(APP, None, artifact)
            seed_list(world.target, image.index, artifact)

        def attach() -> None:
            world.target.seed(APP, None, foreign)
            seed_list(world.target, image.index, *listed, foreign)

        world.target.on("PUT", rf"/manifests/{image.signature.digest}", respond=faults.afterwards(attach))

        await world.sync()

        ours = {image.signature.digest, image.sbom.digest}
        assert set(world.listed(image.index)) == {artifact.digest for artifact in (*listed, foreign)} | ours


IMAGES = pytest.mark.parametrize("image", [build.image(), build.multi_arch()], ids=["image", "index"])


@IMAGES
async def test_an_image_under_the_name_of_its_own_list_is_no_list_at_the_source(image: build.Image) -> None:
    # So `cosign copy` leaves it, for each manifest of an image.
    async with worlds(source={"referrers": False}) as world:
        for tag in ("1", build.fallback_tag(image.digest)):
            world.source.seed(APP, tag, image)

        result = await world.sync()
        required = await world.sync(artifacts=ArtifactRules(require_artifacts=True))

        assert result.artifacts == ArtifactCounts()
        assert set(world.target.repository(APP).tags) == {"1"}
        assert required.error is not None
        assert required.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS


@IMAGES
async def test_an_image_under_the_name_of_its_own_list_makes_room_for_that_at_the_target(
    image: build.Image,
) -> None:
    async with worlds(target={"referrers": False}) as world:
        signature = build.artifact(SIGNATURE, [b"signature"], subject=image)
        for artifact in (image, signature):
            world.source.seed(APP, "1" if artifact is image else None, artifact)
        for tag in ("1", build.fallback_tag(image.digest)):
            world.target.seed(APP, tag, image)

        first, second = [await world.sync() for _ in range(2)]

        assert first.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
        assert second.artifacts == ArtifactCounts(source=1, target=1)
        assert set(world.listed(image)) == {signature.digest}


async def test_a_list_that_names_what_the_target_has_lost_is_written_without_that() -> None:
    async with worlds(target={"referrers": False}) as world:
        image = signed()
        seed(world.source, image)
        lost = build.artifact("application/x.lost", [b"lost"], subject=image.index)
        world.target.seed(APP, "1", image.index)
        world.target.seed(APP, None, lost)
        seed_list(world.target, image.index, lost)
        del world.target.repository(APP).manifests[lost.digest]

        result = await world.sync()

        assert result.status is Status.SYNCED
        assert set(world.listed(image.index)) == {image.signature.digest, image.sbom.digest}


@pytest.mark.parametrize("link", ["path", "relative", "several"])
async def test_lists_of_many_pages_are_read_to_their_end(link: str) -> None:
    async with worlds(source={"page_size": 3, "link": link}) as world:
        index = build.multi_arch()
        world.source.seed(APP, "1", index)
        many = [build.artifact(SIGNATURE, [b"%d" % number], subject=index) for number in range(10)]
        for artifact in many:
            world.source.seed(APP, None, artifact)

        result = await world.sync()

        assert result.artifacts == ArtifactCounts(source=10, target=10, transferred=10)
        assert world.has(*many)


async def test_a_list_without_an_end_fails_the_image_and_leaves_its_tag_alone() -> None:
    async with worlds() as world:
        image = signed()
        seed(world.source, image)
        again = faults.headers({"Link": f'</v2/{APP}/referrers/{image.index.digest}?last=x>; rel="next"'})
        world.source.on("GET", REFERRERS, respond=again)

        result = await world.sync()

        assert result.error is not None
        assert result.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
        assert "does not end" in result.error.message
        assert world.target.resolve(APP, "1") is None
        assert world.source.count("GET", REFERRERS) < 100


NO_API = {
    "404 page": faults.answer(404, b"404 page not found\n", headers={"Content-Type": "text/plain"}),
    "400": faults.error(400, "UNSUPPORTED"),
    "405": faults.error(405, "UNSUPPORTED"),
    "406": faults.answer(406, b""),
    "403": faults.error(403, "DENIED"),
    "a web page": faults.html(200),
    "JSON that is no index": faults.answer(200, b'{"errors": []}', headers={"Content-Type": "application/json"}),
}


@pytest.mark.parametrize("action", NO_API.values(), ids=NO_API)
async def test_whatever_says_that_there_is_no_api_the_fallback_tag_is_read(action: Any) -> None:
    async with worlds() as world:
        image = signed()
        seed(world.source, image)
        seed_list(world.source, image.index, image.signature)
        world.source.on("GET", REFERRERS, respond=action)

        result = await world.sync()

        assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
        assert world.has(image.signature)


FAILING = {"500": faults.error(500, "UNKNOWN"), "429": faults.too_many(), "reset": faults.reset()}


@pytest.mark.parametrize("action", FAILING.values(), ids=FAILING)
async def test_an_api_that_fails_fails_the_image_until_it_works_again(action: Any) -> None:
    async with worlds() as world:
        image = signed()
        seed(world.source, image)
        rule = world.source.on("GET", REFERRERS, respond=action)

        failed = await world.sync()
        rule.end()
        result = await world.sync()

        assert failed.error is not None
        assert failed.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
        assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)
        assert result.status is Status.SYNCED


async def test_a_referrer_that_is_listed_and_gone_is_counted_and_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    image = signed()
    seed(world.source, image)
    world.source.on("GET", rf"{MANIFEST}{image.signature.digest}", respond=faults.error(404, "MANIFEST_UNKNOWN"))

    with caplog.at_level(logging.WARNING):
        result = await world.sync()

    assert result.status is Status.SYNCED
    assert result.artifacts == ArtifactCounts(source=3, target=3, transferred=3, gone=1)
    assert any(image.signature.digest in record.getMessage() for record in caplog.records)


async def test_an_artifact_that_can_t_be_read_keeps_the_tag_where_it_was(world: World) -> None:
    old, image = build.image(label="old"), signed()
    world.source.seed(APP, "1", old)
    await world.sync()
    seed(world.source, image)
    lying = next(digest for digest in image.signature.blobs if digest not in image.sbom.blobs)
    rule = world.source.on("GET", rf"/blobs/{lying}", respond=faults.flip_bit())

    failed = await world.sync()
    tag_then = world.target.resolve(APP, "1")
    rule.end()
    result = await world.sync()

    assert failed.error is not None
    assert failed.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
    assert failed.artifacts is not None
    assert failed.artifacts.target < failed.artifacts.source == 4
    assert tag_then == old.digest
    assert (result.status, world.target.resolve(APP, "1")) == (Status.SYNCED, image.index.digest)
    assert world.has(*image.artifacts)


async def test_a_tag_is_set_when_everything_that_is_attached_is_there(world: World) -> None:
    image = signed()
    seed(world.source, image)
    cosign = build.cosign_signature(image.index)
    world.source.seed(APP, build.cosign_tag(image.index.digest), cosign)

    await world.sync()

    puts = [request.path.rpartition("/")[2] for request in world.target.requests.matching("PUT", MANIFEST)]
    assert puts[-1] == "1"
    # And the index is there before what refers to it.
    assert puts.index(image.index.digest) < puts.index(image.signature.digest)
    assert puts.index(image.sbom.digest) < puts.index(image.signature_of_sbom.digest)


async def test_types_can_be_left_out_and_chosen(world: World) -> None:
    image = signed()
    seed(world.source, image)
    world.source.seed(APP, build.cosign_tag(image.index.digest), build.cosign_signature(image.index))

    chosen = await world.sync(artifacts=ArtifactRules(include=(SBOM, "*.signature")))
    held = set(world.target.repository(APP).manifests)
    without = await world.sync(artifacts=ArtifactRules(exclude=("application/x.*", "*cosign*")))

    assert chosen.artifacts == ArtifactCounts(source=3, target=3, transferred=3)
    assert image.of_child.digest not in held
    assert set(world.target.repository(APP).tags) & {build.cosign_tag(image.index.digest)} == set()
    assert without.artifacts == ArtifactCounts(source=1, target=1)


@pytest.mark.parametrize("told", [{}, {"artifactType": media.OCI_EMPTY}], ids=["no type", "that of the config"])
@pytest.mark.parametrize("rules", [ArtifactRules(include=(SBOM,)), ArtifactRules(exclude=(SIGNATURE,))])
async def test_a_type_that_a_list_does_not_tell_is_read_from_the_artifact(
    rules: ArtifactRules, told: dict[str, str]
) -> None:
    image = build.image()
    wanted, other = build.artifact(SBOM, [b"sbom"], subject=image), build.artifact(SIGNATURE, [b"s"], subject=image)
    async with worlds(source={"referrers": False}) as world:
        world.source.seed(APP, "1", image)
        for artifact in (wanted, other):
            world.source.seed(APP, None, artifact)
        entries = [{**artifact.descriptor, **told} for artifact in (wanted, other)]
        body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries}
        index = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
        world.source.seed(APP, build.fallback_tag(image.digest), build.Image(manifests=(index,), blobs={}))

        result = await world.sync(artifacts=rules)

        assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
        assert world.target.repository(APP).find(wanted.digest) is not None
        assert world.target.repository(APP).find(other.digest) is None


async def test_an_image_that_has_nothing_attached_fails_where_that_is_required(world: World) -> None:
    world.source.seed(APP, "1", build.multi_arch())

    result = await world.sync(artifacts=ArtifactRules(require_artifacts=True))

    assert result.error is not None
    assert result.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
    assert "require_artifacts" in result.error.message
    assert world.target.resolve(APP, "1") is None


async def test_nothing_is_asked_where_artifacts_are_switched_off(world: World) -> None:
    image = signed()
    seed(world.source, image)

    result = await world.sync(artifacts=ArtifactRules(enabled=False))

    assert (result.status, result.artifacts) == (Status.SYNCED, None)
    assert world.source.count("*", REFERRERS) == world.target.count("*", REFERRERS) == 0
    assert not world.has(image.signature)


async def test_of_an_index_cut_to_platforms_the_signatures_of_its_images_come_and_the_rest_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    image = signed()
    seed(world.source, image)

    with caplog.at_level(logging.WARNING):
        result = await world.sync(platforms=(Platform("linux", "p1", ""),))

    assert result.status is Status.SYNCED
    assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1, unmatched=3)
    assert world.has(image.of_child)
    assert not world.has(image.signature)
    assert any("are left out (3)" in record.getMessage() for record in caplog.records)


async def test_an_artifact_that_is_an_index_comes_with_its_children_and_what_is_attached_to_those(
    world: World,
) -> None:
    image, part = build.image(), build.artifact(SBOM, [b"part"])
    whole = build.index([part], artifact_type=SBOM, subject=image)
    of_part = build.artifact(SIGNATURE, [b"of a part"], subject=part)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, None, whole)
    world.source.seed(APP, None, of_part)

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=2, target=2, transferred=2)
    assert world.has(whole, part, of_part)


async def test_lists_that_lead_in_a_circle_are_walked_once() -> None:
    async with worlds(source={"referrers": False}, target={"referrers": False}) as world:
        image = build.image()
        one, two = (build.artifact(SIGNATURE, [text], subject=image) for text in (b"one", b"two"))
        world.source.seed(APP, "1", image)
        for artifact in (one, two):
            world.source.seed(APP, None, artifact)
        seed_list(world.source, image, one)
        seed_list(world.source, one, two)
        seed_list(world.source, two, one, image)

        result = await world.sync()

        assert result.status is Status.SYNCED
        assert world.has(one, two)
        assert world.source.count("*") < 40


async def test_cosign_s_tags_follow_the_index_and_its_images_and_those_signed_anew_are_copied_anew(
    world: World,
) -> None:
    image = signed()
    child = image.index.root.body["manifests"][0]["digest"]
    world.source.seed(APP, "1", image.index)
    names = [build.cosign_tag(digest, kind) for digest in (image.index.digest, child) for kind in ("sig", "att")]
    for name in names:
        world.source.seed(APP, name, build.cosign_signature(image.index, text=name))
    world.source.seed(
        APP, build.cosign_tag("sha256:" + "0" * 64), build.cosign_signature(image.index, text="other")
    )

    first = await world.sync()
    world.source.seed(APP, names[0], build.cosign_signature(image.index, text="signed again"))
    second = await world.sync()

    assert first.artifacts == ArtifactCounts(source=4, target=4, transferred=4)
    assert (second.reason, second.artifacts) == (
        Reason.ARTIFACTS,
        ArtifactCounts(source=4, target=4, transferred=1),
    )
    assert {tag: world.target.resolve(APP, tag) for tag in names} == {
        tag: world.source.resolve(APP, tag) for tag in names
    }
    assert set(world.target.repository(APP).tags) == {"1", *names}


def appended(*signatures: build.Image) -> build.Image:
    """Put signatures under one tag, as cosign does."""
    body = dict(signatures[0].root.body)
    body["layers"] = [layer for each in signatures for layer in each.root.body["layers"]]
    root = StoredManifest.of(json.dumps(body).encode(), media.OCI_MANIFEST)
    return build.Image(manifests=(root,), blobs={k: v for each in signatures for k, v in each.blobs.items()})


async def signed_by_tag(world: World, *texts: str, kind: str = "sig") -> tuple[str, list[build.Image]]:
    """Have an image mirrored that has the first of these signatures; return their tag, and all of them."""
    image = build.image()
    name = build.cosign_tag(image.digest, kind)
    signatures = [build.cosign_signature(image, text=text) for text in texts]
    world.source.seed(APP, "1", image)
    world.source.seed(APP, name, signatures[0])
    await world.sync()
    return name, signatures


@pytest.mark.parametrize("kind", ["sig", "att"])
async def test_a_signature_that_the_target_has_appended_to_those_of_the_source_stays(
    world: World, kind: str
) -> None:
    name, (theirs, own) = await signed_by_tag(world, "theirs", "own", kind=kind)
    both = appended(theirs, own)
    world.target.seed(APP, name, both)

    results = [await world.sync() for _ in range(2)]

    assert [(each.status, each.artifacts) for each in results] == [
        (Status.SKIPPED, ArtifactCounts(source=1, target=1))
    ] * 2
    assert world.target.resolve(APP, name) == both.digest


async def test_a_signature_of_the_target_s_own_that_gives_way_to_a_later_one_of_the_source_is_told_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    name, (first, later, own) = await signed_by_tag(world, "first", "later", "own")
    world.target.seed(APP, name, appended(first, own))
    world.source.seed(APP, name, appended(first, later))

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
    assert world.target.resolve(APP, name) == appended(first, later).digest
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"{APP}:{name} is replaced by the newer signatures of" in said
    assert "signatures made only at the target are lost (1)" in said


async def test_a_tag_that_is_signed_anew_is_read_once_at_the_source(world: World) -> None:
    name, (first, later) = await signed_by_tag(world, "first", "later")
    world.source.seed(APP, name, appended(first, later))

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
    assert world.source.count("GET", MANIFEST) == 1


async def test_a_signature_by_tag_of_an_sbom_by_tag_comes_too(world: World) -> None:
    image = build.image()
    sbom = build.artifact(SBOM, [b"by tag"])
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest, "sbom"), sbom)
    world.source.seed(APP, build.cosign_tag(sbom.digest), build.cosign_signature(sbom))

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=2, target=2, transferred=2)
    assert world.target.resolve(APP, build.cosign_tag(sbom.digest)) is not None


async def test_what_refers_to_an_sbom_by_tag_comes_too(world: World) -> None:
    image = build.image()
    sbom = build.artifact(SBOM, [b"by tag"])
    signature = build.artifact(SIGNATURE, [b"of the SBOM"], subject=sbom)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest, "sbom"), sbom)
    world.source.seed(APP, None, signature)

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=2, target=2, transferred=2)
    assert world.target.repository(APP).find(signature.digest) is not None


@pytest.mark.parametrize("kind", ["sig", "att"])
async def test_nobody_is_asked_who_signs_signatures_unless_a_tag_tells(world: World, kind: str) -> None:
    image = build.image()
    signature = build.cosign_signature(image)
    of_signature = build.cosign_signature(signature)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest, kind), signature)

    assert (await world.sync()).artifacts == ArtifactCounts(source=1, target=1, transferred=1)
    assert world.source.count("GET", f"/referrers/{signature.digest}") == 0

    world.source.seed(APP, build.cosign_tag(signature.digest), of_signature)
    assert (await world.sync()).artifacts == ArtifactCounts(source=2, target=2, transferred=1)
    assert world.target.resolve(APP, build.cosign_tag(signature.digest)) is not None


@pytest.mark.parametrize("kind", ["sbom", "att"])
async def test_what_refers_to_an_artifact_that_has_a_tag_too_comes_with_it(world: World, kind: str) -> None:
    image = build.image()
    sbom = build.artifact(SBOM, [b"by tag and by reference"], subject=image)
    signature = build.artifact(SIGNATURE, [b"of the SBOM"], subject=sbom)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest, kind), sbom)
    world.source.seed(APP, None, signature)

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=3, target=3, transferred=3)
    assert world.target.repository(APP).find(signature.digest) is not None


@pytest.mark.parametrize("check", [True, False], ids=["references checked", "not checked"])
async def test_what_a_targets_list_names_and_is_deleted_comes_again(*, check: bool) -> None:
    async with worlds(target={"referrers": False, "check_references": check}) as world:
        image = signed()
        seed(world.source, image)
        world.source.seed(APP, "1", image.index)
        await world.sync()
        there = world.target.repository(APP)
        tag = build.fallback_tag(image.index.digest)
        before = there.tags[tag]
        del there.manifests[image.signature.digest]

        result = await world.sync()

        assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=1)
        assert there.find(image.signature.digest) is not None
        # It names it already.
        assert there.tags[tag] == before
        assert (await world.sync()).artifacts == ArtifactCounts(source=4, target=4)


async def test_nothing_is_looked_for_at_an_artifact_that_has_just_come(world: World) -> None:
    image = signed()
    world.source.seed(APP, "1", image.index)
    world.target.seed(APP, "1", image.index)
    seed(world.source, image)

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)
    assert world.target.count("GET", f"/referrers/{image.sbom.digest}") == 0
    assert world.target.count("GET", build.fallback_tag(image.sbom.digest)) == 0


async def test_tags_of_signatures_are_found_also_for_tags_that_are_named(world: World) -> None:
    image = build.image()
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest), build.cosign_signature(image))

    result = await world.sync(tags=TagRules(glob=("1",)))

    assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
    assert world.source.count("GET", "/tags/list") == 1


async def test_where_nobody_may_list_tags_signatures_are_looked_for_by_name(world: World) -> None:
    image = build.image()
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest), build.cosign_signature(image))
    world.source.on("GET", "/tags/list", respond=faults.error(405, "UNSUPPORTED"))

    result = await world.sync(tags=TagRules(glob=("1",)))

    assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)


async def test_among_too_many_tags_to_list_signatures_of_artifacts_are_looked_for_by_name(world: World) -> None:
    image = build.image()
    sbom = build.artifact(SBOM, [b"by tag"])
    statement = build.artifact(BUNDLE, [b"by reference"], subject=image)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, build.cosign_tag(image.digest, "sbom"), sbom)
    world.source.seed(APP, None, statement)
    for artifact in (sbom, statement):
        world.source.seed(APP, build.cosign_tag(artifact.digest), build.cosign_signature(artifact))
    world.source.behaviour.page_size = 2

    result = await world.sync(tags=TagRules(glob=("1",)))

    assert world.source.count("GET", "/tags/list") == 1
    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)


async def test_what_only_a_fallback_tag_lists_is_found_at_a_target_with_too_many_tags_to_list(world: World) -> None:
    image = build.image()
    world.source.seed(APP, "1", image)
    for tag in ("1", "2", "3"):
        world.target.seed(APP, tag, image)
    world.target.behaviour.page_size = 2
    world.source.seed(APP, None, build.artifact(SIGNATURE, [b"with a subject"], subject=image))
    without = build.artifact(SBOM, [b"without a subject"])
    world.source.seed(APP, None, without)
    seed_list(world.source, image, without)

    first, second = [await world.sync(tags=TagRules(glob=("1",))) for _ in range(2)]

    assert first.artifacts == ArtifactCounts(source=2, target=2, transferred=2)
    assert (second.status, second.artifacts) == (Status.SKIPPED, ArtifactCounts(source=2, target=2))


async def test_images_that_share_manifests_bring_what_is_attached_to_them_once(world: World) -> None:
    image = signed()
    for tag in ("1", "1.0", "1.0.0"):
        seed(world.source, image, tag)

    results = await world.side.sync(world.mapping())

    counts = [result.artifacts for result in results.values() if result.artifacts]
    assert [(each.source, each.target) for each in counts] == [(4, 4)] * 3
    assert sum(each.transferred for each in counts) == 4
    for artifact in image.artifacts:
        assert world.source.count("GET", rf"{MANIFEST}{artifact.digest}") == 1
    assert world.source.count("GET", rf"{REFERRERS}{image.index.digest}") == 1


async def test_two_targets_get_everything_and_the_source_is_read_once() -> None:
    async with AsyncExitStack() as stack:
        source, plain, full = [
            await stack.enter_async_context(ScriptedRegistry(referrers=api)) for api in (True, False, True)
        ]
        side = await stack.enter_async_context(Side())
        image = signed()
        seed(source, image)

        results = await side.sync(side.mapping(source.url, plain.url, full.url, repository=APP))

        assert {result.artifacts for result in results.values()} == {
            ArtifactCounts(source=4, target=4, transferred=4)
        }
        for target in (plain, full):
            assert World(side, source, target).has(*image.artifacts)
        blobs = {blob for artifact in (*image.artifacts, image.index) for blob in artifact.blobs}
        assert source.count("GET", BLOB) == len(blobs)


async def test_an_image_by_digest_brings_what_is_attached_to_it(world: World) -> None:
    image = signed()
    seed(world.source, image)
    candidate = world.side.candidate(
        world.source.url, image.index.digest, world.target.url, artifacts=True, name=APP
    )

    (result,) = (await world.side.sync(candidate)).values()

    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)
    assert world.has(*image.artifacts)


async def test_a_subject_by_sha512_has_its_list_under_the_tag_that_is_cut() -> None:
    async with worlds(target={"referrers": False}) as world:
        image = build.image(algorithm="sha512")
        artifact = build.artifact(SIGNATURE, [b"x"], subject=image, algorithm="sha512")
        world.source.seed(APP, "1", image)
        world.source.seed(APP, None, artifact)

        result = await world.sync()

        assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
        assert set(world.listed(image)) == {artifact.digest}


async def test_a_refusal_by_an_api_that_has_answered_before_is_not_taken_for_none(world: World) -> None:
    first, second = signed(1), signed(2)
    seed(world.source, first)
    await world.sync()
    seed(world.source, second)
    rule = world.source.on("GET", rf"{REFERRERS}{second.index.digest}", respond=faults.error(403, "DENIED"))

    refused = await world.sync()
    tag_then = world.target.resolve(APP, "1")
    rule.end()
    result = await world.sync()

    assert refused.error is not None
    assert refused.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
    assert tag_then == first.index.digest
    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)


async def test_a_refusal_of_a_digest_is_said_of_that_digest_alone(world: World) -> None:
    # As of sha512, by registries that only know sha256.
    odd, image = build.image(label="odd"), signed()
    world.source.seed(APP, "1", odd)
    world.source.on("GET", rf"{REFERRERS}{odd.digest}", respond=faults.error(400, "DIGEST_INVALID"))
    await world.sync()
    seed(world.source, image)

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4)


async def test_a_tag_that_is_listed_and_gone_is_counted_once(world: World) -> None:
    image = signed()
    seed(world.source, image)
    tag = build.cosign_tag(image.index.digest)
    world.source.seed(APP, tag, build.cosign_signature(image.index))
    world.source.on("HEAD", rf"{MANIFEST}{tag}", respond=faults.error(404, "MANIFEST_UNKNOWN"))
    world.source.on("GET", rf"{MANIFEST}{tag}", respond=faults.error(404, "MANIFEST_UNKNOWN"))

    result = await world.sync()

    assert result.artifacts == ArtifactCounts(source=4, target=4, transferred=4, gone=1)


async def test_an_image_whose_only_artifact_is_gone_is_told_of(world: World) -> None:
    image = build.image(label="alone")
    tag = build.cosign_tag(image.digest)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, tag, build.cosign_signature(image))
    world.source.on("HEAD", rf"{MANIFEST}{tag}", respond=faults.error(404, "MANIFEST_UNKNOWN"))
    world.source.on("GET", rf"{MANIFEST}{tag}", respond=faults.error(404, "MANIFEST_UNKNOWN"))

    result = await world.sync()

    assert result.error is None
    assert result.artifacts == ArtifactCounts(gone=1)


async def test_an_image_whose_artifacts_are_all_gone_fails_where_one_is_required(world: World) -> None:
    image = build.image()
    signature = build.artifact(SIGNATURE, [b"gone"], subject=image)
    world.source.seed(APP, "1", image)
    world.source.seed(APP, None, signature)
    world.source.on("GET", rf"{MANIFEST}{signature.digest}", respond=faults.error(404, "MANIFEST_UNKNOWN"))

    result = await world.sync(artifacts=ArtifactRules(require_artifacts=True))

    assert result.error is not None
    assert result.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
    assert "gone at the source" in result.error.message
    assert result.artifacts == ArtifactCounts(gone=1)
    assert world.target.resolve(APP, "1") is None


async def test_a_signature_s_tag_that_must_not_move_says_how_to_let_it(world: World) -> None:
    name, (first, later) = await signed_by_tag(world, "first", "later")
    world.target.behaviour.immutable = Immutable()
    world.source.seed(APP, name, appended(first, later))

    result = await world.sync()

    assert result.error is not None
    assert result.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
    assert "let the target move tags like sha256-*.sig" in (result.error.hint or "")
    assert "artifacts.exclude: ['application/vnd.dev.cosign.simplesigning.v1+json']" in (result.error.hint or "")


async def test_a_target_that_counts_pulls_is_still_compared_when_none_is_left() -> None:
    limit = "You have reached your pull rate limit. https://www.docker.com/increase-rate-limit"
    async with worlds() as world:
        image = signed()
        seed(world.source, image)
        await world.sync()
        world.target.on("GET", MANIFEST, respond=faults.error(429, "TOOMANYREQUESTS", limit))

        result = await world.sync()

        assert result.error is None
        assert result.status is Status.SKIPPED
        assert result.artifacts == ArtifactCounts(source=4, target=4)


async def test_mappings_that_want_different_artifacts_of_one_image_get_what_each_wants(world: World) -> None:
    image = signed()
    seed(world.source, image)
    seed(world.source, image, tag="2")
    few = replace(world.mapping(), name="few", artifacts=ArtifactRules(include=(SBOM,)))
    all_of_it = replace(world.mapping(), name="all", tags=TagRules(glob=("2",)))

    results = await world.side.sync(few, all_of_it)

    counts = {name[-2:]: result.artifacts for name, result in results.items()}
    assert {tag: (each.source, each.target) for tag, each in counts.items() if each} == {":1": (1, 1), ":2": (4, 4)}
    assert world.has(*image.artifacts)


async def test_an_artifact_of_more_parts_than_anybody_signs_is_taken_for_one_without_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "MAX_ARTIFACTS", 50)
    image = build.image()
    parts = [build.artifact(SBOM, [b"%d" % number]) for number in range(200)]
    world.source.seed(APP, "1", image)
    world.source.seed(APP, None, build.index(parts, artifact_type=SBOM, subject=image))

    result = await world.sync()

    assert result.error is not None
    assert "more than 50 artifacts" in result.error.message
    assert world.source.count("GET", REFERRERS) < 50


async def test_a_list_that_names_what_a_folder_has_lost_is_written_without_that(
    world: World, tmp_path: Path
) -> None:
    index = build.image()
    first, second = (build.artifact(SIGNATURE, [text], subject=index) for text in (b"first", b"second"))
    world.source.seed(APP, "1", index)
    world.source.seed(APP, None, first)
    folder = RegistryConfig(name="folder", layout=tmp_path)
    mapping = replace(world.mapping(), targets=((folder, folder.repository(APP)),))
    await world.side.sync(mapping)
    (tmp_path / APP / "blobs" / first.digest.replace(":", "/")).unlink()
    del world.source.repository(APP).manifests[first.digest]
    world.source.seed(APP, None, second)

    (result,) = (await world.side.sync(mapping)).values()

    assert result.error is None
    assert result.artifacts == ArtifactCounts(source=1, target=1, transferred=1)
