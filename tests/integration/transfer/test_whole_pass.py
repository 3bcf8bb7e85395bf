"""A pass between registries over real sockets: what arrives, and what it costs."""

from __future__ import annotations

import base64
import json
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from clients import Side
from ocync.config.model import ArtifactRules, TagRules
from ocync.lib.errors import ErrorKind
from ocync.lib.remedies import cause_of
from ocync.oci.platform import Platform
from ocync.plan.model import Reason
from ocync.transfer.result import BlobStats, Status
from scripted import Basic, Bearer, BlobStore, Immutable, ScriptedRegistry, User, build, faults, media
from scripted.certificates import make_authority
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROBOT = User(name="robot", password="secret")
ACCOUNT = ("robot", "secret")
MANIFEST, BLOB, UPLOADS, LIST = r"/manifests/", r"/blobs/sha", r"/uploads/", r"/tags/list"
EMPTY = build.empty_layer()
SHARED = build.layer(50_000, 1)


class World(NamedTuple):
    side: Side
    source: ScriptedRegistry
    target: ScriptedRegistry


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A source with tokens that are good for one repository, a target with Basic; both watch what is done there."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry(auth=Bearer(users=(ROBOT,), anonymous=None)))
        target = await stack.enter_async_context(ScriptedRegistry(auth=Basic(users=(ROBOT,))))
        side = await stack.enter_async_context(Side(account=ACCOUNT))
        yield World(side, source, target)


def same(source: ScriptedRegistry, target: ScriptedRegistry, repository: str = "team/app") -> bool:
    """Tell whether the target has all tags of the source, with everything below them."""
    tags = source.repository(repository).tags
    return all(
        target.content_of(repository, tag) == source.content_of(repository, tag) != {} for tag in tags
    ) and not (target.incomplete_tags() or target.violations)


KINDS = {
    "image": build.image(),
    "index": build.multi_arch(),
    "index with attestations": build.multi_arch(attestations=True, seed=1),
    "Docker image": build.image(docker=True),
    "Docker list": build.multi_arch(docker=True, seed=2),
    "OCI index of Docker images": build.index([build.image(docker=True), build.image(platform="linux/arm64")]),
    "index in an index": build.index([build.multi_arch(seed=3), build.index([build.multi_arch(seed=4)])]),
    "one image twice in an index": build.index([build.image(), build.image()]),
    "index of nothing": build.index([]),
    "no layers": build.image([]),
    "empty layers": build.image([EMPTY, SHARED, EMPTY]),
    "one layer again and again": build.image([SHARED] * 5),
    "a layer of no bytes": build.image([build.blob(b"", "application/vnd.oci.image.layer.v1.tar")]),
    "config that is a layer": build.image(
        [build.blob(b"{}", "application/vnd.oci.empty.v1+json")],
        config=build.blob(b"{}", "application/vnd.oci.empty.v1+json"),
    ),
    "foreign layer": build.image([build.foreign_layer(), SHARED]),
    "foreign layer of Docker": build.image([build.foreign_layer(docker=True), SHARED], docker=True),
    "nothing but a foreign layer": build.image([build.foreign_layer()]),
    "artifact": build.artifact("application/spdx+json", [b'{"spdxVersion": "SPDX-2.3"}', b"", b"{}"]),
    "artifact with a subject that is not there": build.artifact("application/x", subject=build.image(label="gone")),
    "chart": build.chart(),
    "signature of cosign": build.cosign_signature(build.image()),
    "no mediaType in the body": build.image(media_type_in_body=False),
    "index without mediaType": build.index([build.image(media_type_in_body=False)], media_type_in_body=False),
    "blobs by sha512": build.image([build.layer(algorithm="sha512")]),
    "children by sha512": build.index([build.image(algorithm="sha512"), build.image(platform="linux/arm64")]),
    "large manifest": build.image(annotations={"note": "x" * 4_000_000}),
    "large layer": build.image([build.big_layer(20_000_000, 9)]),
    "many layers": build.image([build.layer(100, seed) for seed in range(100, 190)]),
    "many children": build.index([build.image([], platform=f"linux/p{number}") for number in range(60)]),
}


def nested(depth: int) -> build.Image:
    image = build.image([])
    for _ in range(depth):
        image = build.index([image])
    return image


