"""One repository of a registry, as `ocync.oci.repository` asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.registry import uploads
from ocync.registry.blob_reader import BlobReader
from ocync.registry.limits.kinds import Kind
from ocync.registry.manifest_api import ManifestApi
from ocync.registry.referrers_api import ReferrersApi
from ocync.registry.repository_api import RepositoryApi
from ocync.registry.tag_list import TagList

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from ocync.lib.limiter import Lane, Slots
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import TagPage, Upload
    from ocync.registry.client import RegistryClient
    from ocync.registry.repository_creation import RepositoryCreation


class RegistryRepository:
    """Reads and, when `writable`, writes one repository; credentials are asked for no more than that."""

    def __init__(
        self,
        client: RegistryClient,
        name: RepositoryName,
        *,
        writable: bool = False,
        creation: RepositoryCreation | None = None,
    ) -> None:
        """`creation` makes the repository where a write finds that it is missing; without one, that is an error."""
        self._client = client
        self._api = RepositoryApi(client, name, writable=writable, creation=creation)
        self._tags = TagList(self._api)
        self._referrers = ReferrersApi(self._api)
        self._manifests = ManifestApi(self._api)
        self._blobs = BlobReader(self._api)

    def __repr__(self) -> str:
        return f"<RegistryRepository {self.name}>"

    @property
    def name(self) -> str:
        """`host/repository`."""
        return self._api.name

    @property
    def host(self) -> str:
        """The registry's host."""
        return self._client.host

    @property
    def path(self) -> str:
        """The repository's name at the registry."""
        return self._api.path

    @property
    def slots(self) -> Slots:
        """What limits requests to the registry."""
        return self._client.slots

    @property
    def blob_slots(self) -> Slots | Lane:
        """What a read of a blob holds one of."""
        return self._client.limits.bucket(Kind.BLOB)

    @property
    def upload_slots(self) -> Slots | Lane:
        """What the sending of a blob holds one of."""
        return self._client.limits.bucket(Kind.UPLOAD)

    @property
    def pages_listed(self) -> int:
        """How many pages of its tag list were asked for so far, retries not counted."""
        return self._tags.pages

    @property
    def referrer_pages(self) -> int:
        """How many pages of lists of referrers were asked for so far, retries not counted."""
        return self._referrers.pages

    @property
    def lists_referrers(self) -> bool | None:
        """Whether it has the referrers API; None while that is not known."""
        return self._referrers.supported

    async def answers(self, within: float) -> bool:
        """Wait for the registry where it is away; see `ocync.oci.repository.Repository`."""
        return await self._client.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        return await self._tags.all()

    async def first_tags(self) -> TagPage:
        """Return what the first page of the tag list tells."""
        return await self._tags.first()

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to; None when it is not there."""
        return await self._manifests.head(reference)

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """Fetch and verify a manifest."""
        return await self._manifests.fetch(reference, size=size)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what the referrers API lists; None where there is none."""
        return await self._referrers.of(subject)

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a blob for one read from the byte `start` on; the caller holds a slot."""
        return self._blobs.open(descriptor, start=start)

    async def has_blob(self, descriptor: Descriptor) -> bool | None:
        """Return whether the repository holds the blob; None if it refuses to say so."""
        return await self._blobs.has(descriptor)

    @property
    def mounts_after_commit(self) -> bool:
        """Whether the host is known to mount a blob only from where a manifest lists it."""
        return self._client.upload_strategy.mounts_after_commit

    @property
    def single_post(self) -> bool | None:
        """Whether the host takes a blob by one POST; None where it has not shown that yet."""
        return self._client.upload_strategy.single_post

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """Open an upload, or mount the blob (None)."""
        upload = await self._api.write(lambda: uploads.open_upload(self._api, descriptor, mount_from=mount_from))
        creation = self._api.creation
        return creation.guarded(self._api.path, upload) if creation and upload else upload

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Store the manifest under its digest or a tag; return whether its subject was taken note of."""
        return await self._manifests.put(manifest, tag=tag)
