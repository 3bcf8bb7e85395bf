"""A registry that mounts a blob only from where a manifest lists it, as ECR does (AmazonECR, blob-mounting)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.oci.providers import settings_of
from ocync.registry.upload_strategy import UploadStrategy
from ocync.transfer.result import Status
from scripted import ScriptedRegistry, build

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted.wire import Request, Response

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
MOUNT = r"/uploads/\?mount="
SHARED = [build.layer(3_000, seed) for seed in range(4)]


def only_committed(target: ScriptedRegistry) -> Callable[..., Awaitable[Response]]:
    """Refuse mounts (202) of what no manifest in the other repository lists."""

    async def action(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        digest, other = request.parameter("mount"), request.parameter("from")
        manifests = target.repository(other).manifests.values()
        target.behaviour.mount = any(str(digest).encode() in stored.raw for stored in manifests)
        return await proceed()

    return action


@pytest.mark.parametrize("index", [False, True], ids=["images", "indexes"])
async def test_blobs_are_mounted_from_images_that_are_there_and_sent_once(*, index: bool) -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry(single_post=False) as target, Side() as side:
        target.on("POST", MOUNT, respond=only_committed(target))
        for number in range(8):
            own = [*SHARED, build.layer(500, 50 + number)]
            image = build.image(own, label=str(number))
            source.seed(f"team/app{number}", "1", build.index([image]) if index else image)
        work = [side.mapping(source.url, target.url, repository=f"team/app{number}") for number in range(8)]
        client = side.repositories.client(side.config(target.url))
        client.upload_strategy = UploadStrategy(settings_of(ECR), host=ECR)

        results = await side.sync(*work)

        assert {result.status for result in results.values()} == {Status.SYNCED}
        blobs = {digest for name in source.repositories for digest in source.repository(name).blobs}
        # No mount was asked for in vain, so none was remembered as refused, and nothing was sent twice.
        assert target.count("POST", MOUNT, status=202) == 0
        assert target.count("POST", MOUNT, status=201) == 7 * len(SHARED)
        assert target.count("PUT", r"/uploads/", status=201) == len(blobs)
        assert target.incomplete_tags() == []


async def test_without_that_knowledge_the_same_pass_succeeds_too_with_more_bytes() -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry(single_post=False) as target, Side() as side:
        target.on("POST", MOUNT, respond=only_committed(target))
        for number in range(8):
            source.seed(f"team/app{number}", "1", build.image([*SHARED, build.layer(500, 50 + number)]))

        results = await side.sync(
            *(side.mapping(source.url, target.url, repository=f"team/app{number}") for number in range(8))
        )

        assert {result.status for result in results.values()} == {Status.SYNCED}
        assert target.count("POST", MOUNT, status=202) > 0
