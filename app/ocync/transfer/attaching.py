"""
What is attached to one manifest, on its way to targets: compared there, and brought where it is missing.

Subjects come before what refers to them, so that nothing is linked to what is not there. What a target does not
list by itself is listed under the fallback tag.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ocync.concurrency import each_of
from ocync.errors import NotFoundError, OcyncError
from ocync.oci import referrers
from ocync.transfer.appended import Wanted
from ocync.transfer.fallback import add_to_list, listed_and_there, read_again, read_list
from ocync.transfer.image import ImageCopy
from ocync.transfer.missing import Missing, explain
from ocync.transfer.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ocync.endpoint import Repository
    from ocync.memory.memory import Memory
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.attachments import Attached, AttachedTag, Attachment
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.transfer.rivals import Rivals

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What became of what is attached to one manifest, at one target."""

    present: int = 0
    """Artifacts that are there now."""
    transferred: int = 0
    """Of these, those that were brought for the image that asks; in a dry run, those that would be."""
    gone: int = 0
    """Artifacts that a list at the source names and that are not to be had there."""
    believed: tuple[Attachment, ...] = ()
    """What is there only as far as memory tells."""
    error: OcyncError | None = None


@dataclass(slots=True)
class Target:
    """One target while what is attached to one manifest is brought there."""

    destination: Destination
    listed: set[Digest] = field(default_factory=set)
    """What the target lists for the subject at hand."""
    index: Manifest | None = None
    """The list under the fallback tag, where there is one."""
    was_read: bool = False
    """Whether it is known what stands under the fallback tag."""
    was_believed: bool = False
    """Whether only an earlier pass has seen what is listed."""
    believed: list[Attachment] = field(default_factory=list)
    """All of which that is so."""
    brought: set[Digest] = field(default_factory=set)
    """What was brought here, or in a dry run would be: nothing is attached to that yet."""
    unlisted: dict[Digest, dict[str, Any]] = field(default_factory=dict)
    """Entries that the fallback tag has to list."""
    present: int = 0
    transferred: int = 0
    gone: int = 0

    @property
    def result(self) -> Brought:
        """What is told of it."""
        return Brought(
            present=self.present,
            transferred=self.transferred,
            gone=self.gone,
            believed=tuple(self.believed),
            error=self.destination.error,
        )


