"""Which mounts are asked for, and when: after a refusal, and where only committed blobs are mounted."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image, put_index
from ocync.lib.errors import NetworkError, NotFoundError, ServerError
from ocync.oci.digest import Digest
from ocync.transfer.mounts import Mounts
from ocync.transfer.result import Status
from passes import MemoryPlaces, mapping, run

if TYPE_CHECKING:
    from memory import MemoryRepository
    from ocync.lib.errors import OcyncError

LAYERS = [f"shared {number}".encode() for number in range(4)]
DIGEST = Digest.of(b"x")


def images(source: Place, count: int = 10) -> list[str]:
    """Put an image into each of so many repositories: all have four layers in common."""
    for number in range(count):
        put_image(source.repository(f"app{number}"), "1", *LAYERS, f"own {number}".encode())
    return [f"app{number}" for number in range(count)]


def mounted(host: Place) -> int:
    return host.count("mount")


async def test_where_only_committed_blobs_are_mounted_others_wait_for_the_image_that_brings_them() -> None:
    source, a = Place("source"), Place("a", mounts_after_commit=True)
    paths = images(source)

    results = await run(MemoryPlaces(source, a), *(mapping(path) for path in paths), at_once=10)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    # The config is shared too. Each is sent once, and no mount is refused.
    sent = sum(result.blobs.transferred for result in results.values())
    assert sent == a.count("send") == 5 + 10
    assert mounted(a) == 9 * 5
    assert a.incomplete == []


async def test_an_image_that_fails_to_commit_hands_over_to_the_next_one() -> None:
    source, a = Place("source"), Place("a", mounts_after_commit=True)
    paths = images(source)
    failed = set[str]()

    def step(called: str, path: str, _subject: str) -> tuple[int, OcyncError | None]:
        if called == "put" and (path in failed or len(failed) < 3):
            failed.add(path)
            return 3, NotFoundError("refused")
        return 2, None

    a.step = step
    results = await run(MemoryPlaces(source, a), *(mapping(path) for path in paths), at_once=10)

    assert Counter(result.status for result in results.values()) == {Status.FAILED: 3, Status.SYNCED: 7}
    assert a.incomplete == []


@pytest.mark.parametrize("after_commit", [True, False])
@pytest.mark.parametrize("seed", range(40))
async def test_whatever_fails_a_pass_ends_and_leaves_nothing_incomplete(seed: int, *, after_commit: bool) -> None:
    """Images and indexes of few layers in few repositories, at two places, each step of another length."""
    chance = random.Random(seed)
    source = Place("source")
    targets = [Place(name, mounts_after_commit=after_commit, mounts=chance.random() < 0.8) for name in "ab"]
    for number in range(6):
        repository: MemoryRepository = source.repository(f"app{number}")
        for tag in "123":
            layers = [tuple(chance.sample(LAYERS, chance.randint(1, 3))) for _ in range(chance.randint(1, 3))]
            if len(layers) > 1:
                put_index(repository, tag, *layers)
            else:
                put_image(repository, tag, *layers[0])

    def step(called: str, _path: str, _subject: str) -> tuple[int, OcyncError | None]:
        error: OcyncError | None = None
        if chance.random() < 0.1:
            error = chance.choice([NetworkError("reset"), NotFoundError("gone"), ServerError("down")])
        return chance.randint(0, 4), error if called in ("put", "send", "commit", "mount", "read", "has") else None

    for host in targets:
        host.step = step
    work = [mapping(f"app{number}", *chance.choice([("a",), ("b",), ("a", "b")])) for number in range(6)]

    results = await run(MemoryPlaces(source, *targets), *work, at_once=chance.choice([1, 3, 10]))

    assert len(results) == sum(3 * len(each.targets) for each in work)
    for host in targets:
        assert host.incomplete == []


async def test_a_place_that_refuses_mounts_is_not_asked_for_one_after_the_other() -> None:
    source, a = Place("source"), Place("a", mounts=False)
    paths = images(source, 30)

    results = await run(MemoryPlaces(source, a), *(mapping(path) for path in paths), at_once=2)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    # Three pairs of repositories, and what was under way.
    assert 3 <= mounted(a) <= 3 + 2 * 6
    # The bytes come from the repository that has them, all the same.
    assert source.count("read") == 5 + 30


async def test_one_pair_that_is_refused_costs_the_others_nothing() -> None:
    source, a = Place("source"), Place("a")
    paths = images(source, 8)

    grants = a.grants
    a.grants = lambda digest, holder: holder != "app0" and grants(digest, holder)  # type: ignore[method-assign]
    results = await run(MemoryPlaces(source, a), *(mapping(path) for path in paths), at_once=1)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    # The second one asks the first in vain; the others ask the second.
    assert sum(result.blobs.mounted for result in results.values()) == 6 * 5


def test_a_refused_pair_is_not_asked_again_and_a_place_that_never_granted_one_is_not_asked_at_all() -> None:
    mounts = Mounts()
    mounts.refused("a", "b")
    assert not mounts.may_ask("a", "b")
    assert mounts.may_ask("b", "a")
    mounts.refused("a", "c")
    assert mounts.may_ask("a", "d")
    mounts.refused("a", "d")
    # Perhaps only that repository can't be mounted from.
    assert mounts.may_ask("x", "y")
    mounts.refused("b", "d")

    assert not mounts.may_ask("x", "y")
    assert mounts.are_never_granted


def test_a_pair_that_was_granted_before_is_asked_again_after_a_refusal() -> None:
    mounts = Mounts()
    mounts.granted("a", "b")
    for path in "bcde":
        mounts.refused("a", path)

    assert mounts.may_ask("a", "b")
    assert not mounts.may_ask("a", "c")
    assert mounts.may_ask("x", "y")


async def test_nobody_waits_for_a_later_manifest_nor_a_child_for_an_image() -> None:
    host, mounts = Place("a", mounts_after_commit=True), Mounts()
    image, child, later = (
        mounts.begin(host.repository(path), [DIGEST], is_immediate=immediate)
        for path, immediate in (("image", False), ("child", True), ("later", False))
    )
    assert image is not None
    assert child is not None
    assert later is not None
    for unit in (image, child, later):
        mounts.brought(unit.path, DIGEST)

    assert mounts.until("child", DIGEST, later) is child.ended
    assert mounts.until("image", DIGEST, later) is image.ended
    assert mounts.until("image", DIGEST, child) is None
    assert mounts.until("later", DIGEST, image) is None
    assert mounts.until("child", DIGEST, None) is None
    mounts.end(child, committed=True)
    assert child.ended.done()
    assert mounts.until("child", DIGEST, later) is None
    mounts.end(image, committed=False)
    assert mounts.until("image", DIGEST, later) is None
    assert not mounts.is_committed("image", DIGEST)


async def test_where_mounts_need_no_commit_nobody_waits() -> None:
    mounts = Mounts()

    assert mounts.begin(Place("a").repository("app"), [DIGEST], is_immediate=True) is None
    mounts.brought("app", DIGEST)
    assert mounts.is_committed("app", DIGEST)
