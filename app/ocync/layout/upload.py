"""Blobs on their way into a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.lib.threads import in_thread
from ocync.oci.digest import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.layout.atomic_file import Draft
    from ocync.layout.hashed import Sound
    from ocync.layout.store import Store
    from ocync.oci.manifest import Descriptor

BATCH = 256 * 1024
"""Bytes that are gathered before a thread writes them."""


class LayoutUpload:
    """An `ocync.oci.repository.Upload` into a layout: a draft until all bytes came and hash to the digest."""

    def __init__(self, store: Store, descriptor: Descriptor, sound: Sound) -> None:
        self._store = store
        self._sound = sound
        self._digest = descriptor.digest
        self._verifier = Verifier(descriptor.digest, descriptor.size, what=f"blob {descriptor.digest}")

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Write all bytes and commit; raises StorageError, VerificationError, and whatever `pieces` raises."""
        draft = self._store.draft()
        try:
            await in_thread(draft.open)
            batch: list[bytes] = []
            gathered = 0
            async for piece in pieces:
                batch.append(piece)
                gathered += len(piece)
                if gathered >= BATCH:
                    await in_thread(self._write, draft, batch)
                    batch, gathered = [], 0
            await in_thread(self._finish, draft, batch)
        finally:
            await in_thread(draft.discard)

    async def abandon(self) -> None:
        """Do nothing: what `send` began it has removed itself."""

    def _write(self, draft: Draft, batch: list[bytes]) -> None:
        for piece in batch:
            self._verifier.update(piece)
        draft.write(batch)

    def _finish(self, draft: Draft, batch: list[bytes]) -> None:
        self._write(draft, batch)
        self._verifier.finish()
        self._sound.learn(draft.commit(self._store.blob_home(self._digest)), self._digest)
