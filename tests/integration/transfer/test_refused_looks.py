"""A look that is refused says nothing: what is not known to be there is copied, and a refused push is an error."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from attached import attach
from clients import Side
from ocync.config.model import TagRules
from ocync.lib.errors import ErrorKind
from ocync.plan.model import Reason
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.transfer.result import ImageResult
    from scripted.rules import Rule

APP = "team/app"
PARTS = [build.image([build.layer(300, seed)], platform=f"linux/p{seed}") for seed in range(2)]
INDEX = build.index(PARTS)
SBOM = build.artifact("application/spdx+json", [b"sbom"], subject=INDEX)
SIGNATURE = build.cosign_signature(INDEX)
SIG_TAG = build.cosign_tag(INDEX.digest)
MANIFESTS, TAG, DIGEST = r"/manifests/", r"/manifests/1$", r"/manifests/sha256:"
LOOKS = {
    "everything": r"/v2/team/",
    "the tag": TAG,
    "manifests by digest": DIGEST,
    "blobs": r"/blobs/sha",
    "the signature's tag": r"/manifests/sha256-.*\.sig$",
    "the list of referrers": r"/referrers/",
    "lists by tag": r"/manifests/sha256-[0-9a-f]*$",
}


class World(NamedTuple):
    side: Side
    source: ScriptedRegistry
    target: ScriptedRegistry

    def refuse(self, registry: ScriptedRegistry, pattern: str, status: int, methods: str = "HEAD|GET") -> Rule:
        return registry.on(methods, pattern, respond=faults.error(status, "DENIED", "not for you"))

    async def sync(self, *, tags: TagRules | None = None, **settings: object) -> ImageResult:
        rules = tags or TagRules(glob=("1",))
        mapping = self.side.mapping(self.source.url, self.target.url, repository=APP, tags=rules)
        return (await self.side.sync(mapping, **settings))[f"{self.target.host}/{APP}:1"]

    def is_whole(self) -> bool:
        here, there = self.target.repository(APP), self.source.repository(APP)
        return here.tags.items() >= there.tags.items() and set(there.manifests) <= set(here.manifests)


@pytest.fixture(params=[True, False], ids=["with the API", "without the API"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A source with an index, an SBOM by reference and a signature by tag; and an empty target."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        for registry in (source, target):
            registry.behaviour.referrers = request.param
        source.seed(APP, "1", INDEX)
        attach(source, APP, INDEX.digest, SBOM)
        source.seed(APP, SIG_TAG, SIGNATURE)
        yield World(await stack.enter_async_context(Side()), source, target)


@pytest.mark.parametrize("status", [400, 401, 403, 405])
@pytest.mark.parametrize("pattern", LOOKS.values(), ids=LOOKS)
async def test_what_a_target_refuses_to_show_is_brought(world: World, pattern: str, status: int) -> None:
    world.refuse(world.target, pattern, status)

    for _ in range(2):
        result = await world.sync()

        assert result.error is None, result.error
        assert world.is_whole()
    assert world.target.incomplete_tags() == []


async def test_a_target_that_refuses_only_what_is_missing_is_left_alone_once_it_is_filled(world: World) -> None:
    """As Artifactory does, which says 403 of what it does not have."""
    for registry in (world.source, world.target):
        registry.behaviour.referrers = True
    there = world.target.repositories

    def is_missing(request: object) -> bool:
        name = request.target.rpartition("/")[2].partition("?")[0]  # type: ignore[attr-defined]
        repository = there.get(APP)
        return repository is None or (repository.find(name) is None and name not in repository.blobs)

    denied = faults.error(403, "DENIED", "not for you")
    world.target.on("HEAD|GET", r"/(manifests|blobs)/", respond=denied, when=is_missing)

    first, second = await world.sync(), await world.sync()

    assert (first.status, first.reason) == (Status.SYNCED, Reason.NEW)
    assert (second.status, second.reason) == (Status.SKIPPED, Reason.UP_TO_DATE)
    assert second.bytes_transferred == 0


@pytest.mark.parametrize("pushes", ["POST|PUT", "PUT"])
async def test_a_push_that_is_refused_too_is_an_error_of_credentials(world: World, pushes: str) -> None:
    world.refuse(world.target, r"/v2/team/", 403)
    world.refuse(world.target, r"/v2/team/", 403, pushes)

    result = await world.sync()

    assert result.error is not None
    assert result.error.kind is ErrorKind.AUTH
    assert "push" in result.error.message or "open an upload" in result.error.message
    assert world.target.resolve(APP, "1") is None


@pytest.mark.parametrize("status", [400, 401, 403, 405])
async def test_names_that_were_only_guessed_may_be_denied_at_a_source(world: World, status: int) -> None:
    """Nobody knows of a signature that was never made, and some sources deny it (carvel-dev/imgpkg#548)."""
    world.source.repository(APP).tags = {"1": INDEX.digest}
    world.refuse(world.source, r"/tags/list", status)
    world.refuse(world.source, r"/manifests/sha256-", status)

    result = await world.sync()

    assert result.error is None, result.error
    assert result.artifacts is not None
    assert result.artifacts.target == int(world.source.behaviour.referrers)
    assert world.target.content_of(APP, "1") == world.source.content_of(APP, "1") != {}


async def test_a_signature_that_a_source_lists_and_denies_fails_the_image(world: World) -> None:
    world.refuse(world.source, r"\.sig$", 403)

    result = await world.sync()

    assert result.error is not None
    assert result.error.kind is ErrorKind.INCOMPLETE_ARTIFACTS
    assert world.target.resolve(APP, "1") is None


@pytest.mark.parametrize(
    "pattern", [TAG, MANIFESTS, r"/blobs/sha"], ids=["the tag", "manifests by digest", "blobs"]
)
async def test_a_source_that_denies_what_is_to_be_copied_fails_the_image(world: World, pattern: str) -> None:
    world.refuse(world.source, pattern, 403)

    result = await world.sync()

    assert result.error is not None
    assert result.error.kind is ErrorKind.AUTH
    assert world.target.resolve(APP, "1") is None


@pytest.mark.parametrize("status", [400, 401, 403, 405, 501])
async def test_a_source_that_takes_no_head_is_asked_by_get(world: World, status: int) -> None:
    world.target.seed(APP, "1", build.image(label="an older one"))
    world.refuse(world.source, MANIFESTS, status, "HEAD")

    result = await world.sync()

    assert (result.status, result.reason) == (Status.SYNCED, Reason.MOVED)
    assert world.is_whole()


async def test_a_digest_that_a_source_tells_and_then_denies_is_read_by_its_tag(world: World) -> None:
    wrong = "sha256:" + "0" * 64
    world.target.seed(APP, "1", build.image(label="an older one"))
    world.source.on("HEAD", TAG, respond=faults.headers({"Docker-Content-Digest": wrong}))
    world.refuse(world.source, wrong, 403)

    assert (await world.sync()).error is None
    assert world.is_whole()


@pytest.mark.parametrize("status", [401, 403])
async def test_an_immutable_tag_that_is_not_shown_is_not_moved(world: World, status: int) -> None:
    old = build.image(label="an older one")
    world.target.seed(APP, "1", old)
    world.refuse(world.target, r"/v2/team/", status)

    result = await world.sync(tags=TagRules(glob=("1",), immutable_tags="1"))

    assert result.error is not None
    assert result.error.kind is ErrorKind.AUTH
    assert world.target.resolve(APP, "1") == old.digest


async def test_an_immutable_tag_that_is_not_listed_is_set_though_it_is_not_shown(world: World) -> None:
    world.target.seed(APP, "2", build.image(label="another"))
    world.refuse(world.target, MANIFESTS, 403)

    result = await world.sync(tags=TagRules(glob=("1",), immutable_tags="1"))

    assert (result.status, result.reason) == (Status.SYNCED, Reason.NEW)


async def test_a_dry_run_tells_what_would_be_pushed_unless_the_credentials_are_refused(world: World) -> None:
    rule = world.refuse(world.target, MANIFESTS, 403)
    result = await world.sync(dry_run=True)
    assert (result.status, result.reason) == (Status.SYNCED, Reason.NEW)
    rule.end()
    world.refuse(world.target, r"/v2/team/", 401)

    result = await world.sync(dry_run=True)

    assert result.error is not None
    assert result.error.kind is ErrorKind.AUTH


WEEK = 7 * 86_400.0
AUDITED = {"a child": PARTS[0].digest, "blobs": r"/blobs/sha", "the tag by GET": TAG}


@pytest.mark.parametrize("status", [400, 403, 405])
@pytest.mark.parametrize("pattern", AUDITED.values(), ids=AUDITED)
async def test_an_audit_does_not_take_a_refusal_for_a_loss(
    world: World, pattern: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    await world.sync()
    world.refuse(world.target, pattern, status, "GET" if pattern == TAG else "HEAD|GET")

    result = await world.sync(audit=0.0)

    assert (result.status, result.reason) == (Status.SKIPPED, Reason.UP_TO_DATE)
    assert "lost" not in caplog.text
    assert world.is_whole()


async def test_an_audit_restores_what_is_lost_beside_what_is_refused(world: World) -> None:
    await world.sync()
    del world.target.repository(APP).manifests[PARTS[0].digest]
    world.refuse(world.target, r"/blobs/sha", 403)

    result = await world.sync(audit=0.0)

    assert (result.status, result.reason) == (Status.SYNCED, Reason.REPAIRED)
    assert world.is_whole()


@pytest.mark.parametrize("pattern", AUDITED.values(), ids=AUDITED)
async def test_a_rolling_audit_copies_nothing_on_suspicion(world: World, pattern: str) -> None:
    rules = TagRules(glob=("1",))
    await world.sync(tags=rules)
    world.refuse(world.target, pattern, 403, "GET" if pattern == TAG else "HEAD|GET")
    world.target.requests.clear()

    for step in range(100):
        now = 1e9 + WEEK / 100 * step
        result = await world.sync(tags=rules, audit_every=WEEK, now=lambda at=now: at)
        assert (result.status, result.reason) == (Status.SKIPPED, Reason.UP_TO_DATE)

    assert world.target.count("HEAD|GET", pattern)
    assert not world.target.count("POST|PUT|PATCH")