def with_a_blob_as_child() -> build.Image:
    """Make an index that lists a blob beside an image: of no type that is a manifest's."""
    image, data = build.image(), build.blob(b"data" * 5000, "application/vnd.example.data.v1")
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [image.entry, data.descriptor]}
    root = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
    return build.Image(manifests=(*image.manifests, root), blobs={**image.blobs, data.digest: data.content})


KINDS["thirty indexes, one in the other"] = nested(30)
KINDS["index with a blob as child"] = with_a_blob_as_child()


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
async def test_every_kind_of_image_arrives_byte_for_byte_and_is_then_left_alone(
    world: World, image: build.Image
) -> None:
    side, source, target = world
    source.seed("team/app", "1", image)

    first = await side.sync(side.mapping(source.url, target.url))
    arrived = same(source, target)
    for registry in (source, target):
        registry.requests.clear()
    second = await side.sync(side.mapping(source.url, target.url))

    assert [(r.status, r.reason, r.digest) for r in first.values()] == [(Status.SYNCED, Reason.NEW, image.digest)]
    assert arrived
    assert [(r.status, r.reason) for r in second.values()] == [(Status.SKIPPED, Reason.UP_TO_DATE)]
    assert source.count("GET", MANIFEST) + source.count("*", BLOB) + target.count("POST|PUT|PATCH") == 0


async def test_an_image_that_is_nested_without_end_is_refused_and_leaves_no_tag(world: World) -> None:
    side, source, target = world
    source.seed("team/app", "1", nested(150))

    results = await side.sync(side.mapping(source.url, target.url))

    assert {r.error.kind for r in results.values() if r.error} == {ErrorKind.PROTOCOL}
    assert target.resolve("team/app", "1") is None


async def test_a_second_pass_asks_two_questions_a_tag_and_one_a_list_and_one_a_manifest(
    world: World,
) -> None:
    side, source, target = world
    names = [f"team/app{number}" for number in range(3)]
    for number, name in enumerate(names):
        for tag in ("1", "2", "latest"):
            source.seed(name, tag, build.multi_arch(seed=number, shared=[SHARED]))
    work = [side.mapping(source.url, target.url, repository=name) for name in names]
    await side.sync(*work)
    assert all(same(source, target, name) for name in names)
    for registry in (source, target):
        registry.requests.clear()

    results = await side.sync(*work)

    assert {r.status for r in results.values()} == {Status.SKIPPED}
    asked = {}
    for registry in (source, target):
        team = registry.requests.matching("*", r"^/v2/team")
        asked[registry.host] = Counter((r.method, r.path.split("/")[4]) for r in team)
    # The three tags of a repository are one index with two images.
    assert asked[source.host] == {("GET", "tags"): 3, ("HEAD", "manifests"): 9, ("GET", "referrers"): 9}
    assert asked[target.host] == {("GET", "tags"): 3, ("GET", "manifests"): 9}
    # Tokens are kept; nothing else was asked.
    assert (len(source.requests), len(target.requests)) == (21, 12)


async def test_a_first_pass_asks_for_nothing_twice(world: World) -> None:
    side, source, target = world
    image = build.multi_arch(shared=[SHARED])
    source.seed("team/app", "1", image)

    await side.sync(side.mapping(source.url, target.url))

    assert source.count("GET", MANIFEST) == 3
    assert source.count("GET", BLOB) == len(image.blobs)
    # The target was empty: nothing is looked for there.
    assert target.count("HEAD") == 0
    assert target.count("POST", UPLOADS) == len(image.blobs)
    assert target.count("PUT", UPLOADS) == 0
    assert target.count("PUT", MANIFEST) == 3


async def test_ten_images_that_share_layers_fetch_each_blob_once(world: World) -> None:
    side, source, target = world
    layers = [build.layer(30_000, seed) for seed in range(4)]
    for number in range(10):
        source.seed(f"team/app{number % 5}", f"v{number}", build.image([*layers, build.layer(500, 50 + number)]))
    unique = {digest for name in source.repositories for digest in source.repository(name).blobs}
    work = [side.mapping(source.url, target.url, repository=f"team/app{number}") for number in range(5)]

    results = await side.sync(*work)

    assert all(same(source, target, f"team/app{number}") for number in range(5))
    fetched = Counter(request.path.rpartition("/")[2] for request in source.requests.matching("GET", BLOB))
    assert fetched == dict.fromkeys(unique, 1)
    # The other repositories of the target get the shared ones by mounts.
    assert target.count("POST", r"\?mount=") == 4 * 4
    assert target.count("POST", r"\?digest=") == len(unique)
    total = BlobStats()
    for result in results.values():
        total += result.blobs
    assert (total.transferred, total.mounted) == (len(unique), 16)


