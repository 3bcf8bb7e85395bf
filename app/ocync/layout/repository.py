"""A layout as a repository."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.layout.files import Reader, storage_errors
from ocync.layout.hashed import HashedBlobs
from ocync.layout.lock import FileLock
from ocync.layout.store import Store, damaged
from ocync.lib.errors import NotFoundError, ProtocolError, StorageError, VerificationError
from ocync.lib.limiter import Slots
from ocync.lib.threads import in_thread
from ocync.oci import manifest as manifests
from ocync.oci import referrers
from ocync.oci.digest import Digest, Verifier, verify
from ocync.oci.repository import TagPage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable
    from pathlib import Path

    from ocync.layout.atomic_file import Draft
    from ocync.layout.files import Stamp
    from ocync.layout.index import Index
    from ocync.oci.manifest import Descriptor, Manifest

PIECE = 256 * 1024
"""Bytes of a blob that are read at once."""
_BATCH = 256 * 1024
"""Bytes that are gathered before a thread writes them."""
_SLOTS = 8
_SHOWN = 20
_logger = logging.getLogger(__name__)


class LayoutUpload:
    """An `ocync.oci.repository.Upload` into a layout: a draft until all bytes are verified."""

    def __init__(self, store: Store, descriptor: Descriptor, hashed: HashedBlobs) -> None:
        self._store = store
        self._hashed = hashed
        self._digest = descriptor.digest
        self._verifier = Verifier(descriptor.digest, descriptor.size, what=f"blob {descriptor.digest}")

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Write all bytes and commit; raises StorageError, VerificationError and the errors of `pieces`."""
        draft = self._store.draft()
        try:
            await in_thread(draft.open)
            batch: list[bytes] = []
            gathered = 0
            async for piece in pieces:
                batch.append(piece)
                gathered += len(piece)
                if gathered >= _BATCH:
                    await in_thread(self._write, draft, batch)
                    batch, gathered = [], 0
            await in_thread(self._finish, draft, batch)
        finally:
            await in_thread(draft.discard)

    async def abandon(self) -> None:
        """Do nothing: `send` removes its own draft."""

    def _write(self, draft: Draft, batch: list[bytes]) -> None:
        for piece in batch:
            self._verifier.update(piece)
        draft.write(batch)

    def _finish(self, draft: Draft, batch: list[bytes]) -> None:
        self._write(draft, batch)
        self._verifier.finish()
        self._hashed.learn(draft.commit(self._store.blob_home(self._digest)), self._digest)


