"""
What earlier passes knew spares requests, and never work: whatever is wrong with it, the targets end right.

Leaving a scripted registry fails where a tag was made to point at something incomplete.
"""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from clients import Side
from forecasts import asked_by_kind
from ocync.analyze.requests import Kind
from ocync.memory.keeper import Keeper, Place
from ocync.oci.digest import Digest
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ocync.memory.memory import Counts
    from ocync.transfer.result import ImageResult

SHARED = [build.layer(2_000, seed) for seed in range(3)]
HOUR = 3600.0
INVALID = '{"errors": [{"code": "MANIFEST_INVALID", "message": "no"}]}'
REPOSITORIES = ("team/app0", "team/app1", "team/app2")


@dataclass
class World:
    """A source, a target, and the file between passes from one to the other."""

    source: ScriptedRegistry
    target: ScriptedRegistry
    folder: Path
    now: float = 1_700_000_000.0
    counts: list[Counts] = field(default_factory=list)

    def put(self, repository: str, tag: str, *layers: build.Blob, label: str = "") -> build.Image:
        image = build.image(layers, label=label)
        self.source.seed(repository, tag, image)
        return image

    async def sync(self, *repositories: str, ttl: float = 12 * HOUR) -> dict[str, ImageResult]:
        """Make a pass of its own process, so to say, in which nothing may fail."""
        for registry in (self.source, self.target):
            registry.requests.clear()
        async with Keeper(lambda: self.now).memory(Place(folder=self.folder), ttl=ttl) as memory:
            async with Side(idle=20.0, memory=memory) as side:
                work = [
                    side.mapping(self.source.url, self.target.url, repository=repository)
                    for repository in repositories or REPOSITORIES
                ]
                results = await side.sync(*work)
            self.counts.append(memory.counts)
        self.now += 60
        assert [result.error for result in results.values() if result.error] == []
        return results

    @property
    def stale(self) -> int:
        """What turned out to be wrong in the last pass."""
        return self.counts[-1].stale

    @property
    def asked(self) -> Counter[Kind]:
        """What the target was asked in the last pass."""
        return asked_by_kind(self.target)

    def assert_same(self) -> None:
        """Assert that all tags of the source are at the target, with all that is below them."""
        for name, repository in self.source.repositories.items():
            there = self.target.repositories[name]
            assert there.tags.items() >= repository.tags.items()
            for digest in repository.tags.values():
                assert there.missing_below(digest) == []
                assert {m.digest for m in there.tree(digest)} == {m.digest for m in repository.tree(digest)}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())
        yield World(source, target, tmp_path)


async def filled(world: World) -> None:
    """Three repositories, of whose blobs three are shared, brought by a first pass."""
    for number, repository in enumerate(REPOSITORIES):
        world.put(repository, "1", *SHARED, build.layer(500, 10 + number), label=repository)
        children = [build.image([*SHARED[:2]], platform=f"linux/p{n}", label=repository) for n in range(2)]
        world.source.seed(repository, "index", build.index(children))
    await world.sync()
    world.assert_same()
    assert world.stale == 0


def moved(world: World) -> None:
    """Move both tags of each repository: half of the blobs stay, and one of the index's two children."""
    for repository in REPOSITORIES:
        world.put(repository, "1", *SHARED, build.layer(600, 50), label=f"moved {repository}")
        children = [
            build.image([*SHARED[:2]], platform="linux/p0", label=repository),
            build.image([*SHARED, build.layer(700, 60)], platform="linux/p1", label=f"moved {repository}"),
        ]
        world.source.seed(repository, "index", build.index(children))


async def test_moved_images_are_brought_without_a_look_for_their_blobs(world: World) -> None:
    await filled(world)
    moved(world)

    await world.sync()

    world.assert_same()
    # Of each image the config is its own. The two new layers are sent once, and mounted by the two others.
    own, new, repositories = 2 * 3, 2, 3
    assert world.asked == {
        Kind.MANIFEST_GET: 2 * repositories,
        Kind.BLOB_MOUNT: 2 * new,
        Kind.BLOB_POST: own + new,
        # Two tags and a child of each, and the question whether references are checked.
        Kind.MANIFEST_PUT: 3 * repositories + 1,
    }
    assert world.source.count("GET", r"/blobs/sha") == own + new
    assert world.counts[-1].hits > 0


async def test_whether_references_are_checked_is_asked_once_for_all_passes(world: World) -> None:
    await filled(world)
    moved(world)
    await world.sync()
    for repository in REPOSITORIES:
        world.put(repository, "1", *SHARED, label=f"again {repository}")

    await world.sync()

    world.assert_same()
    assert world.asked[Kind.MANIFEST_PUT] == 3
    assert world.asked[Kind.BLOB_HEAD] == 0


