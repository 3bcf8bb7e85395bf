"""A refusal slows down the kind of request that was refused, and no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor, read
from ocync.lib.errors import OcyncError
from ocync.oci import manifest as manifests
from ocync.oci.digest import Digest
from ocync.registry.limits.kinds import Kind
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.registry.repository import RegistryRepository

IMAGE = build.image()
BLOB = descriptor(b"x" * 100_000)


async def mount(repository: RegistryRepository) -> object:
    return await repository.open_upload(BLOB, mount_from="team/other")


async def put(repository: RegistryRepository) -> object:
    raw = IMAGE.root.raw
    manifest = manifests.parse(raw, content_type=None, digest=Digest.of(raw), where="an image", host="host")
    return await repository.put_manifest(manifest, tag="2")


OPERATIONS: dict[str, tuple[str, str, Kind, Callable[[RegistryRepository], Awaitable[object]]]] = {
    "look up a tag": ("HEAD", r"/manifests/", Kind.METADATA, lambda repository: repository.head("1")),
    "fetch a manifest": ("GET", r"/manifests/", Kind.METADATA, lambda repository: repository.manifest("1")),
    "list tags": ("GET", r"/tags/list", Kind.METADATA, lambda repository: repository.tags()),
    "list referrers": (
        "GET",
        r"/referrers/",
        Kind.METADATA,
        lambda repository: repository.referrers(Digest.parse(IMAGE.digest)),
    ),
    "look for a blob": ("HEAD", r"/blobs/sha256", Kind.METADATA, lambda repository: repository.has_blob(BLOB)),
    "read a blob": ("GET", r"/blobs/sha256", Kind.BLOB, lambda repository: read(repository, BLOB)),
    "open an upload": ("POST", r"/blobs/uploads/", Kind.UPLOAD, lambda repository: repository.open_upload(BLOB)),
    "mount a blob": ("POST", r"/blobs/uploads/", Kind.UPLOAD, mount),
    "put a manifest": ("PUT", r"/manifests/", Kind.MANIFEST, put),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_refusal_counts_for_the_kind_of_request_that_was_refused(name: str) -> None:
    method, path, kind, act = OPERATIONS[name]
    async with (
        ScriptedRegistry(single_post=False) as registry,
        Side(slots=50, attempts=2, sleep=asyncio.sleep) as side,
    ):
        registry.seed("team/app", "1", IMAGE)
        registry.on(method, path, respond=faults.too_many(seconds=0))
        with pytest.raises(OcyncError):
            await act(side.repository(registry.url))

        assert registry.count(method, path) >= 1
        assert set(side.repositories.client(side.config(registry.url)).limits.learned()) == {kind}