class LayoutRepository:
    """
    An `ocync.oci.repository.TargetRepository`: the layout in the folder FOLDER/NAME, whose tags are its ref.names.

    Nothing is created on disk before the first write. Other processes may write the same layout at the same time.
    All repositories of a folder share `slots` and `hashed`. Raises StorageError for a name that leaves the folder.
    """

    def __init__(
        self, folder: Path, name: str, *, slots: Slots | None = None, hashed: HashedBlobs | None = None
    ) -> None:
        if any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
            raise StorageError(f"{name!r} can't be a repository in the folder {folder}")
        self._folder = folder
        self.host = f"oci:{folder}"
        self.path = name
        self.name = f"{self.host.rstrip('/')}/{name}"
        self.mounts_after_commit = False
        self.slots = self.blob_slots = self.upload_slots = slots or Slots(self.host, _SLOTS)
        self._store = Store(folder / name)
        self._hashed = hashed or HashedBlobs()
        self._lock = FileLock(self._store.lock)
        self._preparing = asyncio.Lock()
        self._prepared = False
        self._attaching = asyncio.Lock()
        self._attached: tuple[Index, dict[Digest, list[Descriptor]]] | None = None

    def __repr__(self) -> str:
        return f"<LayoutRepository {self.name}>"

    async def answers(self, within: float) -> bool:
        """Return true: a folder is always available."""
        return True

    async def tags(self) -> tuple[str, ...]:
        """Return all tags in the order of index.json; raises NotFoundError if there is no layout."""
        return (await self._index()).tags()

    async def first_tags(self) -> TagPage:
        """Return all tags; none if there is no layout."""
        index = await in_thread(self._store.index)
        return TagPage(tags=index.tags() if index else (), complete=True)

    async def head(self, reference: str) -> Descriptor | None:
        """
        Return the descriptor of a tag or digest, if its manifest exists and is usable.

        A damaged manifest or an ambiguous tag is logged and counts as missing, so that a copy repairs it.
        `manifest` raises the error instead.
        """
        try:
            return (await self.manifest(reference)).descriptor
        except NotFoundError:
            return None
        except (VerificationError, ProtocolError) as error:
            _logger.warning("unusable image: %s", error, extra={"repository": self.name, "reference": reference})
            return None

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """Read and verify a manifest by tag or digest."""
        digest, entry = self._resolve(await self._index(), reference)
        expected = entry.size if entry and size is None else size
        raw = await in_thread(self._store.read_manifest, digest, expected)
        if raw is None:
            raise self._missing(digest)
        content_type = entry.media_type if entry else None
        return manifests.parse(raw, content_type=content_type, digest=digest, where=f"{self.name} {reference}")

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """
        Return the referrers among the nameless entries of index.json, where oras puts them, and the fallback tag.

        None if no nameless entry refers to the subject: then only the fallback tag lists referrers.
        """
        index = await in_thread(self._store.index)
        if index is None:
            return None
        async with self._attaching:
            if self._attached is None or self._attached[0] is not index:
                self._attached = (index, await self._by_subject(index))
            found = list(self._attached[1].get(subject, ()))
        if not found:
            return None
        tag = referrers.fallback_tag(subject)
        if tag in index.tags():
            listed = await self.manifest(tag)
            found += listed.children if referrers.is_list(listed, subject) else ()
        return tuple({descriptor.digest: descriptor for descriptor in reversed(found)}.values())

    async def _by_subject(self, index: Index) -> dict[Digest, list[Descriptor]]:
        """Return the nameless manifests with a subject, by subject."""
        found: dict[Digest, list[Descriptor]] = {}
        for entry in index.entries:
            if entry.name is not None:
                continue
            try:
                manifest = await self.manifest(str(entry.descriptor.digest), size=entry.descriptor.size)
            except (NotFoundError, VerificationError, ProtocolError) as error:
                _logger.warning("unusable manifest, perhaps of an artifact: %s", error.message)
                continue
            if manifest.subject is not None:
                descriptor = replace(manifest.descriptor, artifact_type=referrers.type_of(manifest))
                found.setdefault(manifest.subject.digest, []).append(descriptor)
        return found

    @asynccontextmanager
    async def blob(self, descriptor: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """
        Open a blob from the byte `start` on.

        Raises VerificationError if its size is wrong or it is known to be damaged.
        """
        path = await in_thread(self._store.find_blob, descriptor.digest)
        if path is None:
            raise self._missing(descriptor.digest)
        reader = Reader(path)
        try:
            await in_thread(reader.open)
            if reader.size != descriptor.size:
                raise damaged(path, f"it has {reader.size} bytes, not {descriptor.size}")
            if self._hashed.is_damaged(reader.stamp, descriptor.digest):
                raise damaged(path, "its bytes are not those that its name promises")
            await in_thread(reader.skip, start)
            async with aclosing(_pieces(reader)) as pieces:
                yield pieces
        finally:
            reader.close()

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """
        Return whether the layout holds the blob with the right bytes; each file is read once in a pass.

        One that is damaged or unreadable is logged and counts as missing, so that a copy repairs it.
        """
        path = await in_thread(self._store.find_blob, descriptor.digest)
        return path is not None and await self._hashed.check(path, descriptor) is not None

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> LayoutUpload | None:
        """
        Open an upload, or mount the blob from another layout of the folder and return None.

        A mount is a hard link to a file that was hashed in this pass. It is a verified copy if no link is possible,
        if the file belongs to another user, or if a symbolic link leads out of the folder. Damaged blobs are not
        mounted.
        """
        await self._prepare()
        if mount_from is not None and await self._mount(descriptor, mount_from):
            return None
        return LayoutUpload(self._store, descriptor, self._hashed)

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """
        Store the manifest, list it in index.json if there is a tag, and return False: referrers are not listed.

        Raises ProtocolError, as a registry would, if something that it lists is missing or damaged.
        """
        verify(manifest.raw, manifest.digest, None, what=f"manifest {manifest.digest}")
        await self._prepare()
        parts = [part for part in (*manifest.blobs, *manifest.children) if not part.is_foreign]
        missing = [str(part.digest) for part in parts if not await self.has_blob(part)]
        if missing:
            raise ProtocolError(
                f"{self.name} does not hold what {manifest.digest} lists: {_shortened(missing)}",
                code="MANIFEST_BLOB_UNKNOWN",
            )
        await in_thread(self._store.write_manifest, manifest)
        if tag is not None:
            descriptor = replace(manifest.descriptor, artifact_type=manifest.artifact_type)
            async with self._lock.hold():
                await in_thread(self._store.point, tag, descriptor)
        return False

    async def _prepare(self) -> None:
        async with self._preparing:
            if not self._prepared:
                await in_thread(self._store.make_scratch)
                async with self._lock.hold():
                    await in_thread(self._store.establish)
                self._prepared = True

    async def _mount(self, descriptor: Descriptor, mount_from: str) -> bool:
        source = LayoutRepository(self._folder, mount_from, slots=self.slots, hashed=self._hashed)
        try:
            if await self.has_blob(descriptor):
                return True
            path = await in_thread(source._store.find_blob, descriptor.digest)
            stamp = None if path is None else await self._hashed.check(path, descriptor)
            if path is None or stamp is None:
                return False
            linked = await in_thread(self._link, path, stamp, descriptor.digest)
            if linked is not None:
                self._hashed.learn(linked, descriptor.digest)
                return True
            async with source.blob(descriptor) as pieces:
                await LayoutUpload(self._store, descriptor, self._hashed).send(pieces)
        except (NotFoundError, VerificationError, StorageError) as error:
            # An upload may still work; if the target can't be written, it raises the error.
            _logger.debug("can't mount a blob: %s", error, extra={"repository": self.name, "from": mount_from})
            return False
        return True

    def _link(self, path: Path, stamp: Stamp, digest: Digest) -> Stamp | None:
        """Link a blob if both ends really are in the folder: files outside of it are not shared."""
        with storage_errors("read", self._folder):
            folder = self._folder.resolve(strict=True)
            ends = (path, self._store.root.resolve(strict=True))
        return self._store.link(path, stamp, digest) if all(end.is_relative_to(folder) for end in ends) else None

    async def _index(self) -> Index:
        index = await in_thread(self._store.index)
        if index is None:
            raise NotFoundError(
                f"there is no OCI layout {self._store.root}",
                hint="name a folder that holds an index.json, as oci:FOLDER/repository",
            )
        return index

    def _resolve(self, index: Index, reference: str) -> tuple[Digest, Descriptor | None]:
        """Return the digest of a reference, and its descriptor if index.json lists it."""
        try:
            if ":" in reference:
                digest = Digest.parse(reference)
                return digest, index.describe(digest)
            found = index.find(reference)
        except ValueError as error:
            raise ProtocolError(f"{self.name}: {error}", hint="name an image by its digest: @sha256:…") from error
        if found is None:
            raise NotFoundError(f"{self.name} has no tag {reference}", hint=_available(index))
        return found.digest, found

    def _missing(self, digest: Digest) -> NotFoundError:
        return NotFoundError(
            f"{self.name} has no blob {digest}",
            hint="the layout is incomplete: copy the image into it again",
        )


async def _pieces(reader: Reader) -> AsyncGenerator[bytes, None]:
    while piece := await in_thread(reader.read, PIECE):
        yield piece


def _available(index: Index) -> str:
    tags = index.tags()
    if tags:
        return f"it has {_shortened(tags)}"
    if index.entries:
        return f"its images have no tag: name one by its digest, as @{index.entries[0].descriptor.digest}"
    return "it holds no images"


def _shortened(names: Iterable[str]) -> str:
    every = list(names)
    others = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {others} others" if others > 0 else "")