async def test_a_new_tag_in_a_filled_repository_is_brought_without_a_look(world: World) -> None:
    await filled(world)
    world.put(REPOSITORIES[0], "2", *SHARED, build.layer(300, 80), label="new tag")

    await world.sync(REPOSITORIES[0])

    world.assert_same()
    # Which tags there are is not asked, so the new one is looked for too; and the question whether references are
    # checked comes on top.
    assert world.asked == {
        Kind.MANIFEST_GET: 3,
        Kind.BLOB_POST: 2,
        Kind.MANIFEST_PUT: 1 + 1,
    }


async def test_a_new_repository_mounts_what_an_earlier_pass_brought_to_others(world: World) -> None:
    await filled(world)
    world.put("team/new", "1", *SHARED, build.layer(400, 90), label="new")

    await world.sync("team/new")

    world.assert_same()
    assert world.asked == {
        Kind.TAG_LIST: 1,
        Kind.BLOB_MOUNT: 3,
        Kind.BLOB_POST: 2,
        Kind.MANIFEST_PUT: 1,
    }
    assert world.source.count("GET", r"/blobs/sha") == 2


async def test_however_old_it_is_what_others_hold_is_mounted(world: World) -> None:
    await filled(world)
    world.now += 20 * 24 * HOUR
    world.put("team/new", "1", *SHARED, label="new")

    await world.sync("team/new")

    assert world.asked[Kind.BLOB_MOUNT] == 3


async def test_what_is_too_old_is_looked_for(world: World) -> None:
    await filled(world)
    world.now += 13 * HOUR
    world.put(REPOSITORIES[0], "2", *SHARED, label="new tag")

    await world.sync()

    world.assert_same()
    assert world.asked[Kind.BLOB_HEAD] == len(SHARED)


async def test_with_a_lifetime_of_0_it_is_believed_until_it_is_wrong(world: World) -> None:
    await filled(world)
    world.now += 20 * 24 * HOUR
    world.put(REPOSITORIES[0], "2", *SHARED, label="new tag")

    await world.sync(ttl=0.0)

    world.assert_same()
    assert world.asked[Kind.BLOB_HEAD] == 0


async def test_an_unchanged_pass_asks_less_than_without_memory_and_writes_nothing(world: World) -> None:
    await filled(world)
    before = (world.folder / "memory.sqlite").read_bytes()

    await world.sync()

    assert world.asked == {Kind.MANIFEST_GET: 6}
    assert (world.folder / "memory.sqlite").read_bytes() == before


# What happens behind our back


def lose_a_blob(world: World) -> None:
    """Of the repositories, none holds the first shared layer any more."""
    for repository in REPOSITORIES:
        del world.target.repositories[repository].blobs[SHARED[0].digest]


def lose_a_blob_of_one(world: World) -> None:
    del world.target.repositories[REPOSITORIES[1]].blobs[SHARED[0].digest]


def lose_all_blobs(world: World) -> None:
    """All but the config of the child that stays: where its manifest is, nobody looks for what it lists."""
    for repository in REPOSITORIES:
        child = build.image([*SHARED[:2]], platform="linux/p0", label=repository)
        kept = child.root.blobs[0]["digest"]
        blobs = world.target.repositories[repository].blobs
        world.target.repositories[repository].blobs = {kept: blobs[kept]}


def lose_a_child(world: World) -> None:
    """The child that stays in the moved index is gone, with its config."""
    for repository in REPOSITORIES:
        child = build.image([*SHARED[:2]], platform="linux/p0", label=repository)
        del world.target.repositories[repository].manifests[child.digest]
        del world.target.repositories[repository].blobs[child.root.blobs[0]["digest"]]


def lose_a_repository(world: World) -> None:
    del world.target.repositories[REPOSITORIES[0]]


def lose_all_repositories(world: World) -> None:
    world.target.repositories.clear()


def replace_a_repository(world: World) -> None:
    """Somebody has made it anew, with another image."""
    del world.target.repositories[REPOSITORIES[0]]
    world.target.seed(REPOSITORIES[0], "foreign", build.image([build.layer(100, 77)]))


LOSSES = [
    lose_a_blob,
    lose_a_blob_of_one,
    lose_all_blobs,
    lose_a_child,
    lose_a_repository,
    lose_all_repositories,
    replace_a_repository,
]


@pytest.mark.parametrize("checks", [True, False], ids=["checks references", "does not"])
@pytest.mark.parametrize("lose", LOSSES)
async def test_what_is_gone_from_the_target_is_brought_again_in_the_same_pass(
    world: World, lose: Callable[[World], None], checks: bool
) -> None:
    world.target.behaviour.check_references = checks
    await filled(world)
    moved(world)
    lose(world)

    await world.sync()

    world.assert_same()


@pytest.mark.parametrize("lose", LOSSES)
async def test_what_is_gone_is_brought_again_whatever_is_believed_for_ever(
    world: World, lose: Callable[[World], None]
) -> None:
    await filled(world)
    moved(world)
    await world.sync(ttl=0.0)
    for repository in REPOSITORIES:
        image = world.put(repository, "1", *SHARED, build.layer(600, 50), label=f"once more {repository}")
        child = build.image([*SHARED[:2]], platform="linux/p0", label=repository)
        world.source.seed(repository, "index", build.index([child, image]))
    lose(world)

    await world.sync(ttl=0.0)

    world.assert_same()


