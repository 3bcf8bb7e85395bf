"""One tag of a source, resolved once for all of its targets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from memory import MemoryRepository, Place, put_image, put_index
from ocync.lib.errors import NetworkError, NotFoundError, ProtocolError
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.oci.platform import Platform
from ocync.plan.source import SourceImage
from passes import failing

if TYPE_CHECKING:
    from ocync.oci.manifest import Manifest

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")


def host() -> tuple[Place, MemoryRepository, Manifest]:
    source = Place("source")
    repository = source.repository("app")
    return source, repository, put_image(repository, "1", b"x")


async def test_however_many_targets_ask_there_is_one_head() -> None:
    source, repository, manifest = host()
    image = SourceImage(repository, "1")

    answers = await asyncio.gather(*(image.head() for _ in range(5)))

    assert [each.digest for each in answers] == [manifest.digest] * 5
    assert (source.count("head"), source.count("manifest")) == (1, 0)


async def test_however_many_targets_fetch_it_there_is_one_get_and_a_head_after_that_is_none() -> None:
    source, repository, manifest = host()
    image = SourceImage(repository, "1")

    roots = await asyncio.gather(*(image.root() for _ in range(5)))

    assert {root.manifest.digest for root in roots} == {manifest.digest}
    assert (await image.head()).digest == manifest.digest
    assert (source.count("head"), source.count("manifest")) == (0, 1)


async def test_what_a_head_has_told_is_fetched_by_its_digest_though_the_tag_moves_meanwhile() -> None:
    _, repository, manifest = host()
    image = SourceImage(repository, "1")
    await image.head()
    put_image(repository, "1", b"moved")

    assert (await image.root()).manifest.digest == manifest.digest
    assert (await image.head()).digest == manifest.digest


async def test_what_is_gone_since_the_head_is_fetched_by_its_tag_and_then_known_by_that() -> None:
    source, repository, manifest = host()
    image = SourceImage(repository, "1")
    await image.head()
    moved = put_image(repository, "1", b"moved")
    del source.stored["app"][manifest.digest]

    assert (await image.root()).manifest.digest == moved.digest
    assert (await image.head()).digest == moved.digest


async def test_a_source_that_answers_a_head_with_another_digest_is_believed_by_the_get() -> None:
    source, _, manifest = host()

    class Lying(MemoryRepository):
        async def head(self, reference: str) -> Descriptor | None:
            return Descriptor(media_type="", digest=Digest.of(b"another"), size=1)

    image = SourceImage(Lying(source, "app"), "1")
    await image.head()

    assert (await image.root()).manifest.digest == manifest.digest


async def test_a_tag_that_is_gone_is_told_by_the_get() -> None:
    source, repository, _ = host()

    with pytest.raises(NotFoundError, match="source/app has no 2"):
        await SourceImage(repository, "2").head()

    assert (source.count("head"), source.count("manifest")) == (1, 1)


async def test_after_an_error_who_asks_next_asks_anew() -> None:
    source, repository, manifest = host()
    source.step = failing("head", NetworkError("reset"), times=1)  # type: ignore[assignment]
    image = SourceImage(repository, "1")

    failures = await asyncio.gather(*(image.head() for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in failures] == [NetworkError] * 3
    assert (await image.head()).digest == manifest.digest
    assert source.count("head") == 2


async def test_an_index_of_wanted_platforms_is_made_once_and_keeps_the_source_s_digest() -> None:
    source = Place("source")
    repository = source.repository("app")
    index = put_index(repository, "1", (b"amd",), (b"arm",), platforms=(AMD, ARM))
    image = SourceImage(repository, "1", platforms=(ARM,))

    first, second = await asyncio.gather(image.root(), image.root())

    assert first is second
    assert first.original == index.digest
    assert [child.digest for child in first.manifest.children] == [index.children[1].digest]
    assert source.count("manifest") == 1
    assert (await SourceImage(repository, "1", platforms=(AMD, ARM)).root()).original is None


async def test_platforms_that_an_index_does_not_have_are_told() -> None:
    repository = Place("source").repository("app")
    put_index(repository, "1", (b"amd",), platforms=(AMD,))

    with pytest.raises(ProtocolError, match="source/app:1") as raised:
        await SourceImage(repository, "1", platforms=(ARM,)).root()

    assert raised.value.hint is not None


async def test_a_target_that_has_ended_is_told_of_once() -> None:
    told: list[None] = []
    _, repository, _ = host()
    image = SourceImage(repository, "1", hosts=("a", "b"), finished=lambda: told.append(None))

    for name in ("a", "a", "away"):
        image.finish(name)

    assert image.hosts == {"b"}
    assert len(told) == 1


async def test_the_manifest_is_not_kept_for_longer_than_targets_need_it() -> None:
    source, repository, manifest = host()
    image = SourceImage(repository, "1", hosts=("a", "b", "b"))

    for name in ("a", "b", "b"):
        await image.root()
        assert source.count("manifest") == 1
        image.finish(name)
    put_image(repository, "1", b"moved")

    # By its digest, for the tag stays resolved.
    assert (await image.head()).digest == (await image.root()).manifest.digest == manifest.digest
    assert source.count("manifest") == 2
