"""Repositories that a push finds missing: each is made once in a pass, and then the push goes on."""

from __future__ import annotations

import asyncio
import logging
from copy import copy
from typing import TYPE_CHECKING, TypeVar

from ocync.lib.errors import NotFoundError, OcyncError
from ocync.lib.singleflight import Memo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ocync.oci.repository import Upload

log = logging.getLogger(__name__)

T = TypeVar("T")

_MISSING = "NAME_UNKNOWN"
_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries to write to a repository just made: not all of a registry need know of it yet."""


class RepositoryCreation:
    """
    Makes the repositories of one registry.

    `create` makes one, and is content where it is there already; what it raises goes to all who want this
    repository, also to those that come later, unless it is worth another try.
    """

    def __init__(
        self,
        create: Callable[[str], Awaitable[None]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._create = create
        self._sleep = sleep
        self._refused: dict[str, OcyncError] = {}
        self._made = Memo[str, None]()

    async def writing(self, repository: str, write: Callable[[], Awaitable[T]]) -> T:
        """Return what `write` does, after making the repository where it says that there is none."""
        try:
            return await write()
        except NotFoundError as error:
            if error.code != _MISSING:
                raise
            await self._make(repository)
        for wait in _WAITS:
            try:
                return await write()
            except NotFoundError as error:
                if error.code != _MISSING:
                    raise
                log.debug("%s is not known yet: %s", repository, error)
            await self._sleep(wait)
        return await write()

    def guarded(self, repository: str, upload: Upload) -> Upload:
        """Return the upload as one that makes the repository where only the blob's bytes find out that it lacks."""
        return _GuardedUpload(upload, lambda: self._make(repository))

    async def _make(self, repository: str) -> None:
        """Make the repository, unless it was made already; raises what the one try that counts has raised."""
        if (refused := self._refused.get(repository)) is not None:
            raise copy(refused).with_traceback(None)
        await self._made.get(repository, lambda: self._made_by(repository))

    async def _made_by(self, repository: str) -> None:
        try:
            await self._create(repository)
        except OcyncError as error:
            if not error.retryable:
                self._refused[repository] = error
            raise


class _GuardedUpload:
    """An upload whose bytes may find the repository missing: they are gone then, and another upload will do."""

    def __init__(self, upload: Upload, make: Callable[[], Awaitable[None]]) -> None:
        self._upload = upload
        self._make = make

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all bytes and commit; see `ocync.oci.repository.Upload`."""
        try:
            await self._upload.send(pieces)
        except NotFoundError as error:
            if error.code != _MISSING:
                raise
            await self._make()
            error.retryable = True
            raise

    async def abandon(self) -> None:
        """Cancel what may have been opened."""
        await self._upload.abandon()