async def test_what_was_wrong_is_counted_and_not_believed_again(world: World) -> None:
    await filled(world)
    moved(world)
    lose_a_blob(world)

    await world.sync()

    # In each of the three repositories, but where it was mounted from one that had got it again.
    assert 1 <= world.stale <= 3
    moved(world)
    for repository in REPOSITORIES:
        world.put(repository, "1", *SHARED, label=f"again {repository}")
    await world.sync()
    world.assert_same()
    assert world.stale == 0


async def test_a_mount_that_is_refused_where_others_were_granted_is_a_fact_that_was_wrong(world: World) -> None:
    await filled(world)
    world.put("team/new", "1", *SHARED[1:], label="new")
    await world.sync("team/new")
    assert world.asked[Kind.BLOB_MOUNT] == 2
    for repository in REPOSITORIES:
        del world.target.repositories[repository].blobs[SHARED[0].digest]
    other = world.put("team/other", "1", *SHARED, label="other")

    await world.sync("team/other")

    assert world.target.repositories["team/other"].missing_below(other.digest) == []
    assert world.stale == 1
    # The refused mount has opened the session in which the blob was sent.
    assert world.asked[Kind.BLOB_MOUNT] == 3
    assert world.asked[Kind.BLOB_POST] == 1


async def test_a_registry_that_grants_no_mounts_is_not_asked_for_each_blob(world: World) -> None:
    world.target.behaviour.mount = False
    await filled(world)
    world.put("team/new", "1", *[build.layer(100, seed) for seed in range(40)], label="new")
    world.put("team/others", "1", *[build.layer(100, seed) for seed in range(40)], label="others")
    await world.sync("team/others")

    await world.sync("team/new")

    world.assert_same()
    assert world.stale == 0
    # As many as were on their way when the first one was refused.
    assert world.asked[Kind.BLOB_MOUNT] < 40


async def test_registries_that_refuse_the_question_are_looked_at(world: World) -> None:
    await filled(world)
    world.target.on("PUT", r"/manifests/sha256:", times=1, respond=faults.answer(400, INVALID))
    moved(world)

    await world.sync()

    world.assert_same()
    assert world.asked[Kind.BLOB_HEAD] >= len(SHARED)


# What happens to the file


def nonsense(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE fact SET value = x'00ff'")


def swapped(connection: sqlite3.Connection) -> None:
    """All rows have the time and mark of another one."""
    rows = connection.execute("SELECT kind, key, repository, learned, mark FROM fact").fetchall()
    for (kind, key, repository, _, _), (_, _, _, learned, mark) in zip(rows, rows[1:] + rows[:1], strict=True):
        connection.execute(
            "UPDATE fact SET learned = ?, mark = ? WHERE kind = ? AND key = ? AND repository = ?",
            (learned + 1, mark, kind, key, repository),
        )


def nameless(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE repository SET path = 'team/elsewhere'")


def emptied(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM repository")


def from_the_future(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE fact SET learned = learned + 1000 * 3600 * 24 * 365")


def of_other_types(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE fact SET value = 'text', learned = 'yesterday', mark = 'none'")


@pytest.mark.parametrize("spoil", [nonsense, swapped, nameless, emptied, from_the_future, of_other_types])
async def test_a_file_that_was_changed_is_worth_no_wrong_target(
    world: World, spoil: Callable[[sqlite3.Connection], None]
) -> None:
    await filled(world)
    moved(world)
    lose_a_blob(world)
    connection = sqlite3.connect(world.folder / "memory.sqlite")
    spoil(connection)
    connection.commit()
    connection.close()

    await world.sync()

    world.assert_same()


@pytest.mark.parametrize("checks", [True, False], ids=["checks references", "does not"])
async def test_facts_that_lie_are_worth_no_wrong_target(world: World, checks: bool) -> None:
    """Memory says that the target has everything, and who holds it; the target has nothing of it."""
    world.target.behaviour.check_references = checks
    for repository in REPOSITORIES:
        world.target.seed(repository, "other", build.image([build.layer(100, 77)]))
    moved(world)
    async with Keeper(lambda: world.now).memory(Place(folder=world.folder), ttl=0.0) as memory:
        place = world.target.host
        for name, repository in world.source.repositories.items():
            memory.learn_owned(place, name)
            for digest in repository.blobs:
                for path in (name, "team/nowhere"):
                    memory.learn_blob(place, path, Digest.parse(digest))
            for digest in repository.manifests:
                memory.learn_manifest(place, name, Digest.parse(digest))
        memory.learn_hint("mounts", place, "granted")

    await world.sync(ttl=0.0)

    world.assert_same()
    assert world.stale > 0
