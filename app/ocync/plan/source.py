"""One tag of a source, resolved once in a pass for all of its targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, NotFoundError, ProtocolError
from ocync.lib.singleflight import Memo
from ocync.oci.manifest import select_platforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.platform import Platform
    from ocync.oci.repository import Repository


@dataclass(frozen=True, slots=True)
class Root:
    """The manifest that a tag points to, reduced to the selected platforms."""

    manifest: Manifest
    original: Digest | None = None
    """The digest of the source's own index, if `platforms` reduced it."""


class SourceImage:
    """
    A tag (or digest) of a source repository.

    `hosts` names the host of each target. A host in it may still need the image's blobs: reads of a blob wait a
    moment for it.
    """

    def __init__(
        self,
        repository: Repository,
        tag: str,
        *,
        platforms: tuple[Platform, ...] = (),
        hosts: Iterable[str] = (),
        finished: Callable[[], None] = lambda: None,
    ) -> None:
        self.repository = repository
        self.tag = tag
        self.platforms = platforms
        of_targets = list(hosts)
        self.hosts = set(of_targets)
        self.is_begun = False
        """Whether a target has started on it: others that start soon share its reads of blobs."""
        self._left = len(of_targets)
        self._finished = finished
        self._head: Memo[str, Descriptor] = Memo()
        self._root: Memo[str, Root] = Memo()
        self._resolved: Descriptor | None = None

    def __repr__(self) -> str:
        return f"<SourceImage {self.repository.name}:{self.tag}>"

    def finish(self, host: str) -> None:
        """Record that one target, at this host, needs nothing more of the image."""
        self._left -= 1
        if not self._left:
            # There may be ten thousand images. A later audit reads the manifest again, by its digest.
            self.drop()
        if host in self.hosts:
            self.hosts.discard(host)
            self._finished()

    def drop(self) -> None:
        """Drop the manifest from memory; the next call of `root` reads it again."""
        self._root.forget("")

    async def head(self) -> Descriptor:
        """Return what the tag points to; raises OcyncError."""
        if self._resolved is not None:
            return self._resolved
        return await self._head.get("", self._look)

    async def _look(self) -> Descriptor:
        descriptor = await self.repository.head(self.tag)
        if descriptor is None:
            # The error of a GET says more: which tags there are, or what is wrong.
            return (await self.root()).manifest.descriptor
        self._resolved = self._resolved or descriptor
        return self._resolved

    async def root(self) -> Root:
        """Return the manifest to copy; raises OcyncError."""
        return await self._root.get("", self._fetch)

    async def _fetch(self) -> Root:
        manifest = await self._manifest()
        self._resolved = manifest.descriptor
        if not self.platforms or not manifest.is_index:
            return Root(manifest)
        try:
            selected = select_platforms(manifest, self.platforms)
        except ValueError as error:
            raise ProtocolError(
                f"{self.repository.name}:{self.tag}: {error}",
                host=self.repository.host,
                hint="change platforms, or leave the tag out",
            ) from error
        return Root(manifest) if selected.digest == manifest.digest else Root(selected, manifest.digest)

    async def _manifest(self) -> Manifest:
        known = self._resolved
        if known is None:
            return await self.repository.manifest(self.tag)
        try:
            return await self.repository.manifest(str(known.digest))
        except (NotFoundError, AuthError):
            # Gone since the HEAD, or never there: some registries answer a HEAD with a wrong digest, and some
            # answer 403 for what they do not have.
            return await self.repository.manifest(self.tag)
