"""
What is attached to one manifest, on its way to one target: compared there, and brought where it is missing.

Subjects come before what refers to them, so that nothing is linked to what is not there. What a target does not
list by itself is listed under the fallback tag.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ocync.lib.errors import ImmutableTagError, NotFoundError, OcyncError, ProtocolError
from ocync.lib.tasks import each_of
from ocync.oci import referrers
from ocync.transfer.image import ImageCopier
from ocync.transfer.referrers.cosign_tags import Wanted
from ocync.transfer.referrers.fallback_index import add_to_list, listed_and_there, read_again, read_list

if TYPE_CHECKING:
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository
    from ocync.plan.attachments import Attached, AttachedTag, Attachment
    from ocync.plan.budget import Budget
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.destination import Destination
    from ocync.transfer.tag_conflicts import Rivals
    from ocync.transfer.tree import ManifestReader

log = logging.getLogger(__name__)

_REFUSED_AS_A_MANIFEST = ("MANIFEST_INVALID", "UNSUPPORTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What became of what is attached to one manifest, at one target."""

    present: int = 0
    """Artifacts that are there now."""
    transferred: int = 0
    """Of these, those that were brought for the image that asks; in a dry run, those that would be."""
    gone: int = 0
    """Artifacts that a list at the source names and that are not to be had there."""
    error: OcyncError | None = None


@dataclass(slots=True)
class _Way:
    """What is attached to one manifest, on its way to one target."""

    source: Repository
    destination: Destination
    copier: ImageCopier
    budget: Budget
    is_deep: bool
    """Whether all is looked for that artifacts list which are there."""
    present: int = 0
    transferred: int = 0
    gone: int = 0
    brought: set[Digest] = field(default_factory=set)
    """What was brought here, or in a dry run would be: nothing is attached to that yet."""


@dataclass(slots=True)
class _List:
    """What a target lists for one subject."""

    there: set[Digest] = field(default_factory=set)
    index: Manifest | None = None
    """The list under the fallback tag, where there is one."""
    was_read: bool = False
    """Whether it is known what stands under the fallback tag."""
    unlisted: dict[Digest, dict[str, Any]] = field(default_factory=dict)
    """Entries that the fallback tag has to list."""


