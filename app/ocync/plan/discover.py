"""One mapping: from its rules and the tag lists of both sides to candidates, for each target by itself."""

from __future__ import annotations

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


class Repositories(Protocol):
    """Gives repositories of configured registries; the same one for the same name."""

    def source(self, registry: RegistryConfig, repository: RepositoryName) -> Repository:
        """Return a repository to read from."""

    def target(self, registry: RegistryConfig, repository: RepositoryName) -> TargetRepository:
        """Return a repository to write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The tags that a mapping selects at its source, and what its targets share: each is asked for once."""

    mapping: MappingConfig
    images: tuple[SourceImage, ...]
    attachments: Attachments | None
    signatures: Attachments | None
    selection: Selection | None = None
    """None where literal tags made a list unnecessary."""
    states: list[TargetState] = field(default_factory=list)
    """The targets whose tags have been listed so far."""

    def candidates(self, state: TargetState) -> Iterator[Candidate]:
        """Yield the work that one target makes."""
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
                # From a list it would not have been selected; what glob names has to be there.
                optional=self.selection is None and image.tag not in rules.glob,
                immutable=immutable is not None and immutable.matches(image.tag),
            )


async def discover(
    mapping: MappingConfig, repositories: Repositories, finished: Callable[[], None] = lambda: None
) -> Resolved:
    """
    Resolve one mapping at its source; raises OcyncError when its tags can't be known or are fewer than it demands.

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
            # Nothing fails for it, so it has to be told: rules that select nothing are seldom meant.
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
        # What is not to be copied may verify an image all the same.
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
    Look at a target's tags: one page, or all of them where immutable tags are to be known.

    One request here saves a look-up for each tag that is not there, and most look-ups in a repository that is
    empty; in one that an earlier pass has filled (`is_filled`) it would save next to nothing. A target whose tags
    can't be listed is no error: it is asked about each image later, which then fails or does not.
    """
    try:
        if mapping.tags.immutable_tags:
            return TargetState(repository=target, tags=frozenset(await target.tags()))
        if is_filled:
            return TargetState(repository=target)
        page = await target.first_tags()
    except NotFoundError:
        return TargetState(repository=target, tags=frozenset())
    except OcyncError:
        return TargetState(repository=target)
    return TargetState(repository=target, tags=frozenset(page.tags) if page.complete else None)