async def test_blobs_are_read_near_by_where_mounts_are_not_granted(world: World) -> None:
    side, source, target = world
    target.behaviour.mount = False
    for number in range(3):
        source.seed(f"team/app{number}", "1", build.image([SHARED], label=str(number)))
    work = [side.mapping(source.url, target.url, repository=f"team/app{number}") for number in range(3)]

    await side.sync(*work)

    assert all(same(source, target, f"team/app{number}") for number in range(3))
    assert source.count("GET", SHARED.digest) == 1
    assert target.count("GET", SHARED.digest) == 2


async def test_several_targets_are_fed_from_one_read(world: World) -> None:
    side, source, target = world
    image = build.multi_arch(shared=[SHARED])
    source.seed("team/app", "1", image)
    async with ScriptedRegistry() as two, ScriptedRegistry() as three:
        results = await side.sync(side.mapping(source.url, target.url, two.url, three.url))

        assert len(results) == 3
        assert {r.status for r in results.values()} == {Status.SYNCED}
        assert all(same(source, registry) for registry in (target, two, three))
        assert source.count("GET", BLOB) == len(image.blobs)
        assert source.count("GET", MANIFEST) == 3


async def test_a_target_that_is_down_fails_alone_and_in_bounded_time(world: World) -> None:
    side, source, target = world
    images = {f"v{number}": build.image([SHARED, build.layer(500, number)]) for number in range(4)}
    for tag, image in images.items():
        source.seed("team/app", tag, image)
    async with ScriptedRegistry() as down:
        pass

    results = await side.sync(side.mapping(source.url, down.url, target.url), within=15)

    assert same(source, target)
    by_place = {
        host: {r.status for r in results.values() if r.target_host == host} for host in (down.host, target.host)
    }
    assert by_place == {down.host: {Status.FAILED}, target.host: {Status.SYNCED}}
    errors = {r.error.kind for r in results.values() if r.error}
    assert errors == {ErrorKind.NETWORK}
    assert source.count("GET", BLOB) == 1 + 2 * len(images)


