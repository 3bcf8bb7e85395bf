"""One mapping: from its rules and the tag lists of both sides to candidates."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ocync.config.model import ArtifactRules
from ocync.errors import NotFoundError, OcyncError
from ocync.filters.describe import none_selected
from ocync.filters.exact import literal_tags
from ocync.filters.pattern import Pattern
from ocync.filters.pipeline import select
from ocync.filters.selection import require_minimum
from ocync.plan.attachments import Attachments
from ocync.plan.decide import is_settled
from ocync.plan.model import Candidate, TargetState

if TYPE_CHECKING:
    from ocync.config.model import MappingConfig, RegistryConfig
    from ocync.endpoint import Repository, TargetRepository
    from ocync.filters.selection import Selection
    from ocync.memory.memory import Memory


log = logging.getLogger(__name__)


class Places(Protocol):
    """Gives repositories of configured registries; the same one for the same name."""

    def source(self, registry: RegistryConfig, repository: str) -> Repository:
        """Return a repository to read from."""

    def target(self, registry: RegistryConfig, repository: str) -> TargetRepository:
        """Return a repository to write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a mapping comes to: candidates to compare, tags that need no request, and how they were selected."""

    mapping: MappingConfig
    candidates: tuple[Candidate, ...]
    settled: tuple[Candidate, ...] = ()
    """Immutable tags that every target has: nothing is asked about them."""
    selection: Selection | None = None
    """None where literal tags made a list unnecessary."""


async def discover(mapping: MappingConfig, places: Places, memory: Memory | None = None) -> Resolved:
    """
    Resolve one mapping; raises OcyncError when its tags can't be known or are fewer than it demands.

    A target whose tags can't be listed is no error here: it is asked about each image later, which then fails or
    does not.
    """
    source = places.source(mapping.source, mapping.source_repository)
    targets = [places.target(registry, repository) for registry, repository in mapping.targets]
    literals = literal_tags(mapping.tags)
    async with asyncio.TaskGroup() as group:
        at_targets = [group.create_task(_state(target, mapping, memory)) for target in targets]
        at_source = group.create_task(_source_tags(source)) if literals is None else None
    states = tuple(task.result() for task in at_targets)
    listed: tuple[str, ...] | None = None
    if at_source is None:
        selection, tags = None, literals or ()
    else:
        answer = at_source.result()
        if isinstance(answer, OcyncError):
            raise answer
        listed = answer
        selection = select(listed, mapping.tags)
        require_minimum(selection, mapping.tags)
        tags = selection.kept
    pattern = Pattern(mapping.tags.immutable_tags) if mapping.tags.immutable_tags else None
    attachments = None
    if mapping.artifacts.enabled:
        attachments = Attachments(
            source,
            mapping.artifacts,
            tags=listed,
            images=len(tags),
            memory=memory,
            lacking=lambda tag: any(state.lacks(tag) for state in states),
        )
    signatures = None
    if mapping.verify is not None:
        # What is not to be copied may verify an image all the same.
        is_all = attachments is not None and not (mapping.artifacts.include or mapping.artifacts.exclude)
        signatures = attachments if is_all else Attachments(source, ArtifactRules(), tags=listed, images=len(tags))
    if selection is not None and not tags:
        # Nothing fails for it, so it has to be told: rules that select nothing are seldom meant.
        log.warning("%s: %s", source.name, none_selected(selection, mapping.tags))
    candidates: list[Candidate] = []
    settled: list[Candidate] = []
    for tag in tags:
        candidate = Candidate(
            mapping=mapping,
            tag=tag,
            source=source,
            targets=states,
            attachments=attachments,
            signatures=signatures,
            # From a list it would not have been selected; what glob names has to be there.
            optional=selection is None and tag not in mapping.tags.glob,
            settled=is_settled(tag, immutable=pattern is not None and pattern.matches(tag), targets=states),
        )
        (settled if candidate.settled else candidates).append(candidate)
    return Resolved(
        mapping=mapping,
        candidates=tuple(candidates),
        settled=tuple(settled),
        selection=selection,
    )


async def _source_tags(source: Repository) -> tuple[str, ...] | OcyncError:
    try:
        return await source.tags()
    except OcyncError as error:
        return error


async def _state(target: TargetRepository, mapping: MappingConfig, memory: Memory | None) -> TargetState:
    """
    Look at the target's tags: one page, or all of them where immutable tags are to be known.

    One request here saves a look-up for each tag that is not there, and all look-ups in a repository that is
    empty. Where an earlier pass has filled the repository it would save next to nothing.
    """
    if memory is not None and not mapping.tags.immutable_tags and memory.knows(target.place, target.path):
        return TargetState(repository=target)
    try:
        if mapping.tags.immutable_tags:
            return TargetState(repository=target, tags=frozenset(await target.tags()))
        page = await target.first_tags()
    except NotFoundError:
        return TargetState(repository=target, tags=frozenset())
    except OcyncError:
        return TargetState(repository=target)
    return TargetState(repository=target, tags=frozenset(page.tags) if page.complete else None)
