"""What is attached to an image is put after the manifest that it belongs to, and before the image's tag."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from clients import Side
from ocync.config.model import TagRules
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.transfer.result import ImageResult
    from scripted.wire import Request

APP = "team/app"
PARTS = [build.image([build.layer(300, seed)], platform=f"linux/p{seed}") for seed in range(2)]
INNER = build.index(PARTS[:1])
INDEX = build.index([INNER, PARTS[1]])
IMAGE = build.image([build.layer(300, 9)])
_NAMED = re.compile(r"/manifests/(sha256|sha512)-([0-9a-f]+)\.")


class World(NamedTuple):
    side: Side
    source: ScriptedRegistry
    target: ScriptedRegistry

    def sign(self, of: build.Image, suffix: str = "sig") -> build.Image:
        """Put something under cosign's tag of an image at the source."""
        made = build.cosign_signature(of, text=f"{suffix} of {of.digest}")
        self.source.seed(APP, build.cosign_tag(of.digest, suffix), made)
        return made

    async def sync(self) -> ImageResult:
        mapping = self.side.mapping(self.source.url, self.target.url, repository=APP, tags=TagRules(glob=("1",)))
        return (await self.side.sync(mapping))[f"{self.target.host}/{APP}:1"]

    @property
    def puts(self) -> list[str]:
        """What was put at the target, in order."""
        paths = [request.path for request in self.target.requests if request.method == "PUT"]
        return [path.partition("/manifests/")[2] for path in paths if "/manifests/" in path]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A target that refuses cosign's tags before the image is there by digest (goharbor/harbor#19137)."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry())
        target = await stack.enter_async_context(ScriptedRegistry())

        def is_early(request: Request) -> bool:
            named = _NAMED.search(request.path)
            held = target.repositories[APP].manifests if APP in target.repositories else {}
            return named is not None and ":".join(named.groups()) not in held

        missing = faults.error(404, "NOT_FOUND", "the artifact is not found")
        target.on("PUT", r"/manifests/", respond=missing, when=is_early)
        yield World(await stack.enter_async_context(Side()), source, target)


@pytest.mark.parametrize("suffix", ["sig", "att", "sbom"])
@pytest.mark.parametrize("image", [IMAGE, INDEX], ids=["an image", "an index"])
async def test_what_signs_by_tag_is_put_after_the_manifest_and_before_the_tag(
    world: World, image: build.Image, suffix: str
) -> None:
    world.source.seed(APP, "1", image)
    world.sign(image, suffix)

    result = await world.sync()

    assert result.error is None, result.error
    tag = build.cosign_tag(image.digest, suffix)
    assert world.puts[-3:] == [image.digest, tag, "1"]
    assert world.puts.count(image.digest) == 1


async def test_signatures_of_all_that_an_index_leads_to_are_put_after_it(world: World) -> None:
    world.source.seed(APP, "1", INDEX)
    signed = [INDEX, INNER, *PARTS]
    for each in signed:
        world.sign(each)

    assert (await world.sync()).error is None

    for each in signed:
        assert world.puts.index(each.digest) < world.puts.index(build.cosign_tag(each.digest)) < len(world.puts) - 1
    assert world.puts[-1] == "1"


async def test_an_index_of_which_only_a_child_is_signed_is_put_once(world: World) -> None:
    world.source.seed(APP, "1", INDEX)
    world.sign(PARTS[1])

    assert (await world.sync()).error is None

    assert world.puts.index(PARTS[1].digest) < world.puts.index(build.cosign_tag(PARTS[1].digest))
    assert INDEX.digest not in world.puts


async def test_a_signature_of_an_sbom_that_belongs_to_an_image_comes_after_both(world: World) -> None:
    world.source.seed(APP, "1", IMAGE)
    by_tag = world.sign(IMAGE, "sbom")
    by_reference = build.artifact("application/spdx+json", [b"sbom"], subject=IMAGE)
    world.source.seed(APP, None, by_reference)
    for sbom in (by_tag, by_reference):
        world.sign(sbom)

    assert (await world.sync()).error is None

    puts = world.puts
    assert puts[0] == IMAGE.digest
    assert puts.index(build.cosign_tag(IMAGE.digest, "sbom")) < puts.index(build.cosign_tag(by_tag.digest))
    assert puts.index(by_reference.digest) < puts.index(build.cosign_tag(by_reference.digest))
    assert puts[-1] == "1"


async def test_a_tag_that_moves_to_a_signed_image_is_put_after_the_signature(world: World) -> None:
    world.target.seed(APP, "1", build.image(label="an older one"))
    world.source.seed(APP, "1", IMAGE)
    world.sign(IMAGE)

    assert (await world.sync()).status is Status.SYNCED

    assert world.puts == [IMAGE.digest, build.cosign_tag(IMAGE.digest), "1"]


async def test_an_image_that_is_named_by_digest_is_put_before_its_signature(world: World) -> None:
    world.source.seed(APP, None, IMAGE)
    world.sign(IMAGE)

    results = await world.side.sync(
        world.side.candidate(world.source.url, IMAGE.digest, world.target.url, artifacts=True)
    )

    assert [result.error for result in results.values()] == [None]
    assert world.puts == [IMAGE.digest, build.cosign_tag(IMAGE.digest)]
