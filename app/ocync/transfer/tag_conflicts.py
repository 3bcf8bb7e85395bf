"""
Sources that feed one repository, and what becomes of a tag that several of them attach things by.

The same image may lie in two sources, signed in each: `sha256-….sig` is one name for two manifests, and a target
holds one of them. It is that of the source that stands first in the config, in each pass, whoever comes first.
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

_Named = tuple["RegistryConfig", "RepositoryName"]


class Rivals:
    """The sources of each target repository that has several; made for one pass."""

    def __init__(self, repositories: Repositories | None = None) -> None:
        self._places = repositories
        self._named: list[tuple[_Named, list[_Named]]] = []
        self._sources: dict[str, tuple[Repository, ...]] | None = None
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._set: dict[tuple[str, str], tuple[str, Digest]] = {}
        self._told: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<Rivals for {len(self._named)} repositories>"

    def know(self, mappings: Iterable[MappingConfig]) -> None:
        """Take the mappings of the pass, in the order of the config; nothing is asked for."""
        feeds: dict[RepositoryName, dict[RepositoryName, _Named]] = defaultdict(dict)
        targets: dict[RepositoryName, _Named] = {}
        for mapping in mappings:
            source = mapping.source_repository
            for registry, target in mapping.targets:
                targets.setdefault(target, (registry, target))
                if mapping.artifacts.enabled:
                    feeds[target].setdefault(source, (mapping.source, source))
        self._named = [
            (targets[target], list(sources.values())) for target, sources in feeds.items() if len(sources) > 1
        ]

    @asynccontextmanager
    async def alone(self, target: str, tag: str) -> AsyncIterator[None]:
        """Let nobody else compare or write the tag at this target, where that has several sources."""
        if target not in self._feeds():
            yield
            return
        async with self._locks.setdefault((target, tag), asyncio.Lock()):
            yield

    def found(self, target: str, tag: str) -> Digest | None:
        """Return what another source of this pass has put there."""
        held = self._set.get((target, tag))
        return held[1] if held is not None else None

    def put(self, target: str, tag: str, source: Repository, digest: Digest) -> None:
        """Record what was put there. Warns where it is in the place of what another source has put there."""
        if target not in self._feeds():
            return
        earlier = self._set.get((target, tag))
        self._set[target, tag] = (source.name, digest)
        if earlier is not None and earlier[0] != source.name and earlier[1] != digest:
            self._warn(target, tag, kept=source.name, other=earlier[0])

    async def keeps(self, target: str, tag: str, source: Repository, there: Digest) -> bool:
        """Tell, with a warning, whether what is `there` and not what `source` has is that of a source before it."""
        for rival in self._feeds().get(target, ()):
            if rival.name == source.name:
                return False
            try:
                theirs = await rival.head(tag)
            except OcyncError as error:
                log.debug("can't tell whether %s is that of %s: %s", tag, rival.name, error.message)
                continue
            if theirs is not None and theirs.digest == there:
                self._warn(target, tag, kept=rival.name, other=source.name)
                return True
        return False

    def _feeds(self) -> dict[str, tuple[Repository, ...]]:
        """Return the sources of each target that has several, in the order of the config."""
        if self._sources is None:
            self._sources = {}
            for target, sources in self._named:
                assert self._places is not None
                try:
                    name = self._places.target(*target).name
                    self._sources[name] = tuple(self._places.source(*source) for source in sources)
                except OcyncError as error:
                    # Their mappings fail for it.
                    log.debug("%s", error)
        return self._sources

    def _warn(self, target: str, tag: str, *, kept: str, other: str) -> None:
        if (target, tag) not in self._told:
            self._told.add((target, tag))
            log.warning(
                "%s:%s: %s and %s have different contents by this tag, and only that of %s is kept: map one of "
                "them to another repository, or leave its kind out with artifacts.exclude",
                target,
                tag,
                kept,
                other,
                kept,
            )