async def test_a_target_that_dies_in_the_middle_does_not_cost_the_other_its_images(world: World) -> None:
    side, source, target = world
    source.seed("team/app", "1", build.image([build.big_layer(30_000_000, 5), SHARED]))
    dying = ScriptedRegistry(auth=Basic(users=(ROBOT,)))
    await dying.start()
    seen = 0

    def kill(event: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 20:
            dying.on("*", r"", respond=faults.reset())

    results = await side.sync(side.mapping(source.url, dying.url, target.url), sink=kill)
    await dying.stop()

    assert same(source, target)
    assert {r.target_host: r.status for r in results.values()} == {
        dying.host: Status.FAILED,
        target.host: Status.SYNCED,
    }
    assert dying.resolve("team/app", "1") is None


async def test_a_source_that_is_down_fails_its_mapping_and_no_other(world: World) -> None:
    side, source, target = world
    source.seed("team/app", "1", build.image())
    async with ScriptedRegistry() as down:
        pass

    results = await side.sync(
        side.mapping(down.url, target.url, repository="other/app"), side.mapping(source.url, target.url)
    )

    assert same(source, target)
    statuses = {r.mapping: r.status for r in results.values()}
    assert statuses == {"other/app": Status.FAILED, "team/app": Status.SYNCED}


async def test_only_what_moved_is_copied(world: World) -> None:
    side, source, target = world
    for tag in ("1", "2", "3"):
        source.seed("team/app", tag, build.image([SHARED], label=tag))
    await side.sync(side.mapping(source.url, target.url))
    old = source.resolve("team/app", "2")
    moved = build.image([SHARED, build.layer(700, 77)], label="new")
    source.seed("team/app", "2", moved)
    for registry in (source, target):
        registry.requests.clear()

    results = await side.sync(side.mapping(source.url, target.url))

    assert same(source, target)
    result = results[f"{target.host}/team/app:2"]
    assert (result.status, result.reason, result.previous_digest) == (Status.SYNCED, Reason.MOVED, old)
    # What the image before lists is seen anew; what it does not list is sent, since it is small.
    assert result.blobs == BlobStats(transferred=2, skipped=1)
    assert source.count("GET", MANIFEST) == 1
    assert source.count("GET", BLOB) == 2
    assert target.count("HEAD", BLOB) == 1


async def test_an_index_that_moved_leaves_the_children_that_did_not_alone(world: World) -> None:
    side, source, target = world
    one, two, three = (build.image([build.layer(900, seed)], platform=f"linux/p{seed}") for seed in (1, 2, 3))
    source.seed("team/app", "1", build.index([one, two]))
    await side.sync(side.mapping(source.url, target.url))
    source.seed("team/app", "1", build.index([one, three]))
    for registry in (source, target):
        registry.requests.clear()

    await side.sync(side.mapping(source.url, target.url))

    assert same(source, target)
    assert source.count("GET", MANIFEST) == 2
    assert source.count("GET", BLOB) == 2


async def test_literal_tags_need_no_list_at_the_source(world: World) -> None:
    side, source, target = world
    for tag in ("1", "2", "3"):
        source.seed("team/app", tag, build.image(label=tag))

    named = side.mapping(source.url, target.url, tags=TagRules(glob=("1", "3")))

    results = await side.sync(replace(named, artifacts=ArtifactRules(enabled=False)))

    assert {name.rpartition(":")[2] for name in results} == {"1", "3"}
    assert source.count("GET", LIST) == 0


async def test_only_the_wanted_platforms_are_copied_and_the_next_pass_moves_nothing(world: World) -> None:
    side, source, target = world
    source.seed("team/app", "1", build.multi_arch(("linux/amd64", "linux/arm64", "linux/s390x"), attestations=True))
    work = replace(side.mapping(source.url, target.url), platforms=(Platform("linux", "arm64", ""),))

    await side.sync(work)
    kept = target.manifest("team/app", "1").children
    for registry in (source, target):
        registry.requests.clear()
    second = await side.sync(work)

    assert [entry["platform"]["architecture"] for entry in kept] == ["arm64", "unknown"]
    assert not target.incomplete_tags()
    assert len(target.repository("team/app").manifests) == 3
    assert {r.status for r in second.values()} == {Status.SKIPPED}
    assert target.count("PUT|POST") == source.count("GET", BLOB) == 0


async def test_an_image_by_digest_is_copied_without_a_tag(world: World) -> None:
    side, source, target = world
    image = build.multi_arch()
    source.seed("team/app", None, image)
    candidate = side.candidate(source.url, image.digest, target.url)

    results = await side.sync(candidate)

    assert {r.status for r in results.values()} == {Status.SYNCED}
    assert target.content_of("team/app", image.digest) == source.content_of("team/app", image.digest)
    assert target.repository("team/app").tags == {}


async def test_a_front_end_leads_to_a_registry_that_wants_tokens_of_its_own(world: World) -> None:
    side, source, target = world
    image = build.multi_arch(shared=[SHARED])
    source.seed("team/app", "latest", image)
    async with ScriptedRegistry(auth=Bearer(own_port=True)) as behind:
        # As registry.k8s.io does with everything, and lscr.io with ghcr.io.
        behind.seed("region/app", "latest", image)
        onward = faults.redirect(lambda request: behind.url + request.target.replace("/team/", "/region/"))
        source.on("GET|HEAD", r"/(manifests|blobs)/", authorized=True, respond=onward)

        results = await side.sync(side.mapping(source.url, target.url))

        assert {r.status for r in results.values()} == {Status.SYNCED}
        assert same(source, target)
        ours = {request.fingerprint for request in source.requests if request.scheme is not None}
        theirs = {request.fingerprint for request in behind.requests if request.scheme is not None}
        assert theirs
        assert not ours & theirs
        assert all(request.scheme != "Basic" for request in behind.requests)


async def test_tokens_that_end_in_the_middle_of_everything_cost_nothing_but_tokens() -> None:
    async with (
        ScriptedRegistry(auth=Bearer(users=(ROBOT,), lifetime=0.15)) as source,
        ScriptedRegistry(auth=Bearer(users=(ROBOT,), lifetime=0.15, expires_in=None)) as target,
        Side(account=ACCOUNT) as side,
    ):
        source.seed("team/app", "1", build.image([build.layer(2_000_000, seed) for seed in range(12)]))
        # Uploads that last longer than a token does.
        target.on("POST|PUT", UPLOADS, authorized=True, every=3, respond=faults.stall_upload(0.2, after=100_000))

        results = await side.sync(side.mapping(source.url, target.url), within=30)

        assert {r.status for r in results.values()} == {Status.SYNCED}
        assert same(source, target)
        assert target.count("*", r"/token") > 1


async def test_blobs_come_from_a_store_that_the_source_sends_us_to(world: World) -> None:
    side, source, target = world
    source.seed("team/app", "1", build.multi_arch(shared=[SHARED]))
    async with BlobStore(lifetime=5) as store:
        source.on("GET", BLOB, authorized=True, respond=store.redirect())

        await side.sync(side.mapping(source.url, target.url))

        assert same(source, target)
        assert store.count("GET") == source.count("GET", BLOB, status=307)


@pytest.mark.parametrize("location", ["path", "relative", "no-scheme", "other-host"])
@pytest.mark.parametrize("mount", [True, False])
async def test_all_targets_get_all_whatever_their_locations_look_like(
    world: World, location: str, *, mount: bool
) -> None:
    side, source, target = world
    target.behaviour.location, target.behaviour.mount = location, mount
    target.behaviour.location_query, target.behaviour.single_post = "exact", False
    for name in ("team/app", "team/base"):
        source.seed(name, "1", build.multi_arch(shared=[SHARED]))

    await side.sync(
        side.mapping(source.url, target.url), side.mapping(source.url, target.url, repository="team/base")
    )

    assert same(source, target)
    assert same(source, target, "team/base")


async def test_two_repositories_of_one_target_share_one_upload(world: World) -> None:
    side, source, target = world
    image = build.image([SHARED])
    source.seed("team/app", "1", image)
    mapping = side.mapping(source.url, target.url)
    config = mapping.targets[0][0]
    mapping = replace(mapping, targets=tuple((config, config.repository(name)) for name in ("one/app", "two/app")))

    results = await side.sync(mapping)

    assert {r.status for r in results.values()} == {Status.SYNCED}
    for name in ("one/app", "two/app"):
        assert target.content_of(name, "1") == source.content_of("team/app", "1")
    assert target.count("POST", r"\?digest=") == source.count("GET", BLOB) == 2


async def test_a_pass_through_tls_on_both_sides(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    context = authority.server_context()
    async with (
        ScriptedRegistry(auth=Bearer(users=(ROBOT,)), tls=context) as source,
        ScriptedRegistry(auth=Basic(users=(ROBOT,)), tls=context) as target,
        BlobStore(tls=context) as store,
        Side(account=ACCOUNT, ca_file=authority.ca_file, idle=5) as side,
    ):
        source.seed("team/app", "1", build.multi_arch(shared=[build.layer(8_000_000, 3)]))
        source.on("GET", BLOB, authorized=True, respond=store.redirect())

        await side.sync(side.mapping(source.url, target.url))

        assert same(source, target)


async def test_one_slot_is_enough_for_a_whole_pass() -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target, Side(slots=1) as side:
        for number in range(3):
            for tag in ("1", "2"):
                source.seed(f"team/app{number}", tag, build.multi_arch(seed=number, shared=[SHARED]))
        work = [side.mapping(source.url, target.url, repository=f"team/app{number}") for number in range(3)]

        await side.sync(*work)

        assert all(same(source, target, f"team/app{number}") for number in range(3))
        for registry in (source, target):
            assert registry.requests.peak_of("*", r"^/v2/.") == 1


async def test_a_registry_can_be_mirrored_into_itself() -> None:
    async with ScriptedRegistry() as registry, Side() as side:
        registry.seed("team/app", "1", build.multi_arch(shared=[SHARED]))
        mapping = side.mapping(registry.url, registry.url)
        mapping = replace(mapping, targets=((mapping.source, mapping.source.repository("mirror/app")),))

        await side.sync(mapping)

        assert registry.content_of("mirror/app", "1") == registry.content_of("team/app", "1")


async def test_an_image_that_both_sides_name_by_another_algorithm_is_left_alone(world: World) -> None:
    side, source, target = world
    image = build.image(algorithm="sha512")
    source.seed("team/app", "1", image)
    await side.sync(side.mapping(source.url, target.url))

    results = await side.sync(side.mapping(source.url, target.url))

    assert image.digest.startswith("sha512:")
    assert [(r.status, r.reason) for r in results.values()] == [(Status.SKIPPED, Reason.UP_TO_DATE)]
    assert target.count("PUT", MANIFEST) == 1


async def test_data_inside_of_a_descriptor_never_takes_the_place_of_the_blob(world: World) -> None:
    side, source, target = world
    image = build.image([build.layer(5_000, 3)])
    body = json.loads(image.root.raw)
    lie = base64.b64encode(b"not what the digest says").decode()
    for entry in (body["config"], body["layers"][0]):
        entry["data"] = lie
    root = StoredManifest.of(json.dumps(body).encode(), media.OCI_MANIFEST)
    source.seed("team/app", "1", replace(image, manifests=(root,)))

    results = await side.sync(side.mapping(source.url, target.url))

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert same(source, target)
    for digest, content in image.blobs.items():
        assert source.count("GET", digest) == 1
        assert target.repository("team/app").read(digest) == b"".join(map(bytes, content.pieces(0, content.size)))


async def test_a_tag_that_must_not_move_is_a_conflict_that_the_summary_explains(world: World) -> None:
    side, source, target = world
    for tag in ("1", "2"):
        source.seed("team/app", tag, build.image(label=f"new {tag}"))
    target.seed("team/app", "1", build.image(label="old"))
    # Docker Hub does not document its words.
    target.behaviour.immutable = Immutable(status=403, code="DENIED", message="tag {tag} is immutable")

    results = await side.sync(side.mapping(source.url, target.url))

    failed, synced = (results[f"{target.host}/team/app:{tag}"] for tag in ("1", "2"))
    assert synced.status is Status.SYNCED
    assert failed.error is not None
    assert failed.error.kind is ErrorKind.IMMUTABLE_CONFLICT
    assert "immutable" in failed.error.message
    assert "it points to sha256:" in (failed.error.hint or "")
    assert "immutable_tags" in cause_of(failed.error.kind).remedy
    assert target.count("PUT", MANIFEST, status=403) == 1


async def test_a_tag_that_is_listed_and_not_given_fails_alone_with_the_registry_s_words(world: World) -> None:
    side, source, target = world
    for tag in ("latest", "1.2"):
        source.seed("team/app", tag, build.image(label=tag))
    # As cgr.dev does for tags that are not free.
    source.on("GET|HEAD", "/manifests/1.2", authorized=True, respond=faults.error(403, "DENIED", "not entitled"))

    results = await side.sync(side.mapping(source.url, target.url))

    failed, synced = (results[f"{target.host}/team/app:{tag}"] for tag in ("1.2", "latest"))
    assert synced.status is Status.SYNCED
    assert failed.error is not None
    assert "403 DENIED: not entitled" in failed.error.message


@pytest.mark.skips_waits
async def test_a_source_that_answers_slowly_keeps_no_image_of_another_one_waiting() -> None:
    async with (
        ScriptedRegistry() as slow,
        ScriptedRegistry() as quick,
        ScriptedRegistry() as target,
        Side(slots=50, idle=5) as side,
    ):
        for number in range(30):
            slow.seed(f"slow/app{number}", "1", build.image(label=f"slow {number}"))
        for number in range(10):
            quick.seed(f"quick/app{number}", "1", build.image(label=f"quick {number}"))
        slow.on("*", r"/v2/slow", respond=faults.stall(0.5))
        mappings = [side.mapping(slow.url, target.url, repository=f"slow/app{number}") for number in range(30)]
        mappings += [side.mapping(quick.url, target.url, repository=f"quick/app{number}") for number in range(10)]

        results = await side.sync(*mappings, within=50, at_once=8)

        assert {result.status for result in results.values()} == {Status.SYNCED}
        written = [request for request in target.requests if request.matches("PUT", MANIFEST)]
        assert len(written) == 40
        # All of the quick one, before most of the slow one.
        assert sum("slow" in request.path for request in written[:20]) <= 10
