"""Reading what is below images: each manifest once, whoever lists it."""

from __future__ import annotations

import asyncio

import pytest

from memory import Place, put_image, put_index
from ocync.analyze.contents import Contents
from ocync.analyze.counted import Counted
from ocync.errors import NetworkError
from ocync.oci.digest import Digest
from passes import failing


async def test_children_that_many_images_list_at_the_same_moment_are_fetched_once() -> None:
    place = Place("source")
    repository = place.repository("app")
    roots = [put_index(repository, str(number), (b"x",), (b"y",), (b"%d" % number,)) for number in range(5)]
    contents = Contents()

    async with asyncio.TaskGroup() as group:
        for root in roots:
            group.create_task(contents.complete(Counted(repository), root))

    assert place.count("manifest") == 2 + 5
    assert {root.digest for root in roots} < set(contents.parts)
    assert contents.sizes[Digest.of(b"x")] == 1


async def test_a_child_that_could_not_be_fetched_for_one_image_is_fetched_for_the_next() -> None:
    place = Place("source", step=failing("manifest", NetworkError("reset"), times=1))
    repository = place.repository("app")
    root = put_index(repository, "1", (b"x",))
    contents = Contents()

    with pytest.raises(ExceptionGroup) as failure:
        await contents.complete(Counted(repository), root)
    await contents.complete(Counted(repository), root)

    assert failure.group_contains(NetworkError)
    assert place.count("manifest") == 2
    assert len(contents.parts) == 2


async def test_one_who_is_cancelled_takes_no_manifest_from_those_who_wait_for_it() -> None:
    place = Place("source")
    repository = place.repository("app")
    one, two = put_index(repository, "1", (b"x",)), put_index(repository, "2", (b"x",), (b"y",))
    contents = Contents()

    first = asyncio.create_task(contents.complete(Counted(repository), one))
    second = asyncio.create_task(contents.complete(Counted(repository), two))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await second

    assert first.cancelled()
    assert {child.digest for child in two.children} < set(contents.parts)


async def test_an_image_without_children_asks_nothing() -> None:
    place = Place("source")
    root = put_image(place.repository("app"), "1", b"x")
    contents = Contents()

    await contents.complete(Counted(place.repository("app")), root)

    assert place.count("manifest") == 0
    assert len(contents.parts[root.digest].blobs) == 2