class Attaching:
    """Compares and brings; made for one pass."""

    def __init__(self, mover: BlobMover, reader: ManifestReader, rivals: Rivals, *, dry_run: bool) -> None:
        self._mover = mover
        self._reader = reader
        self._rivals = rivals
        self._dry_run = dry_run
        self._lists: dict[tuple[str, Digest], asyncio.Lock] = {}
        self._written: set[tuple[str, Digest]] = set()

    async def bring(
        self, attached: Attached, source: Repository, destination: Destination, budget: Budget, *, is_deep: bool
    ) -> Brought:
        """
        Ensure that all is at the target; the result tells what has gone wrong, and nothing is raised for that.
        """
        copier = ImageCopier(
            source, destination, mover=self._mover, reader=self._reader, budget=budget, is_artifact=True
        )
        way = _Way(source, destination, copier, budget, is_deep, gone=attached.gone)
        failure: OcyncError | None = None
        try:
            # One after the other: what is attached to an artifact comes when that is there.
            for attachment in attached.attachments:
                if attachment.referrers:
                    await self._bring_referrers(attachment, way)
                await each_of(attachment.tags, partial(self._bring_tag, subject=attachment.subject, way=way))
        except OcyncError as error:
            failure = error
        finally:
            copier.close()
        return Brought(present=way.present, transferred=way.transferred, gone=way.gone, error=failure)

    # By reference

    async def _bring_referrers(self, attachment: Attachment, way: _Way) -> None:
        listed = await self._look(attachment, way)

        async def bring(descriptor: Descriptor) -> None:
            if descriptor.digest not in listed.there or not await self._complete(descriptor, way):
                await self._bring_missing(descriptor, attachment.subject, way, listed=listed)
            else:
                way.present += 1

        try:
            await each_of(attachment.referrers, bring)
        finally:
            # What has come is listed, whatever became of the others.
            await self._keep_list(listed, attachment, way)

    async def _look(self, attachment: Attachment, way: _Way) -> _List:
        """Return what the target lists for the subject; nothing is asked for one that has just come."""
        destination, repository = way.destination, way.destination.repository
        subject = attachment.subject
        tag = referrers.fallback_tag(subject)
        listed = _List(was_read=destination.lacks(tag))
        # A list under the fallback tag may be older than what it lists referrers of.
        if (destination.is_empty or subject in way.brought) and listed.was_read:
            return listed
        by_api = await repository.referrers(subject)
        # Beside the API where the tag is known, or may tell more: manifests without a subject are listed by it
        # alone, and the source lists some by such a tag.
        listed.there = {descriptor.digest for descriptor in by_api or ()}
        is_short = attachment.fallback is not None and any(
            descriptor.digest not in listed.there for descriptor in attachment.referrers
        )
        if not listed.was_read and (by_api is None or destination.tags is not None or is_short):
            listed.index = await read_list(repository, subject)
            listed.was_read = True
        wanted = [each.digest for each in attachment.referrers if each.digest not in listed.there]
        listed.there |= await listed_and_there(repository, listed.index, wanted)
        return listed

    async def _complete(self, descriptor: Descriptor, way: _Way) -> bool:
        """
        Return whether the target has an artifact that its list names.

        In an audit, or where the tag has moved, copy what is missing below it.
        """
        if not way.is_deep or way.destination.claims.has_manifest(way.destination.repository, descriptor.digest):
            return True
        # Lists that clients keep may tell a size that is wrong.
        manifest = await self._reader.at_target(descriptor.digest, way.destination)
        if manifest is None:
            way.destination.lost += way.destination.is_audited
            return False
        await way.copier.contents(manifest, is_there=True)
        way.destination.claims.manifest_seen(way.destination.repository, descriptor.digest)
        return True

    async def _bring_missing(
        self,
        descriptor: Descriptor,
        subject: Digest,
        way: _Way,
        *,
        tag: str | None = None,
        manifest: Manifest | None = None,
        listed: _List | None = None,
    ) -> None:
        """Bring one artifact that the target lacks; in a dry run count it."""
        if self._dry_run:
            way.transferred += 1
            way.brought.add(descriptor.digest)
            return
        if manifest is None:
            try:
                # By its digest alone: lists that clients keep may tell a size that is wrong, and so may a HEAD.
                manifest = await self._reader.read(descriptor.digest, way.source)
            except NotFoundError:
                if tag is not None:
                    raise
                log.warning(
                    "%s lists %s among what is attached to %s and does not have it",
                    way.source.name,
                    descriptor.digest,
                    subject,
                )
                way.gone += 1
                return
        try:
            await way.copier.contents(manifest, is_immediate=True)
            accounted = await way.copier.put(manifest, tag)
        except OcyncError as error:
            _explain(error, manifest, descriptor, tag)
            raise
        way.present += 1
        way.transferred += 1
        way.destination.repaired += way.destination.is_audited
        way.brought.add(manifest.digest)
        of_this = manifest.subject is not None and manifest.subject.digest == subject
        if listed is not None and not (of_this and accounted):
            listed.unlisted[manifest.digest] = referrers.entry_of(manifest)

    async def _keep_list(self, listed: _List, attachment: Attachment, way: _Way) -> None:
        """Ensure that the target lists what it does not list by itself."""
        if not listed.unlisted:
            return
        repository, subject = way.destination.repository, attachment.subject
        key = (repository.name, subject)
        try:
            # Two mappings may bring what is attached to one image from two sources.
            async with self._lists.setdefault(key, asyncio.Lock()):
                if not listed.was_read or key in self._written:
                    listed.index = await read_list(repository, subject)
                else:
                    # What is attached may have been long in coming, and others attach to the image too.
                    listed.index = await read_again(repository, subject, listed.index)
                await add_to_list(
                    repository,
                    subject,
                    listed.unlisted,
                    existing=listed.index,
                    verbatim=attachment.fallback,
                )
                self._written.add(key)
        except OcyncError:
            way.present -= len(listed.unlisted)
            raise

    # By tag

    async def _bring_tag(self, attached: AttachedTag, *, subject: Digest, way: _Way) -> None:
        repository = way.destination.repository
        async with self._rivals.alone(repository.name, attached.tag):
            wanted = Wanted(attached, way.source)
            there = await self._find_tag(wanted, way)
            # What others have put there is theirs to mend.
            if there is not None and (there != wanted.digest or await self._complete(attached.descriptor, way)):
                way.present += 1
                return
            await self._bring_missing(attached.descriptor, subject, way, tag=attached.tag, manifest=wanted.manifest)
            self._rivals.put(repository.name, attached.tag, way.source, attached.descriptor.digest)

    async def _find_tag(self, wanted: Wanted, way: _Way) -> Digest | None:
        """
        Return what the target has by the tag: as the source has it, or with more, or as an earlier source has it.
        """
        destination, repository, tag = way.destination, way.destination.repository, wanted.tag
        there = rival = self._rivals.found(repository.name, tag)
        # What the list has told may be old by now, and who signs meanwhile is not to be overwritten.
        if there is None and not (self._dry_run and destination.lacks(tag)):
            head = await repository.head(tag)
            there = None if head is None else head.digest
        if there is None or there == wanted.digest:
            return there
        if await self._rivals.keeps(repository.name, tag, wanted.source, there):
            return there
        return there if rival is None and await wanted.compare_with(repository) else None


def _explain(error: OcyncError, manifest: Manifest, descriptor: Descriptor, tag: str | None) -> None:
    """Say of a refused artifact what it is, and how it is left out: by its type as the source tells that."""
    kind = descriptor.artifact_type if tag is None else next(iter(referrers.types_of_tag(tag)), "")
    if isinstance(error, ImmutableTagError) and tag is not None:
        error.hint = (
            "who signs anew appends to this tag: let the target move tags like sha256-*.sig, or leave such "
            f"artifacts out with artifacts.exclude: ['{kind}']"
        )
    if not isinstance(error, ProtocolError) or error.hint is not None:
        return
    if error.status == 415 or error.code in _REFUSED_AS_A_MANIFEST:
        out = f"leave it out with artifacts.exclude: ['{kind}']" if kind else "set artifacts.enabled: false"
        error.hint = (
            f"it is an artifact of type {kind or 'unknown'}, in a manifest of type {manifest.media_type}: "
            f"if the target takes no such, {out}"
        )
