"""A refusal slows down the kind of request that was refused, and no other."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor, manifest_of, read
from ocync.config.model import Timeouts
from ocync.lib.errors import OcyncError
from ocync.oci import manifest as manifests
from ocync.oci.digest import Digest
from ocync.oci.reference import Registry
from ocync.registry.client import RegistryClient
from ocync.registry.http.pool import Pool
from ocync.registry.limits.host import Asked, HostLimits
from ocync.registry.limits.kinds import Kind
from ocync.registry.repository import RegistryRepository
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from scripted import ScriptedRegistry, build, faults
from scripted.evidence import PASSES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from scripted.content import Bytes

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


class NotedLimits(HostLimits):
    """Limits that remember which of them was asked."""

    def __init__(self, host: str) -> None:
        super().__init__(host, 8)
        self.noted: list[Kind] = []

    def asked(self, kind: Kind) -> Asked:
        self.noted.append(kind)
        return super().asked(kind)

    def take(self) -> list[Kind]:
        noted, self.noted = self.noted, []
        return noted


async def pieces(data: bytes) -> Bytes:
    yield data


@pytest.fixture
def by_hand() -> Iterator[None]:
    """Have no pass judged: what is put here was never read."""
    with PASSES.by_hand():
        yield


@pytest.mark.usefixtures("by_hand")
async def test_a_request_counts_for_the_kind_of_what_it_asks_for() -> None:
    async with ScriptedRegistry() as registry:
        # Names that are words of paths do not mislead.
        name = "manifests/blobs"
        registry.seed(name, "1.0", IMAGE)
        address = Registry.parse(registry.url)
        limits = NotedLimits(address.host)
        pool = Pool(trust=ssl.create_default_context)
        client = RegistryClient(
            registry=address,
            pool=pool,
            limits=limits,
            policy=RetryPolicy(),
            timeouts=Timeouts(),
            tally=RequestTally(),
        )
        repository = RegistryRepository(client, address.repository(name), writable=True)
        data = b"some bytes"
        blob = descriptor(data)

        await repository.head("1.0")
        await repository.manifest("1.0")
        await repository.manifest(IMAGE.digest)
        await repository.tags()
        await repository.first_tags()
        await repository.referrers(Digest.parse(IMAGE.digest))
        assert not await repository.has_blob(blob)
        assert limits.take() == [Kind.METADATA] * 7

        for _ in range(2):
            upload = await repository.open_upload(blob)
            assert upload is not None
            async with repository.slots.hold():
                await upload.send(pieces(data))
        upload = await repository.open_upload(descriptor(b"x" * 100_000))
        assert upload is not None
        await upload.abandon()
        await repository.open_upload(blob, mount_from="other/app")
        assert set(limits.take()) == {Kind.UPLOAD}

        assert await read(repository, blob) == data
        assert limits.take() == [Kind.BLOB]

        manifest = manifest_of(IMAGE)
        await repository.put_manifest(manifest)
        await repository.put_manifest(manifest, tag="2.0")
        assert limits.take() == [Kind.MANIFEST] * 2
        await pool.close()
