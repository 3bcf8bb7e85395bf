"""
What earlier passes knew spares requests, and never work: it tells where to ask for mounts, and nothing is believed.

Leaving a scripted registry fails where a manifest was put with parts that this pass had not seen there.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from clients import Side
from forecasts import asked_by_kind
from ocync.analyze.model import RequestKind
from ocync.cache import file, store
from ocync.cache.store import CacheStore, StateLocation
from ocync.config.model import GlobalSettings, Timeouts
from ocync.lib.shutdown import Stop
from ocync.oci.digest import Digest
from ocync.run.compose import PassOptions, run_pass
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults
from scripted.evidence import PASSES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Callable

    from ocync.cache.hints import Hints
    from ocync.report.summary import RunReport
    from scripted.named import Proceed
    from scripted.wire import Request, Response

SHARED = [build.layer(2_000, seed) for seed in range(3)]
HOUR = 3600.0
NOW = 1_700_000_000.0
FILLED = ("team/app0", "team/app1", "team/app2")
APP = FILLED[0]
SETTINGS = GlobalSettings(
    cache_dir=Path("nowhere"), staging_size_limit=0, audit_every=None, timeouts=Timeouts(connect=2.0, idle=20.0)
)


@dataclass
class World:
    """A source, a target, and the folder between passes from one to the other."""

    source: ScriptedRegistry
    target: ScriptedRegistry
    folder: Path
    now: float = NOW

    def put(self, repository: str, tag: str, *layers: build.Blob, label: str = "") -> build.Image:
        image = build.image(layers, label=label or repository)
        self.source.seed(repository, tag, image)
        return image

    async def sync(
        self, *repositories: str, ttl: float = 30 * 24 * HOUR, audit: float | None = None, at_once: int = 10
    ) -> RunReport:
        """Make a pass as a process of its own does, in which nothing may fail."""
        for registry in (self.source, self.target):
            registry.requests.clear()
        work = [
            Side().mapping(self.source.url, self.target.url, repository=repository)
            for repository in repositories or FILLED
        ]
        with PASSES.one():
            report = await run_pass(
                replace(SETTINGS, cache_ttl=ttl, max_concurrent_transfers=at_once),
                lambda _places: work,
                environ={},
                stop=Stop(grace=1),
                sink=lambda _event: None,
                options=PassOptions(cache_dir=self.folder, cache=CacheStore(lambda: self.now), audit=audit),
            )
        self.now += 60
        assert [result.error for result in report.images if result.error] == []
        self.assert_same()
        return report

    async def known(self) -> Hints:
        """Return what a pass would know that began now."""
        async with CacheStore(lambda: self.now).open(
            StateLocation(folder=self.folder, keep=False), ttl=0.0
        ) as memory:
            return memory

    @property
    def asked(self) -> Counter[RequestKind]:
        """What the target was asked in the last pass."""
        return asked_by_kind(self.target)

    def assert_same(self) -> None:
        """Assert that all tags which the target has got are whole there."""
        for name, repository in self.target.repositories.items():
            assert [digest for digest in repository.tags.values() if repository.missing_below(digest)] == [], name

    def lose(self, *repositories: str) -> None:
        """Take the first shared layer from repositories of the target, and all tags that lead to it."""
        for name in repositories:
            repository = self.target.repositories[name]
            del repository.blobs[SHARED[0].digest]
            repository.tags.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Three repositories at both sides, of whose blobs three are shared, brought by a first pass."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        world = World(source, target, tmp_path / "cache")
        for number, repository in enumerate(FILLED):
            world.put(repository, "1", *SHARED, build.layer(500, 10 + number))
        yield world


# Where to ask for mounts


async def test_a_new_repository_mounts_what_an_earlier_pass_brought_to_others(world: World) -> None:
    await world.sync()
    world.put("team/new", "1", *SHARED, build.layer(400, 90))

    report = await world.sync("team/new")

    assert world.asked == {
        RequestKind.TAG_LIST: 1,
        RequestKind.BLOB_MOUNT: 3,
        RequestKind.BLOB_POST: 2,
        RequestKind.MANIFEST_PUT: 1,
    }
    assert world.source.count("GET", r"/blobs/sha") == 2
    assert (report.discovery_cache_hits, report.discovery_target_stale) == (3, 0)


async def test_what_a_repository_held_itself_is_looked_for(world: World) -> None:
    await world.sync()
    world.put(APP, "2", *SHARED, label="new tag")

    await world.sync(APP)

    # Not the config, which is as new as the manifest.
    assert (world.asked[RequestKind.BLOB_HEAD], world.asked[RequestKind.BLOB_MOUNT]) == (3, 0)


@pytest.mark.parametrize(("days", "ttl", "mounts"), [(29, 30, 3), (2, 1, 0), (29, 0, 3), (31, 0, 0)])
async def test_it_is_remembered_for_as_long_as_it_may_be(world: World, days: int, ttl: int, mounts: int) -> None:
    await world.sync(ttl=ttl * 24 * HOUR)
    world.now += days * 24 * HOUR
    world.put("team/new", "1", *SHARED)

    await world.sync("team/new", ttl=ttl * 24 * HOUR)

    assert world.asked[RequestKind.BLOB_MOUNT] == mounts


async def test_a_blob_that_is_gone_from_there_is_sent_and_not_asked_for_again(world: World) -> None:
    await world.sync()
    world.lose(*FILLED)
    # One after the other: until a mount was granted, a refusal says that the registry grants none.
    world.put("team/other", "1", *SHARED[1:])
    world.put("team/other", "2", *SHARED)

    report = await world.sync("team/other", at_once=1)

    # The mount that was refused has opened the session in which the blob was sent; the configs are sent too.
    assert (world.asked[RequestKind.BLOB_MOUNT], world.asked[RequestKind.BLOB_POST]) == (3, 2)
    assert report.discovery_target_stale == 1
    holders = (await world.known()).holders(world.target.host, Digest.parse(SHARED[0].digest))
    assert holders[0] == "team/other"
    assert len(holders) == len(FILLED)


async def test_a_registry_that_refuses_such_mounts_is_not_asked_for_each_blob(world: World) -> None:
    world.target.behaviour.mount = False
    layers = [build.layer(100, seed) for seed in range(40)]
    world.put("team/others", "1", *layers)
    world.put("team/new", "1", *layers)
    await world.sync("team/others")

    report = await world.sync("team/new")

    # As many as were on their way when the first one was refused.
    assert 1 <= world.asked[RequestKind.BLOB_MOUNT] < 40
    assert report.discovery_target_stale == 0


@pytest.mark.parametrize("checks", [True, False], ids=["checks references", "does not"])
async def test_facts_that_lie_are_worth_no_wrong_target(world: World, checks: bool) -> None:
    """The cache says that the target has everything; it has nothing."""
    world.target.behaviour.check_references = checks
    for repository in FILLED:
        world.target.seed(repository, "other", build.image([build.layer(100, 77)]))
    async with CacheStore(lambda: world.now).open(StateLocation(folder=world.folder), ttl=0.0) as memory:
        host = world.target.host
        for name, there in world.source.repositories.items():
            for digest in (*there.blobs, *there.manifests):
                for path in (name, "team/nowhere"):
                    memory.learn_blob(host, path, Digest.parse(digest))
            for tag, digest in there.tags.items():
                memory.learn_moved(host, name, tag, Digest.parse(digest))
                memory.learn_looked_below(host, name, tag, Digest.parse(digest))

    await world.sync()

    for name in FILLED:
        assert world.target.repositories[name].tags.items() >= world.source.repositories[name].tags.items()


# How registries are asked


async def test_how_a_registry_takes_blobs_is_tried_once_for_all_passes(world: World) -> None:
    world.target.behaviour.single_post = False
    await world.sync(APP)
    assert world.target.count("POST", r"\?digest=") == 1
    world.put(APP, "2", build.layer(600, 70))

    await world.sync(APP)

    assert world.asked[RequestKind.BLOB_PUT] == 2
    assert world.target.count("POST", r"\?digest=") == 0


async def test_the_rate_that_a_registry_has_asked_for_is_remembered(world: World) -> None:
    told = faults.too_many(message="retry-after: 10ms, allowed: 2400/minute")
    world.source.on("GET", r"/tags/list", times=1, respond=told)

    await world.sync(APP)

    known = await world.known()
    assert known.hint("limits", world.source.host) is not None
    assert known.hint("limits", world.target.host) is None


# When something was done


async def test_passes_learn_when_tags_moved_and_were_looked_below(world: World) -> None:
    host, first = world.target.host, world.source.resolve(APP, "1")
    assert first is not None
    digest = Digest.parse(first)
    brought = await world.sync(APP)
    unchanged = await world.sync(APP)
    known = await world.known()
    assert known.first_seen(world.source.host, APP, "1", digest) == NOW
    assert known.moved(host, APP, "1") == (digest, NOW)
    assert [each.looked_below for report in (brought, unchanged) for each in report.images] == [NOW, NOW]

    audited = await world.sync(APP, audit=0.0)
    moved = Digest.parse(world.put(APP, "1", *SHARED, label="moved").digest)
    before = await world.known()
    await world.sync(APP)

    known = await world.known()
    assert before.looked_below(host, APP, "1", digest) == NOW + 120 == audited.images[0].looked_below
    assert before.moved(host, APP, "1") == (digest, NOW)
    assert known.first_seen(world.source.host, APP, "1", digest) is None
    assert known.first_seen(world.source.host, APP, "1", moved) == NOW + 180
    assert known.moved(host, APP, "1") == (moved, NOW + 180)
    assert known.looked_below(host, APP, "1", moved) == NOW + 180


# What happens to the file


async def test_what_a_pass_learns_is_there_before_it_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PAUSE", 0.02)
    blob, seen = Digest.parse(SHARED[0].digest), []

    async def wait_for_it(request: Request, proceed: Proceed) -> Response:
        # The pass can't end before its tag is put; what it has brought is in the file by then.
        while not (holders := (await world.known()).holders(world.target.host, blob)):
            await asyncio.sleep(0.01)
        seen.append(holders)
        return await proceed()

    world.target.on("PUT", r"/manifests/1", times=1, respond=wait_for_it)
    await world.sync(APP)

    assert seen == [[APP]]


def garbled(path: Path) -> None:
    """Bits have changed anywhere behind the first line."""
    data, chance = bytearray(path.read_bytes()), Random(7)
    for _ in range(200):
        data[chance.randrange(data.index(b"\n") + 1, len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def of_another_format(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def in_no_folder(path: Path) -> None:
    """Nothing can be read or written where the folder should be."""
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file")


@pytest.mark.parametrize("spoil", [garbled, cut_off, of_another_format, a_folder, in_no_folder])
async def test_a_file_that_is_spoilt_costs_nothing_but_requests(
    world: World, spoil: Callable[[Path], None]
) -> None:
    await world.sync()
    spoil(world.folder / file.NAME)
    world.lose(APP)
    world.put("team/new", "1", *SHARED, build.layer(400, 90))

    report = await world.sync(*FILLED, "team/new")

    assert [result.status for result in report.images].count(Status.SYNCED) == 2
    for name in (*FILLED, "team/new"):
        assert world.target.repositories[name].tags == world.source.repositories[name].tags
