"""A pass between registries that fail: in the end all is equal, and a tag was never incomplete on the way."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.lib.errors import ErrorKind
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.transfer.result import ImageResult
    from scripted.rules import Action

pytestmark = pytest.mark.skips_waits

MANIFEST, BLOB, UPLOADS, LIST = r"/manifests/", r"/blobs/sha", r"/uploads/", r"/tags/list"
SINGLE = r"/uploads/\?digest="
SHARED = build.layer(200_000, 1)
NAMES = ("team/app", "team/db")


@pytest.fixture
async def source() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        for number, name in enumerate(NAMES):
            registry.seed(name, "latest", build.multi_arch(seed=number, shared=[SHARED], size=60_000))
            registry.seed(name, "1", build.image([SHARED, build.layer(90_000, number + 20)]))
        yield registry


@pytest.fixture
async def target() -> AsyncIterator[ScriptedRegistry]:
    """Leaving it fails the test where a tag was ever put with something missing below it."""
    async with ScriptedRegistry() as registry:
        yield registry


def takes_single_post(method: str, pattern: str) -> bool:
    """Tell whether a target has to take one POST for a blob, so that requests of this kind come at all."""
    return (method, pattern) != ("PUT", UPLOADS)


async def sync(side: Side, source: ScriptedRegistry, *targets: ScriptedRegistry) -> dict[str, ImageResult]:
    urls = [target.url for target in targets]
    return await side.sync(*(side.mapping(source.url, *urls, repository=name) for name in NAMES), within=40)


def equal(source: ScriptedRegistry, target: ScriptedRegistry) -> bool:
    return not target.incomplete_tags() and all(
        target.content_of(name, tag) == source.content_of(name, tag) != {}
        for name in NAMES
        for tag in source.repository(name).tags
    )


AT_SOURCE: dict[str, tuple[str, str, Action]] = {
    "tags 503": ("GET", LIST, faults.answer(503)),
    "tags cut": ("GET", LIST, faults.cut(after=5)),
    "tags 429": ("GET", LIST, faults.too_many(seconds=3)),
    "manifests 500": ("GET|HEAD", MANIFEST, faults.error(500, "UNKNOWN")),
    "manifests reset": ("GET|HEAD", MANIFEST, faults.reset()),
    "manifests flipped": ("GET", r"/manifests/sha256", faults.flip_bit(at=40)),
    "manifests cut": ("GET", MANIFEST, faults.cut(after=30)),
    "manifests stall": ("GET", MANIFEST, faults.stall(30, after=30)),
    "blobs 503": ("GET", BLOB, faults.answer(503)),
    "blobs cut": ("GET", BLOB, faults.cut(after=50_000)),
    "blobs reset": ("GET", BLOB, faults.cut(after=50_000, reset=True)),
    "blobs flipped": ("GET", BLOB, faults.flip_bit(at=100)),
    "blobs stall": ("GET", BLOB, faults.stall(30, after=1000)),
    "blobs announced longer": ("GET", BLOB, faults.claim_length(9)),
    "blobs in gzip": ("GET", BLOB, faults.encode_gzip()),
    "blobs hang up": ("GET", BLOB, faults.hang_up()),
    "everything 429": ("*", r"/v2/team", faults.too_many(seconds=1)),
}
AT_TARGET: dict[str, tuple[str, str, Action]] = {
    "tags 503": ("GET", LIST, faults.answer(503)),
    "looks 503": ("HEAD", r"", faults.answer(503)),
    "POST 503": ("POST", UPLOADS, faults.answer(503)),
    "POST lost": ("POST", UPLOADS, faults.lose_answer()),
    "mount 500": ("POST", r"mount=", faults.answer(500)),
    "mount lost": ("POST", r"mount=", faults.lose_answer()),
    "PUT 503": ("PUT", UPLOADS, faults.answer(503)),
    "PUT lost": ("PUT", UPLOADS, faults.lose_answer()),
    "PUT reset": ("PUT", UPLOADS, faults.reset_upload(after=30_000)),
    "PUT stall": ("PUT", UPLOADS, faults.stall_upload(30, after=30_000)),
    "PUT forgets the session": ("PUT", UPLOADS, faults.error(404, "BLOB_UPLOAD_UNKNOWN")),
    "PUT loses bytes": ("PUT", UPLOADS, faults.error(400, "DIGEST_INVALID")),
    "PUT hangs up": ("PUT", UPLOADS, faults.hang_up()),
    "one POST 503": ("POST", SINGLE, faults.answer(503)),
    "one POST 500": ("POST", SINGLE, faults.answer(500)),
    "one POST lost": ("POST", SINGLE, faults.lose_answer()),
    "one POST reset": ("POST", SINGLE, faults.reset_upload(after=30_000)),
    "one POST stall": ("POST", SINGLE, faults.stall_upload(30, after=30_000)),
    "one POST refused": ("POST", SINGLE, faults.error(405, "UNSUPPORTED")),
    "one POST loses bytes": ("POST", SINGLE, faults.error(400, "DIGEST_INVALID")),
    "one POST 429": ("POST", SINGLE, faults.too_many(seconds=2)),
    "manifests 503": ("PUT", MANIFEST, faults.answer(503)),
    "manifests lost": ("PUT", MANIFEST, faults.lose_answer()),
    "manifests 429": ("PUT", MANIFEST, faults.too_many(date_in=5)),
    "everything 429": ("*", r"/v2/team", faults.too_many(message="retry-after: 10ms, allowed: 2000/minute")),
}
EVERYWHERE = [
    *(pytest.param("source", *what, id=f"source: {name}") for name, what in AT_SOURCE.items()),
    *(pytest.param("target", *what, id=f"target: {name}") for name, what in AT_TARGET.items()),
]


@pytest.mark.parametrize(("where", "method", "pattern", "fault"), EVERYWHERE)
async def test_what_fails_in_passing_does_not_keep_an_image_from_arriving(
    source: ScriptedRegistry, target: ScriptedRegistry, where: str, method: str, pattern: str, fault: Action
) -> None:
    target.behaviour.single_post = takes_single_post(method, pattern)
    (source if where == "source" else target).on(method, pattern, times=3, respond=fault)

    async with Side() as side:
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert equal(source, target)
    # As many as without a fault, and some for each of the three.
    assert len(source.requests) < 50
    assert len(target.requests) < 80


@pytest.mark.parametrize(("where", "method", "pattern", "fault"), EVERYWHERE)
async def test_every_other_request_may_fail_on_two_targets_at_once(
    source: ScriptedRegistry, target: ScriptedRegistry, where: str, method: str, pattern: str, fault: Action
) -> None:
    async with ScriptedRegistry() as other, Side(attempts=8) as side:
        for registry in (target, other):
            registry.behaviour.single_post = takes_single_post(method, pattern)
        for registry in (source,) if where == "source" else (target, other):
            registry.on(method, pattern, times=20, every=2, respond=fault)
        results = await sync(side, source, target, other)

        assert {result.status for result in results.values()} == {Status.SYNCED}
        assert equal(source, target)
        assert equal(source, other)


@pytest.mark.parametrize(("where", "method", "pattern", "fault"), EVERYWHERE)
async def test_what_never_stops_failing_ends_in_time_leaves_no_half_tag_and_is_made_good_later(
    source: ScriptedRegistry, target: ScriptedRegistry, where: str, method: str, pattern: str, fault: Action
) -> None:
    target.behaviour.single_post = takes_single_post(method, pattern)
    rule = (source if where == "source" else target).on(method, pattern, respond=fault)

    async with Side(attempts=2) as side:
        results = await sync(side, source, target)
        errors = {result.error.kind for result in results.values() if result.error is not None}
        requests = len(source.requests) + len(target.requests)
        half = target.incomplete_tags()
        rule.end()
        again = await sync(side, source, target)

    assert ErrorKind.INTERNAL not in errors
    assert not half
    # Two attempts for each part, and two more at the end.
    assert requests < 320
    assert {result.status for result in again.values()} <= {Status.SYNCED, Status.SKIPPED}
    assert equal(source, target)


async def test_bytes_that_lie_for_ever_never_reach_the_target(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    source.on("GET", SHARED.digest, respond=faults.flip_bit(at=7))

    async with Side(attempts=3) as side:
        results = await sync(side, source, target)

    assert {result.error.kind for result in results.values() if result.error} == {ErrorKind.VERIFICATION}
    assert all(SHARED.digest not in repository.blobs for repository in target.repositories.values())
    assert not any(repository.tags for repository in target.repositories.values())
    # Three attempts, and three once more at the end for each image in turn.
    assert source.count("GET", SHARED.digest) <= 3 * 4 * 2


async def test_an_image_that_lacks_a_blob_fails_alone(source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    del source.repository("team/app").blobs[build.layer(90_000, 20).digest]

    async with Side() as side:
        results = await sync(side, source, target)

    failed = {name.partition("/")[2]: result.error for name, result in results.items() if result.error}
    assert set(failed) == {"team/app:1"}
    assert failed["team/app:1"].kind is ErrorKind.NOT_FOUND
    assert target.resolve("team/app", "1") is None
    assert not target.incomplete_tags()


@pytest.mark.parametrize("when", ["POST|PUT", "PUT"], ids=["a blob", "a child"])
async def test_what_a_target_cleans_up_in_the_middle_of_a_pass_is_brought_again(
    source: ScriptedRegistry, target: ScriptedRegistry, when: str
) -> None:
    def clean_up() -> None:
        for repository in target.repositories.values():
            if when == "PUT":
                kept = {each.digest for digest in repository.tags.values() for each in repository.tree(digest)}
                repository.manifests = {digest: repository.manifests[digest] for digest in kept}
            listed = {entry["digest"] for manifest in repository.manifests.values() for entry in manifest.blobs}
            repository.blobs = {digest: blob for digest, blob in repository.blobs.items() if digest in listed}

    where = r"/manifests/sha256:" if when == "PUT" else UPLOADS
    target.on(when, where, after=2, times=1, respond=faults.afterwards(clean_up))
    async with Side() as side:
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert equal(source, target)


async def test_a_manifest_that_is_refused_for_parts_that_are_there_is_refused_for_good(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    target.on("PUT", MANIFEST, respond=faults.error(404, "MANIFEST_BLOB_UNKNOWN", "I say so"))

    async with Side() as side:
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.FAILED}
    # One for each image or child, and nothing is sent again.
    assert target.count("PUT", MANIFEST) <= 6
    sent = [request.target for request in target.requests.matching("POST", SINGLE)]
    assert len(set(sent)) == len(sent)


async def test_mounts_that_are_granted_and_do_nothing_are_seen_through(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    target.on("POST", r"mount=", respond=faults.answer(201, headers={"Location": "/v2/x/blobs/sha256:0"}))

    async with Side() as side:
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert equal(source, target)


async def test_a_tag_that_moves_while_it_is_copied_arrives_as_what_it_was_or_what_it_is(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    old, new = source.resolve("team/app", "latest"), build.multi_arch(seed=40)

    def move() -> None:
        source.seed("team/app", "latest", new)

    source.on("GET|HEAD", r"/team/app/manifests/latest", times=1, respond=faults.afterwards(move))
    async with Side() as side:
        await sync(side, source, target)
        assert target.resolve("team/app", "latest") in (old, new.digest)
        assert not target.incomplete_tags()
        await sync(side, source, target)

    assert equal(source, target)


async def test_a_tag_whose_old_manifest_is_deleted_while_it_is_looked_at_arrives_as_the_new_one(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    new = build.multi_arch(seed=40)
    async with Side() as side:
        await sync(side, source, target)
        source.seed("team/app", "latest", build.image(label="short-lived"))

        def replace() -> None:
            del source.repository("team/app").manifests[source.repository("team/app").tags["latest"]]
            source.seed("team/app", "latest", new)

        source.on("HEAD", r"/team/app/manifests/latest", times=1, respond=faults.afterwards(replace))
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.SYNCED, Status.SKIPPED}
    assert target.resolve("team/app", "latest") == new.digest
    assert equal(source, target)


async def test_a_source_that_tells_wrong_digests_of_its_tags_is_mirrored_and_then_left_alone(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    wrong = faults.headers({"Docker-Content-Digest": f"sha256:{'1' * 64}"})
    source.on("GET|HEAD", r"/manifests/(latest|1)$", respond=wrong)

    async with Side() as side:
        await sync(side, source, target)
        assert equal(source, target)
        target.requests.clear()
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.SKIPPED}
    assert target.count("PUT|POST") == 0


async def test_a_target_that_was_interrupted_before_is_completed(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    image = build.multi_arch(seed=0, shared=[SHARED], size=60_000)
    # A child manifest and some blobs are there, the index and the tag are not.
    repository = target.repository("team/app")
    child = image.manifests[0]
    repository.manifests[child.digest] = child
    repository.blobs.update({entry["digest"]: image.blobs[entry["digest"]] for entry in child.blobs})
    repository.tags["old"] = child.digest

    async with Side() as side:
        results = await sync(side, source, target)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert equal(source, target)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_mix_of_faults_comes_one_good_pass_in_the_end_makes_all_equal(seed: int) -> None:
    chance = random.Random(seed)
    async with ScriptedRegistry() as source, ScriptedRegistry() as one, ScriptedRegistry() as two:
        for number, name in enumerate(NAMES):
            for tag in ("1", "2", "latest"):
                image = build.multi_arch(seed=chance.randrange(100), shared=[SHARED], size=60_000)
                source.seed(name, tag, image if number else build.index([image, build.image([SHARED])]))
        for registry, table in ((source, AT_SOURCE), (one, AT_TARGET), (two, AT_TARGET)):
            for method, pattern, fault in chance.sample(sorted(table.values(), key=str), 5):
                registry.on(method, pattern, after=chance.randrange(4), every=chance.randrange(2, 7), respond=fault)
        async with Side(attempts=chance.choice([1, 2, 4])) as side:
            for _ in range(2):
                await sync(side, source, one, two)
                assert not one.incomplete_tags()
                assert not two.incomplete_tags()
            for registry in (source, one, two):
                registry.rules.clear()
            results = await sync(side, source, one, two)

        assert {result.status for result in results.values()} <= {Status.SYNCED, Status.SKIPPED}
        assert equal(source, one)
        assert equal(source, two)
