"""
What is attached to images: compared at each target, and copied where it is missing.

A subject is copied before what refers to it, so that no artifact is linked to a manifest that is missing. What a
target does not list by itself is listed under the fallback tag. Images share manifests, and so the artifacts of
these: each is handled once for each target repository, and all images that share it get the result.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ocync.lib.errors import ImmutableTagError, NotFoundError, OcyncError, ProtocolError
from ocync.lib.looks import unless_refused
from ocync.lib.singleflight import Memo
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
    from ocync.transfer.tag_conflicts import TagConflicts
    from ocync.transfer.tree import ManifestReader

log = logging.getLogger(__name__)

_REFUSED_AS_A_MANIFEST = ("MANIFEST_INVALID", "UNSUPPORTED")
_Key = tuple["Digest", frozenset[tuple["Digest", str]], str, str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedArtifacts:
    """The artifacts of one manifest at one target, after the copy."""

    present: int = 0
    """Artifacts that are at the target."""
    transferred: int = 0
    """Artifacts among them that were copied for the image that asks; in a dry run, that would be copied."""
    gone: int = 0
    """Artifacts that a list at the source names and the source no longer has."""
    error: OcyncError | None = None


@dataclass(slots=True)
class _Task:
    """The copy of what is attached to one manifest, to one target."""

    source: Repository
    destination: Destination
    copier: ImageCopier
    is_deep: bool
    """Whether artifacts that the target has are checked down to their blobs."""
    present: int = 0
    transferred: int = 0
    gone: int = 0
    brought: set[Digest] = field(default_factory=set)
    """Artifacts copied here, or counted in a dry run: nothing is attached to them at the target yet."""


@dataclass(slots=True)
class _Listing:
    """What a target lists for one subject."""

    present: set[Digest] = field(default_factory=set)
    index: Manifest | None = None
    """The fallback index, if there is one."""
    was_read: bool = False
    """Whether it is known what is under the fallback tag."""
    unlisted: dict[Digest, dict[str, Any]] = field(default_factory=dict)
    """Entries that the fallback index needs."""


class ArtifactCopier:
    """Copies artifacts to targets; made for one pass."""

    def __init__(self, mover: BlobMover, reader: ManifestReader, conflicts: TagConflicts, *, dry_run: bool) -> None:
        self._mover = mover
        self._reader = reader
        self._conflicts = conflicts
        self._dry_run = dry_run
        self._copied: Memo[_Key, CopiedArtifacts] = Memo()
        self._list_locks: dict[tuple[str, Digest], asyncio.Lock] = {}
        self._written: set[tuple[str, Digest]] = set()
        """Fallback indexes that this pass has written."""

    def __repr__(self) -> str:
        return f"<ArtifactCopier: artifacts of {len(self._copied)} manifests copied>"

    def forget_failures(self) -> None:
        """Ensure that everything that failed is tried again."""
        self._copied.keep_only(lambda copied: copied.error is None)

    async def copy(
        self, attached: Attached, source: Repository, destination: Destination, budget: Budget, *, is_deep: bool
    ) -> CopiedArtifacts:
        """
        Ensure that all that is attached to one manifest is at the target; the result has the error, if any.

        With `is_deep`, artifacts that the target has are checked down to their blobs.
        """
        is_first = False

        async def copy() -> CopiedArtifacts:
            nonlocal is_first
            is_first = True
            # The image is charged even if it fails meanwhile.
            beside = destination.beside()
            try:
                return await self._copy(attached, source, beside, budget, is_deep=is_deep)
            finally:
                destination.blobs += beside.blobs
                destination.bytes_transferred += beside.bytes_transferred
                destination.lost += beside.lost
                destination.repaired += beside.repaired

        key = (attached.subject, attached.contents, source.name, destination.repository.name, is_deep)
        copied = await self._copied.get(key, copy)
        return copied if is_first else replace(copied, transferred=0)

    async def _copy(
        self, attached: Attached, source: Repository, destination: Destination, budget: Budget, *, is_deep: bool
    ) -> CopiedArtifacts:
        copier = ImageCopier(
            source, destination, mover=self._mover, reader=self._reader, budget=budget, is_artifact=True
        )
        task = _Task(source, destination, copier, is_deep, gone=attached.gone)
        failure: OcyncError | None = None
        try:
            # In order, so that an artifact is there before what is attached to it.
            for attachment in attached.attachments:
                if attachment.referrers:
                    await self._copy_referrers(attachment, task)
                await each_of(attachment.tags, partial(self._copy_tag, subject=attachment.subject, task=task))
        except OcyncError as error:
            failure = error
        finally:
            copier.close()
        return CopiedArtifacts(present=task.present, transferred=task.transferred, gone=task.gone, error=failure)

    # By reference

    async def _copy_referrers(self, attachment: Attachment, task: _Task) -> None:
        listed = await self._look(attachment, task)

        async def copy(descriptor: Descriptor) -> None:
            if descriptor.digest not in listed.present or not await self._complete(descriptor, task):
                await self._copy_missing(descriptor, attachment.subject, task, listed=listed)
            else:
                task.present += 1

        try:
            await each_of(attachment.referrers, copy)
        finally:
            # What was copied is listed even if another artifact failed.
            await self._add_to_index(listed, attachment, task)

    async def _look(self, attachment: Attachment, task: _Task) -> _Listing:
        """Return what the target lists for the subject; a subject that was just copied costs no request."""
        destination, repository = task.destination, task.destination.repository
        subject = attachment.subject
        tag = referrers.fallback_tag(subject)
        listed = _Listing(was_read=destination.lacks(tag))
        # A fallback index can exist before its subject.
        if (destination.is_empty or subject in task.brought) and listed.was_read:
            return listed
        by_api = await unless_refused(repository.referrers(subject))
        # The fallback index is read beside the API if the tag is known to exist, or if the source has one too and
        # the API lists less: a manifest without a subject is listed there alone.
        listed.present = {descriptor.digest for descriptor in by_api or ()}
        is_short = attachment.fallback is not None and any(
            descriptor.digest not in listed.present for descriptor in attachment.referrers
        )
        if not listed.was_read and (by_api is None or destination.tags is not None or is_short):
            listed.index = await read_list(repository, subject)
            listed.was_read = True
        wanted = [each.digest for each in attachment.referrers if each.digest not in listed.present]
        listed.present |= await listed_and_there(repository, listed.index, wanted)
        return listed

    async def _complete(self, descriptor: Descriptor, task: _Task) -> bool:
        """Return whether the target has a listed artifact; a deep copy restores what is missing below it."""
        if not task.is_deep or task.destination.claims.has_manifest(task.destination.repository, descriptor.digest):
            return True
        # By digest alone: a fallback index may give a wrong size.
        manifest = await self._reader.at_target(descriptor.digest, task.destination)
        if manifest is None:
            return False
        await task.copier.contents(manifest, is_there=True)
        task.destination.claims.manifest_seen(task.destination.repository, descriptor.digest)
        return True

    async def _copy_missing(
        self,
        descriptor: Descriptor,
        subject: Digest,
        task: _Task,
        *,
        tag: str | None = None,
        manifest: Manifest | None = None,
        listed: _Listing | None = None,
    ) -> None:
        """Copy an artifact that the target lacks; in a dry run, count it."""
        if self._dry_run:
            task.transferred += 1
            task.brought.add(descriptor.digest)
            return
        if manifest is None:
            try:
                # By digest alone: a fallback index may give a wrong size, and so may a HEAD.
                manifest = await self._reader.read(descriptor.digest, task.source)
            except NotFoundError:
                if tag is not None:
                    raise
                log.warning(
                    "%s lists %s as attached to %s but does not have it",
                    task.source.name,
                    descriptor.digest,
                    subject,
                )
                task.gone += 1
                return
        try:
            await task.copier.contents(manifest, is_immediate=True)
            is_linked = await task.copier.put(manifest, tag)
        except OcyncError as error:
            _explain(error, manifest, descriptor, tag)
            raise
        task.present += 1
        task.transferred += 1
        task.destination.repaired += task.destination.is_audited
        task.brought.add(manifest.digest)
        is_of_subject = manifest.subject is not None and manifest.subject.digest == subject
        if listed is not None and not (is_of_subject and is_linked):
            listed.unlisted[manifest.digest] = referrers.entry_of(manifest)

    async def _add_to_index(self, listed: _Listing, attachment: Attachment, task: _Task) -> None:
        """Ensure that the fallback index lists what the target does not list by itself."""
        if not listed.unlisted:
            return
        repository, subject = task.destination.repository, attachment.subject
        key = (repository.name, subject)
        try:
            # Two mappings may copy artifacts of one image from two sources.
            async with self._list_locks.setdefault(key, asyncio.Lock()):
                if not listed.was_read or key in self._written:
                    listed.index = await read_list(repository, subject)
                else:
                    # The copy may have taken long, and other clients attach artifacts too.
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
            task.present -= len(listed.unlisted)
            raise

    # By tag

    async def _copy_tag(self, attached: AttachedTag, *, subject: Digest, task: _Task) -> None:
        repository = task.destination.repository
        async with self._conflicts.exclusive(repository.name, attached.tag):
            wanted = Wanted(attached, task.source)
            there = await self._find_tag(wanted, task)
            # What another client has put there is not checked below.
            if there is not None and (there != wanted.digest or await self._complete(attached.descriptor, task)):
                task.present += 1
                return
            await self._copy_missing(attached.descriptor, subject, task, tag=attached.tag, manifest=wanted.manifest)
            self._conflicts.record(repository.name, attached.tag, task.source, attached.descriptor.digest)

    async def _find_tag(self, wanted: Wanted, task: _Task) -> Digest | None:
        """
        Return what the target keeps under the tag: the source's, the same with more signatures, or an earlier
        source's.
        """
        destination, repository, tag = task.destination, task.destination.repository, wanted.tag
        there = recorded = self._conflicts.written(repository.name, tag)
        # A signature made since the tags were listed must not be overwritten.
        if there is None and not (self._dry_run and destination.lacks(tag)):
            head = await unless_refused(repository.head(tag))
            there = None if head is None else head.digest
        if there is None or there == wanted.digest:
            return there
        if await self._conflicts.prefer_earlier_source(repository.name, tag, wanted.source, there):
            return there
        return there if recorded is None and await wanted.compare_with(repository) else None


def _explain(error: OcyncError, manifest: Manifest, descriptor: Descriptor, tag: str | None) -> None:
    """Give a refused artifact's error a hint that names its type, as the source gives it."""
    kind = descriptor.artifact_type if tag is None else next(iter(referrers.types_of_tag(tag)), "")
    if isinstance(error, ImmutableTagError) and tag is not None:
        error.hint = (
            "each new signature is appended to this tag: let the target move tags like sha256-*.sig, or leave such "
            f"artifacts out with artifacts.exclude: ['{kind}']"
        )
    if not isinstance(error, ProtocolError) or error.hint is not None:
        return
    if error.status == 415 or error.code in _REFUSED_AS_A_MANIFEST:
        remedy = f"leave it out with artifacts.exclude: ['{kind}']" if kind else "set artifacts.enabled: false"
        error.hint = (
            f"it is an artifact of type {kind or 'unknown'}, in a manifest of type {manifest.media_type}: "
            f"if the target takes no such, {remedy}"
        )
