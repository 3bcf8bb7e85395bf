"""
Sources that feed one target repository, and the tags by which several of them attach artifacts.

An image in two sources may be signed in each: `sha256-….sig` then names two manifests, and a target can have only
one of them. In every pass it is that of the source that comes first in the config.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ocync.config.model import MappingConfig, RegistryConfig
    from ocync.oci.digest import Digest
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import Repository
    from ocync.plan.discover import Repositories

log = logging.getLogger(__name__)

_Spec = tuple["RegistryConfig", "RepositoryName"]


class TagConflicts:
    """The sources of each target repository that has several; made for one pass."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories
        self._specs: list[tuple[_Spec, list[_Spec]]] = []
        self._sources: dict[str, tuple[Repository, ...]] | None = None
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._written: dict[tuple[str, str], tuple[str, Digest]] = {}
        self._warned: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<TagConflicts of {len(self._specs)} repositories>"

    def set_mappings(self, mappings: Iterable[MappingConfig]) -> None:
        """Set the mappings of the pass, in the order of the config; makes no request."""
        sources: dict[RepositoryName, dict[RepositoryName, _Spec]] = defaultdict(dict)
        targets: dict[RepositoryName, _Spec] = {}
        for mapping in mappings:
            source = mapping.source_repository
            for registry, target in mapping.targets:
                targets.setdefault(target, (registry, target))
                if mapping.artifacts.enabled:
                    sources[target].setdefault(source, (mapping.source, source))
        self._specs = [(targets[name], list(each.values())) for name, each in sources.items() if len(each) > 1]

    @asynccontextmanager
    async def exclusive(self, target: str, tag: str) -> AsyncIterator[None]:
        """Compare and write the tag in one task at a time, if the target has several sources."""
        if target not in self._by_target():
            yield
            return
        async with self._locks.setdefault((target, tag), asyncio.Lock()):
            yield

    def written(self, target: str, tag: str) -> Digest | None:
        """Return what this pass has written to the tag."""
        written = self._written.get((target, tag))
        return written[1] if written is not None else None

    def record(self, target: str, tag: str, source: Repository, digest: Digest) -> None:
        """Record what was written to the tag; warns if it replaces what another source wrote."""
        if target not in self._by_target():
            return
        earlier = self._written.get((target, tag))
        self._written[target, tag] = (source.name, digest)
        if earlier is not None and earlier[0] != source.name and earlier[1] != digest:
            self._warn(target, tag, kept=source.name, other=earlier[0])

    async def prefer_earlier_source(self, target: str, tag: str, source: Repository, there: Digest) -> bool:
        """Return whether a source before `source` has `there` under the tag; if so, warn that it is kept."""
        for other in self._by_target().get(target, ()):
            if other.name == source.name:
                return False
            try:
                found = await other.head(tag)
            except OcyncError as error:
                log.debug("can't compare %s with %s: %s", tag, other.name, error.message)
                continue
            if found is not None and found.digest == there:
                self._warn(target, tag, kept=other.name, other=source.name)
                return True
        return False

    def _by_target(self) -> dict[str, tuple[Repository, ...]]:
        """Return the sources of each target that has several, in the order of the config."""
        if self._sources is None:
            self._sources = {}
            for target, sources in self._specs:
                try:
                    name = self._repositories.target(*target).name
                    self._sources[name] = tuple(self._repositories.source(*source) for source in sources)
                except OcyncError as error:
                    # The mappings fail with the same error.
                    log.debug("%s", error)
        return self._sources

    def _warn(self, target: str, tag: str, *, kept: str, other: str) -> None:
        if (target, tag) not in self._warned:
            self._warned.add((target, tag))
            log.warning(
                "%s:%s: %s and %s have different contents under this tag, and only that of %s is kept: map one of "
                "them to another repository, or exclude these artifacts with artifacts.exclude",
                target,
                tag,
                kept,
                other,
                kept,
            )
