"""
A place in memory that answers to `ocync.oci.repository`, for tests of the engine where the order of events matters.

Every call gives way to other tasks as often as a script says, and fails where a script says; tags that point to
something incomplete are noticed at once.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocync.lib.errors import NotFoundError, OcyncError
from ocync.lib.limiter import Slots
from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor, Manifest
from ocync.oci.repository import TagPage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.oci.platform import Platform


class Place:
    """Repositories of one registry; `step(operation, repository, digest)` gives turns to wait, and an error."""

    def __init__(
        self,
        name: str,
        *,
        slots: int = 4,
        mounts: bool = True,
        mounts_after_commit: bool = False,
        step: Callable[..., tuple[int, OcyncError | None]] | None = None,
    ) -> None:
        self.name = name
        self.slots = Slots(name, slots)
        self.mounts = mounts
        self.mounts_after_commit = mounts_after_commit
        """Whether blobs are mounted only from where a manifest lists them."""
        self.step = step or (lambda *_call: (1, None))
        self.blobs: dict[str, dict[Digest, bytes]] = {}
        self.stored: dict[str, dict[Digest, Manifest]] = {}
        self.tagged: dict[str, dict[str, Digest]] = {}
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.incomplete: list[str] = []

    def repository(self, path: str) -> MemoryRepository:
        self.blobs.setdefault(path, {})
        self.stored.setdefault(path, {})
        self.tagged.setdefault(path, {})
        return MemoryRepository(self, path)

    def grants(self, digest: Digest, holder: str) -> bool:
        """Tell whether a blob is mounted from a repository."""
        listed = {blob.digest for manifest in self.stored[holder].values() for blob in manifest.blobs}
        is_there = digest in self.blobs[holder]
        return self.mounts and is_there and (digest in listed or not self.mounts_after_commit)

    def count(self, operation: str) -> int:
        return sum(number for (name, _, _), number in self.calls.items() if name == operation)

    async def call(self, operation: str, path: str, subject: object) -> None:
        self.calls[operation, path, str(subject)] += 1
        turns, error = self.step(operation, path, str(subject))
        for _ in range(turns):
            await asyncio.sleep(0)
        if error is not None:
            raise error


class MemoryRepository:
    def __init__(self, host: Place, path: str) -> None:
        self._place = host
        self.path = path

    @property
    def name(self) -> str:
        return f"{self._place.name}/{self.path}"

    @property
    def host(self) -> str:
        return self._place.name

    @property
    def mounts_after_commit(self) -> bool:
        return self._place.mounts_after_commit

    @property
    def slots(self) -> Slots:
        return self._place.slots

    @property
    def blob_slots(self) -> Slots:
        return self._place.slots

    @property
    def upload_slots(self) -> Slots:
        return self._place.slots

    async def tags(self) -> tuple[str, ...]:
        await self._place.call("tags", self.path, "")
        return tuple(self._place.tagged[self.path])

    async def first_tags(self) -> TagPage:
        return TagPage(tags=await self.tags(), complete=True)

    async def head(self, reference: str) -> Descriptor | None:
        await self._place.call("head", self.path, reference)
        found = self._find(reference)
        return found.descriptor if found else None

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        await self._place.call("manifest", self.path, reference)
        found = self._find(reference)
        if found is None:
            raise NotFoundError(f"{self.name} has no {reference}")
        assert size is None or size == found.size
        return found

    def _find(self, reference: str) -> Manifest | None:
        digest = Digest.parse(reference) if ":" in reference else self._place.tagged[self.path].get(reference)
        return self._place.stored[self.path].get(digest) if digest else None

    @asynccontextmanager
    async def blob(self, descriptor: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        await self._place.call("read", self.path, descriptor.digest)
        data = self._place.blobs[self.path].get(descriptor.digest)
        if data is None:
            raise NotFoundError(f"{self.name} has no {descriptor.digest}")
        yield self._pieces(descriptor, data[start:])

    async def _pieces(self, descriptor: Descriptor, data: bytes) -> AsyncIterator[bytes]:
        half = len(data) // 2
        for piece in (data[:half], data[half:]):
            await self._place.call("piece", self.path, descriptor.digest)
            if piece:
                yield piece

    async def has_blob(self, descriptor: Descriptor) -> bool:
        await self._place.call("has", self.path, descriptor.digest)
        return descriptor.digest in self._place.blobs[self.path]

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> MemoryUpload | None:
        await self._place.call("mount" if mount_from else "open", self.path, descriptor.digest)
        if mount_from is not None and self._place.grants(descriptor.digest, mount_from):
            self._place.blobs[self.path][descriptor.digest] = self._place.blobs[mount_from][descriptor.digest]
            return None
        return MemoryUpload(self._place, self.path, descriptor)

    async def answers(self, within: float) -> bool:
        return True

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return None

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        await self._place.call("put", self.path, tag or manifest.digest)
        lacking = [d for d in manifest.blobs if not d.is_foreign and d.digest not in self._place.blobs[self.path]]
        lacking += [d for d in manifest.children if d.digest not in self._place.stored[self.path]]
        if lacking:
            self._place.incomplete.append(f"{self.name}:{tag or manifest.digest}")
        self._place.stored[self.path][manifest.digest] = manifest
        if tag is not None:
            self._place.tagged[self.path][tag] = manifest.digest
        return False


class MemoryUpload:
    def __init__(self, host: Place, path: str, descriptor: Descriptor) -> None:
        self._place = host
        self._path = path
        self._descriptor = descriptor

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        await self._place.call("send", self._path, self._descriptor.digest)
        data = b"".join([piece async for piece in pieces])
        await self._place.call("commit", self._path, self._descriptor.digest)
        assert Digest.of(data) == self._descriptor.digest, "a body that lies was sent whole"
        self._place.blobs[self._path][self._descriptor.digest] = data

    async def abandon(self) -> None:
        self._place.calls["abandon", self._path, str(self._descriptor.digest)] += 1


def put_image(repository: MemoryRepository, tag: str, *layers: bytes) -> Manifest:
    """Store an image of these layers under a tag, with nothing asked or counted."""
    manifest = _manifest(repository, layers)
    _tag(repository, tag, manifest)
    return manifest


def put_index(
    repository: MemoryRepository, tag: str, *images: tuple[bytes, ...], platforms: tuple[Platform, ...] = ()
) -> Manifest:
    """Store an index of images, each given by its layers, under a tag."""
    children = [_fields(_manifest(repository, layers).descriptor) for layers in images]
    for child, platform in zip(children, platforms, strict=False):
        child["platform"] = {"os": platform.os, "architecture": platform.architecture}
    body: dict[str, object] = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": children}
    index = _parsed(body)
    _tag(repository, tag, index)
    return index


def _tag(repository: MemoryRepository, tag: str, manifest: Manifest) -> None:
    host = repository._place
    host.stored[repository.path][manifest.digest] = manifest
    host.tagged[repository.path][tag] = manifest.digest


def _manifest(repository: MemoryRepository, layers: tuple[bytes, ...]) -> Manifest:
    host = repository._place
    config = json.dumps({"layers": len(layers)}).encode()
    for data in (config, *layers):
        host.blobs[repository.path][Digest.of(data)] = data
    manifest = _parsed(
        {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": _fields(_described(config, "application/vnd.oci.image.config.v1+json")),
            "layers": [_fields(_described(layer, "application/vnd.oci.image.layer.v1.tar")) for layer in layers],
        }
    )
    host.stored[repository.path][manifest.digest] = manifest
    return manifest


def _described(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))


def _fields(descriptor: Descriptor) -> dict[str, object]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def _parsed(body: dict[str, object]) -> Manifest:
    raw = json.dumps(body).encode()
    return manifests.parse(raw, content_type=None, digest=Digest.of(raw), where="test")
