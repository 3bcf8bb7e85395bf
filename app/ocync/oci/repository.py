"""
What a pass may ask of a place where images live.

Two things answer to these protocols: a registry (`ocync.registry`) and an OCI image layout on disk
(`ocync.layout`). The plan reads through `Repository`; only the transfer calls the methods of `TargetRepository`
that write.

Every method raises errors of `ocync.lib.errors` and nothing else, but for cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from ocync.lib.limiter import Lane, Slots
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPage:
    """Tags of a repository; `complete` says that there are no others."""

    tags: tuple[str, ...]
    complete: bool


class Repository(Protocol):
    """One repository that can be read."""

    @property
    def name(self) -> str:
        """How reports name it: `cgr.dev/chainguard/static`, `oci:./mirror/static`."""

    @property
    def host(self) -> str:
        """The registry's host, or `oci:FOLDER`: blobs can be mounted between repositories of the same place."""

    @property
    def path(self) -> str:
        """The repository's name within its place, as mounts name it."""

    @property
    def slots(self) -> Slots:
        """What limits the requests at this place."""

    @property
    def blob_slots(self) -> Slots | Lane:
        """What a caller of `blob` holds one of."""

    @property
    def upload_slots(self) -> Slots | Lane:
        """What a caller of `Upload.send` holds one of."""

    async def answers(self, within: float) -> bool:
        """
        Wait for a place that is away: tell whether it answers within so many seconds, however it does.

        False comes early when the pass is ending. Raises nothing but cancellation.
        """

    async def tags(self) -> tuple[str, ...]:
        """Return all tags, each once; raises NotFoundError when the repository does not exist."""

    async def first_tags(self) -> TagPage:
        """Return what one request tells of the tags; a repository that does not exist has none."""

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to without fetching it; None when it is not there."""

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """
        Fetch and verify a manifest by tag or digest; raises NotFoundError, VerificationError, ProtocolError.

        `size` is what a descriptor promised, where there is one.
        """

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """
        Return what refers to a manifest by its `subject`, as far as the place keeps account of it.

        None means that it does not: then a tag may list them (`ocync.oci.referrers.fallback_tag`).
        """

    def blob(self, descriptor: Descriptor, *, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """
        Open a blob for one read from the byte `start` on: `async with repository.blob(d) as pieces: async for …`.

        Pieces are not yet verified: who consumes them holds a Verifier. They are not larger than 1 MiB. No limit of
        time runs while nobody asks for a piece; a piece that does not come is an error of the wait for it.
        """


class Upload(Protocol):
    """A blob that a target is ready to take, with a session that it has opened or without; it is used once."""

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """
        Send all bytes and commit: afterwards the repository holds the blob under its digest.

        The target may be asked for the first time now: what `open_upload` raises may be raised here. When `pieces`
        raises, or the target refuses, nothing is committed and the error goes on to the caller.
        """

    async def abandon(self) -> None:
        """Give up what has been opened, as far as the target lets us; never raises for what the target answers."""


class TargetRepository(Repository, Protocol):
    """One repository that can also be written to."""

    @property
    def mounts_after_commit(self) -> bool:
        """Whether a blob can only be mounted from here when a manifest here lists it."""

    async def has_blob(self, descriptor: Descriptor) -> bool | None:
        """Return whether the repository holds the blob; None if it refuses to say so."""

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """
        Prepare an upload, asking first for a mount from another repository (its `path`) of the same place.

        None means that the mount was granted: the repository holds the blob. A place that does not mount answers
        with an upload.
        """

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """
        Store the manifest under its digest, or under a tag; what it lists has to be there before.

        Tells whether the place will list it among the referrers of its subject (OCI-Subject); if it does not, the
        fallback tag has to.
        """
