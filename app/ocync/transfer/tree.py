"""The manifests of one image: read from the target if it has them, else from the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.lib import remedies
from ocync.lib.errors import NotFoundError, OcyncError, ProtocolError, QuotaError, RegistryError, VerificationError
from ocync.lib.singleflight import Flights
from ocync.lib.tasks import each_of
from ocync.oci.manifest import REFERENCE_DIGEST
from ocync.plan.budget import MAX_DEPTH

if TYPE_CHECKING:
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository
    from ocync.plan.budget import Budget
    from ocync.transfer.destination import Destination

_CACHED = 16 * 1024 * 1024
"""Bytes of manifests of both sides that are kept for other images and targets."""


@dataclass(slots=True)
class Tree:
    """An image's manifests, except those below a manifest that this pass has seen whole at the target."""

    root: Manifest
    levels: list[list[Manifest]] = field(default_factory=list)
    """The manifests below the root, one list for each level."""
    present: set[Digest] = field(default_factory=set)
    """Manifests that the target has; what is below them may be missing."""

    @property
    def manifests(self) -> list[Manifest]:
        """All manifests, the root first."""
        return [self.root, *(manifest for level in self.levels for manifest in level)]


class ManifestReader:
    """Reads manifests, each once for all callers; made for one pass."""

    def __init__(self) -> None:
        self._flights: Flights[tuple[str, Digest], Manifest | None] = Flights()
        self._cache: dict[tuple[str, Digest], Manifest] = {}
        self._size = 0

    def __repr__(self) -> str:
        return f"<ManifestReader: {len(self._cache)} kept, {self._size} bytes>"

    async def tree(self, root: Manifest, source: Repository, destination: Destination, budget: Budget) -> Tree:
        """Return the manifests below one that is to be put; raises OcyncError."""
        tree = Tree(root)
        seen = {root.digest}
        level = [root]
        while True:
            below = {child.digest: child for each in level for child in each.copied_children}
            wanted = [
                child
                for digest, child in below.items()
                if digest not in seen and not destination.claims.has_manifest(destination.repository, digest)
            ]
            if not wanted:
                return tree
            if len(tree.levels) == MAX_DEPTH:
                raise budget.exceeded(f"its indexes are nested more than {MAX_DEPTH} deep")
            # Before the first request: an index may list tens of thousands.
            await budget.take(len(wanted))
            seen.update(child.digest for child in wanted)
            found: dict[Digest, Manifest] = {}

            async def read(child: Descriptor, found: dict[Digest, Manifest] = found) -> None:
                manifest = None
                if tree.levels or _may_be_there(child, destination):
                    manifest = await self.at_target(child.digest, destination, size=child.size)
                if manifest is not None:
                    tree.present.add(child.digest)
                else:
                    manifest = await self.at_source(child, source, destination)
                await budget.take(0, manifest.size)
                found[child.digest] = manifest

            await each_of(wanted, read)
            level = [found[child.digest] for child in wanted]
            tree.levels.append(level)

    async def at_source(self, child: Descriptor, source: Repository, destination: Destination) -> Manifest:
        """
        Return a child manifest from the source, unless it failed before.

        Raises OcyncError, which for one that the source lists and does not have says what it is.
        """
        claims = destination.claims
        claims.check_failure(source, destination.repository, child.digest)
        try:
            try:
                return await self.read(child.digest, source, size=child.size)
            except NotFoundError as error:
                raise _missing(child, source, error) from error
        except OcyncError as error:
            claims.failed(source, destination.repository, child.digest, error)
            raise

    async def read(self, digest: Digest, source: Repository, *, size: int | None = None) -> Manifest:
        """Return a manifest from the source; raises OcyncError."""
        key = (source.name, digest)
        if (kept := self._cache.get(key)) is not None:
            return kept

        async def fetch() -> Manifest:
            manifest = await source.manifest(str(digest), size=size)
            self._keep(key, manifest)
            return manifest

        manifest = await self._flights.run(key, fetch)
        assert manifest is not None
        return manifest

    async def at_target(
        self, digest: Digest, destination: Destination, *, size: int | None = None
    ) -> Manifest | None:
        """
        Return a manifest from the target; None if it is missing or unusable there, or not shown.

        Raises OcyncError. In an audit, what is missing or unusable counts as lost.
        """
        try:
            manifest = await self._at_target(digest, destination, size)
        except RegistryError as error:
            if not error.is_refusal:
                raise
            destination.not_shown(f"manifest {digest}")
            return None
        destination.lost += destination.is_audited and manifest is None
        return manifest

    async def _at_target(self, digest: Digest, destination: Destination, size: int | None) -> Manifest | None:
        claims, repository = destination.claims, destination.repository
        if destination.is_empty or claims.is_absent(repository, digest):
            return None
        key = (f"to {repository.name}", digest)
        if (kept := self._cache.get(key)) is not None:
            return kept

        async def fetch() -> Manifest | None:
            try:
                manifest = await repository.manifest(str(digest), size=size)
            except (NotFoundError, ProtocolError, QuotaError, VerificationError) as error:
                if error.is_refusal:
                    raise
                # A manifest that cannot be read is copied again.
                claims.manifest_absent(repository, digest)
                return None
            self._keep(key, manifest)
            return manifest

        return await self._flights.run(key, fetch)

    def _keep(self, key: tuple[str, Digest], manifest: Manifest) -> None:
        self._cache[key] = manifest
        self._size += manifest.size
        while self._size > _CACHED:
            oldest = next(iter(self._cache))
            self._size -= self._cache.pop(oldest).size


def _missing(child: Descriptor, source: Repository, error: NotFoundError) -> NotFoundError:
    """Return the error of a child that an index at the source lists and that is not there (oc-mirror#1526)."""
    of = child.annotation(REFERENCE_DIGEST)
    if of is not None or str(child.platform) == "unknown/unknown":
        # BuildKit names what it describes; others may not.
        what, hint = f"the attestation {child.digest} of {of or 'an image'}", remedies.MISSING_ATTESTATION
    elif child.platform is not None:
        what, hint = f"the image {child.digest} for {child.platform}", remedies.MISSING_PLATFORM
    else:
        what, hint = f"the manifest {child.digest}", remedies.MISSING_PLATFORM
    return NotFoundError(
        f"an index of {source.name} lists {what}, and the source does not have it: {error.message}",
        host=error.host,
        status=error.status,
        code=error.code,
        hint=hint,
    )


def _may_be_there(child: Descriptor, destination: Destination) -> bool:
    """Return whether to look a child up: one that the target's present index does not list is probably missing."""
    there = destination.there
    if there is None or not there.is_index or destination.is_audited:
        return True
    return any(child.digest == each.digest for each in there.children)