class Attaching:
    """Compares and brings; made for one pass."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        dry_run: bool,
        memory: Memory | None,
        believes: bool,
        missing: Callable[[Missing], Awaitable[None]],
        rivals: Rivals,
    ) -> None:
        self._policy = policy
        self._rivals = rivals
        self._dry_run = dry_run
        self._memory = memory
        self._believes = believes
        self._samples = Samples(memory, dry_run=dry_run)
        self._missing = missing
        self._lists: dict[tuple[str, Digest], asyncio.Lock] = {}
        self._written: set[tuple[str, Digest]] = set()
        self._learned: set[tuple[str, Digest]] = set()

    async def bring(self, attached: Attached, source: Repository, targets: Sequence[Target]) -> None:
        """Hold afterwards that all is at each target, or that its destination has failed."""
        copy = ImageCopy(source, self._policy)
        try:
            await self._bring_with(copy, attached, source, targets)
        finally:
            copy.close()

    async def _bring_with(
        self, copy: ImageCopy, attached: Attached, source: Repository, targets: Sequence[Target]
    ) -> None:
        for target in targets:
            target.gone = attached.gone
        # One after the other: what is attached to an artifact comes when that is there.
        for attachment in attached.attachments:
            alive = [target for target in targets if target.destination.alive]
            if attachment.referrers:
                await self._bring_referrers(attachment, source, copy, alive)
            if attachment.tags:
                bring_tag = partial(
                    self._bring_tag, subject=attachment.subject, source=source, copy=copy, targets=alive
                )
                await each_of(attachment.tags, bring_tag)

    async def _bring_referrers(
        self, attachment: Attachment, source: Repository, copy: ImageCopy, targets: Sequence[Target]
    ) -> None:
        await each_of(targets, lambda target: self._look(target, attachment))
        gone_before = {id(target): target.gone for target in targets}

        for target in targets:
            if any(descriptor.digest not in target.listed for descriptor in attachment.referrers):
                # Whatever becomes of it now: the next pass is to look again.
                self._forget(target, attachment)

        async def bring(descriptor: Descriptor) -> None:
            lacking = []
            for target in targets:
                if descriptor.digest in target.listed:
                    target.present += 1
                elif target.destination.alive:
                    lacking.append(target)
            if lacking:
                missing = Missing(
                    source=source,
                    subject=attachment.subject,
                    descriptor=descriptor,
                    destinations=tuple(target.destination for target in lacking),
                )
                await self._bring_missing(missing, copy, lacking)

        await each_of(attachment.referrers, bring)
        await each_of(targets, lambda target: self._keep_list(target, attachment))
        for target in targets:
            # What was only believed is not learned anew: it would be believed for ever.
            seen = target.destination.alive and not target.was_believed and not self._dry_run
            if seen and target.gone == gone_before[id(target)]:
                self._learn(target, attachment)

    def _learn(self, target: Target, attachment: Attachment) -> None:
        repository = target.destination.repository
        if self._memory is not None:
            self._memory.learn_artifacts(
                repository.place, repository.path, attachment.subject, _digests(attachment)
            )
            self._learned.add((repository.name, attachment.subject))

    def _forget(self, target: Target, attachment: Attachment) -> None:
        repository = target.destination.repository
        if self._memory is not None and not self._dry_run:
            self._memory.forget_artifacts(repository.place, repository.path, attachment.subject)

    async def _is_known(self, target: Target, attachment: Attachment) -> bool:
        repository = target.destination.repository
        if self._memory is None or not self._believes:
            return False
        known = self._memory.has_artifacts(
            repository.place, repository.path, attachment.subject, _digests(attachment)
        )
        if known and (repository.name, attachment.subject) not in self._learned:
            known = await self._samples.hold(repository)
        self._memory.counted(known=known)
        return known

    async def _look(self, target: Target, attachment: Attachment) -> None:
        """Learn what the target lists for the subject; nothing is asked for one that has just come."""
        destination, repository = target.destination, target.destination.repository
        subject = attachment.subject
        target.listed, target.index, target.unlisted = set(), None, {}
        target.was_believed = False
        tag = referrers.fallback_tag(subject)
        target.was_read = destination.lacks(tag)
        # A list under the fallback tag may be older than what it lists referrers of.
        if destination.is_empty or (subject in target.brought and target.was_read):
            return
        if destination.has_image and await self._is_known(target, attachment):
            target.listed = {descriptor.digest for descriptor in attachment.referrers}
            target.was_believed = True
            target.believed.append(attachment)
            return
        try:
            by_api = await repository.referrers(subject)
            # Beside the API where the tag is known, or may tell more: manifests without a subject are listed by it
            # alone, and the source lists some by such a tag.
            listed = {descriptor.digest for descriptor in by_api or ()}
            is_short = attachment.fallback is not None and any(
                descriptor.digest not in listed for descriptor in attachment.referrers
            )
            if not target.was_read and (by_api is None or destination.tags is not None or is_short):
                target.index = await read_list(repository, subject)
                target.was_read = True
            wanted = [digest for digest in _digests(attachment) if digest not in listed]
            target.listed = listed | await listed_and_there(repository, target.index, wanted)
        except OcyncError as error:
            destination.fail(error)

    async def _bring_missing(self, missing: Missing, copy: ImageCopy, targets: Sequence[Target]) -> None:
        """Bring one artifact to the targets that lack it; in a dry run count it, and tell of it."""
        try:
            manifest = await self._fetch(missing)
        except OcyncError as error:
            if missing.tag is None and isinstance(error, NotFoundError):
                log.warning(
                    "%s lists %s among what is attached to %s and does not have it",
                    missing.source.name,
                    missing.descriptor.digest,
                    missing.subject,
                )
                for target in targets:
                    target.gone += 1
                return
            for target in targets:
                target.destination.fail(error)
            return
        if manifest is None:
            for target in targets:
                target.transferred += 1
                target.brought.add(missing.descriptor.digest)
            return
        await copy.contents(manifest, missing.destinations, is_immediate=True)
        accounted = await copy.put(manifest, missing.destinations, missing.tag)
        of_this = manifest.subject is not None and manifest.subject.digest == missing.subject
        for target in targets:
            if not target.destination.alive:
                explain(target.destination.error, manifest, missing)
                continue
            target.present += 1
            target.transferred += 1
            target.brought.add(manifest.digest)
            if missing.tag is None and not (of_this and id(target.destination) in accounted):
                target.unlisted[manifest.digest] = referrers.entry_of(manifest)

    async def _fetch(self, missing: Missing) -> Manifest | None:
        """Return the artifact; None in a dry run, which only tells of it."""
        if self._dry_run:
            await self._missing(missing)
            return None
        # By its digest alone: lists that clients keep may tell a size that is wrong, and so may a HEAD.
        return missing.manifest or await missing.source.manifest(str(missing.descriptor.digest))

    async def _keep_list(self, target: Target, attachment: Attachment) -> None:
        """See to it that the target lists what it does not list by itself."""
        destination, subject = target.destination, attachment.subject
        if not target.unlisted or not destination.alive:
            return
        key = (destination.repository.name, subject)
        try:
            # Two mappings may bring what is attached to one image from two sources.
            async with self._lists.setdefault(key, asyncio.Lock()):
                if not target.was_read or key in self._written:
                    target.index = await read_list(destination.repository, subject)
                else:
                    # What is attached may have been long in coming, and others attach to the image too.
                    target.index = await read_again(destination.repository, subject, target.index)
                await add_to_list(
                    destination.repository,
                    subject,
                    target.unlisted,
                    existing=target.index,
                    verbatim=attachment.fallback,
                )
                self._written.add(key)
        except OcyncError as error:
            target.present -= len(target.unlisted)
            destination.fail(error)

    async def _bring_tag(
        self,
        attached: AttachedTag,
        *,
        subject: Digest,
        source: Repository,
        copy: ImageCopy,
        targets: Sequence[Target],
    ) -> None:
        alive = [target for target in targets if target.destination.alive]
        async with self._rivals.alone((target.destination.repository.name for target in alive), attached.tag):
            lacking: list[Target] = []
            wanted = Wanted(attached, source)

            async def compare(target: Target) -> None:
                if await self._has_tag(target, wanted):
                    target.present += 1
                elif target.destination.alive:
                    lacking.append(target)

            await each_of(alive, compare)
            if not lacking:
                return
            missing = Missing(
                source=source,
                subject=subject,
                descriptor=attached.descriptor,
                tag=attached.tag,
                manifest=wanted.manifest,
                destinations=tuple(target.destination for target in lacking),
            )
            await self._bring_missing(missing, copy, lacking)
            for target in lacking:
                if target.destination.alive:
                    name = target.destination.repository.name
                    self._rivals.put(name, attached.tag, source, attached.descriptor.digest)

    async def _has_tag(self, target: Target, wanted: Wanted) -> bool:
        """Tell whether a target has the tag as the source has it, or with more, or as a source before has it."""
        destination, repository, tag = target.destination, target.destination.repository, wanted.tag
        there = rival = self._rivals.found(repository.name, tag)
        try:
            if there is None and not destination.lacks(tag):
                head = await repository.head(tag)
                there = None if head is None else head.digest
            if there is None or there == wanted.digest:
                return there is not None
            if await self._rivals.keeps(repository.name, tag, wanted.source, there):
                return True
            return rival is None and await wanted.is_within(repository)
        except OcyncError as error:
            destination.fail(error)
            return False


def _digests(attachment: Attachment) -> list[Digest]:
    return [descriptor.digest for descriptor in attachment.referrers]
