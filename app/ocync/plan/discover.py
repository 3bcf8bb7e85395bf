"""From a mapping's rules and the tag lists of both sides to candidates, separately for each target."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ocync.config.model import ArtifactRules
from ocync.lib.errors import NotFoundError, OcyncError
from ocync.plan.attachments import Attachments
from ocync.plan.model import Candidate, TargetState
from ocync.plan.source import SourceImage
from ocync.tags.explain import none_selected
from ocync.tags.glob import Pattern
from ocync.tags.select import literal_tags, require_minimum, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocync.config.model import MappingConfig, RegistryConfig
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.tags.rules import Selection


log = logging.getLogger(__name__)

# A target's list saves requests and is not needed: it is not waited for as long as what is.
_LIST_TIME = 15.0


class Repositories(Protocol):
    """Repositories of configured registries; the same object for the same name."""

    def source(self, registry: RegistryConfig, repository: RepositoryName) -> Repository:
        """Return a repository to read from."""

    def target(self, registry: RegistryConfig, repository: RepositoryName) -> TargetRepository:
        """Return a repository to write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The tags that a mapping selects at its source, with all that its targets share."""

    mapping: MappingConfig
    images: tuple[SourceImage, ...]
    attachments: Attachments | None
    signatures: Attachments | None
    selection: Selection | None = None
    """None if literal tags made a list unnecessary."""
    states: list[TargetState] = field(default_factory=list)
    """The targets whose tags have been listed so far."""

    def candidates(self, state: TargetState) -> Iterator[Candidate]:
        """Yield each selected image as a candidate for one target."""
        self.states.append(state)
        rules = self.mapping.tags
        immutable = Pattern(rules.immutable_tags) if rules.immutable_tags else None
        for image in self.images:
            yield Candidate(
                mapping=self.mapping,
                image=image,
                target=state,
                attachments=self.attachments,
                signatures=self.signatures,
                # A tag selected from a list exists, and one that `glob` names is required.
                optional=self.selection is None and image.tag not in rules.glob,
                immutable=immutable is not None and immutable.matches(image.tag),
            )


async def discover(
    mapping: MappingConfig, repositories: Repositories, finished: Callable[[], None] = lambda: None
) -> Resolved:
    """
    Return the tags that a mapping selects; raises OcyncError if they cannot be listed or are fewer than it demands.

    `finished` is called whenever a target host needs nothing more of an image.
    """
    source = repositories.source(mapping.source, mapping.source_repository)
    literals = literal_tags(mapping.tags)
    listed: tuple[str, ...] | None = None
    selection: Selection | None = None
    if literals is not None:
        tags = literals
    else:
        listed = await source.tags()
        selection = select(listed, mapping.tags)
        require_minimum(selection, mapping.tags)
        tags = selection.kept
        if not tags:
            # Not an error, but rules that select nothing are seldom intended.
            log.warning("%s: %s", source.name, none_selected(selection, mapping.tags))
    states: list[TargetState] = []

    def attachments(rules: ArtifactRules) -> Attachments:
        return Attachments(
            source,
            rules,
            tags=listed,
            images=len(tags),
            lacking=lambda tag: any(state.lacks(tag) for state in states),
        )

    attached = attachments(mapping.artifacts) if mapping.artifacts.enabled else None
    signatures = None
    if mapping.verify is not None:
        # A signature that is not copied may still verify the image.
        is_all = not (mapping.artifacts.include or mapping.artifacts.exclude)
        signatures = attached if attached is not None and is_all else attachments(ArtifactRules())
    hosts = [repositories.target(*target).host for target in mapping.targets]
    return Resolved(
        mapping=mapping,
        images=tuple(
            SourceImage(source, tag, platforms=mapping.platforms, hosts=hosts, finished=finished) for tag in tags
        ),
        attachments=attached,
        signatures=signatures,
        selection=selection,
        states=states,
    )


async def target_state(target: TargetRepository, mapping: MappingConfig, *, is_filled: bool = False) -> TargetState:
    """
    Return a target's tags: the first page, or all of them if the mapping has immutable tags.

    One request saves a look-up for each missing tag, and most look-ups in an empty repository. In a repository that
    an earlier pass has filled (`is_filled`), it would save almost nothing and is left out. Tags that cannot be
    listed are no error: the target is then asked about each image.
    """
    try:
        if mapping.tags.immutable_tags:
            return TargetState(repository=target, tags=frozenset(await target.tags()))
        if is_filled:
            return TargetState(repository=target)
        async with asyncio.timeout(_LIST_TIME):
            page = await target.first_tags()
    except NotFoundError:
        return TargetState(repository=target, tags=frozenset())
    except (OcyncError, TimeoutError):
        return TargetState(repository=target)
    return TargetState(repository=target, tags=frozenset(page.tags) if page.complete else None)
