"""
One image at one target in the order in which it is copied: its contents, what is attached to it, then its tag.

A cluster that admits only signed images would refuse a tag whose signatures are not there yet.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import IncompleteArtifactsError
from ocync.lib.tasks import each_of
from ocync.oci import media
from ocync.plan.budget import MAX_DEPTH
from ocync.plan.compare import decide, look
from ocync.plan.model import Copy, Skip
from ocync.transfer import outcome
from ocync.transfer.image import ImageCopier
from ocync.transfer.result import ArtifactCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Manifest
    from ocync.plan.attachments import Attached
    from ocync.plan.budget import Budget
    from ocync.plan.model import Decision, ImagePlan
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.destination import Destination
    from ocync.transfer.referrers.copy import ArtifactCopier
    from ocync.transfer.signatures import SignatureCheck
    from ocync.transfer.tree import ManifestReader, Tree

log = logging.getLogger(__name__)


class ImageSync:
    """Carries out plans of images; made for one pass."""

    def __init__(
        self,
        *,
        mover: BlobMover,
        reader: ManifestReader,
        artifacts: ArtifactCopier,
        signatures: SignatureCheck,
        dry_run: bool,
        copied: Callable[[ImagePlan, Tree], None],
    ) -> None:
        """`copied` is called with the manifests of each image that is copied."""
        self._mover = mover
        self._reader = reader
        self._artifacts = artifacts
        self._signatures = signatures
        self._dry_run = dry_run
        self._copied = copied

    async def carry_out(self, plan: ImagePlan, destination: Destination, budget: Budget) -> Decision:
        """
        Ensure that all of the image is at the target; raises OcyncError, perhaps in a group.

        Returns the decision that was carried out: another client may have set an immutable tag meanwhile.
        """
        copier = ImageCopier(
            plan.candidate.source, destination, mover=self._mover, reader=self._reader, budget=budget
        )
        try:
            return await self._carry_out(plan, copier, destination, budget)
        finally:
            copier.close()

    async def _carry_out(
        self, plan: ImagePlan, copier: ImageCopier, destination: Destination, budget: Budget
    ) -> Decision:
        root = plan.root
        destination.there = plan.there
        is_copied = isinstance(plan.decision, Copy)
        if is_copied:
            # Before the first byte, so that no part of an unsigned image gets to a target.
            await self._signatures.require(plan, destination, budget)
        async with asyncio.TaskGroup() as group:
            searching = group.create_task(self._attached(plan, destination, budget))
            contents = None
            if root is not None and not self._dry_run and (is_copied or destination.is_audited):
                contents = group.create_task(copier.contents(root))
        attached = searching.result()
        if contents is not None and is_copied:
            self._copied(plan, contents.result())
        tag = outcome.tag_of(plan.candidate)
        is_put = is_copied and not self._dry_run
        if (
            is_put
            and root is not None
            and (tag is None or any(each.subject == root.digest and each.count for each in attached))
        ):
            # Before what is attached to it: not all registries link a subject that comes later, and Harbor refused
            # cosign's tags without the image that they name (goharbor/harbor#19137, sigstore/cosign#2208).
            await copier.put_once(root)
        await self._copy_artifacts(plan, attached, destination, budget)
        if not is_put or root is None or tag is None:
            return plan.decision
        if plan.candidate.immutable and destination.lacks(tag):
            # The tag may have been set since the tags were listed.
            seen = await look(plan.candidate.target.unlisted, tag, whole=False)
            decision = decide(root.digest, seen.there, root.raw, immutable=True)
            if isinstance(decision, Skip):
                return decision
        await copier.put(root, tag)
        return plan.decision

    async def _attached(self, plan: ImagePlan, destination: Destination, budget: Budget) -> tuple[Attached, ...]:
        """Return what is attached to the image's manifests; raises IncompleteArtifactsError if it is uncertain."""
        attachments = plan.candidate.attachments
        if attachments is None:
            return ()
        name = outcome.source_name(plan.candidate)
        try:
            found: list[Attached] = []

            async def search(subject: Digest) -> None:
                found.append(await attachments.of(subject, budget))

            await each_of(await self._subjects(plan, destination, budget), search)
            unmatched = 0
            if plan.original is not None:
                unmatched = (await attachments.of(plan.original, budget)).count
        except Exception as error:
            cause = outcome.as_ocync_error(error, name)
            raise IncompleteArtifactsError.because(cause, "what is attached to it can't be known") from error
        if unmatched:
            log.warning(
                "%s: artifacts of the whole index do not match its selected platforms and are left out (%d); those "
                "of its images are copied",
                name,
                unmatched,
            )
        count = sum(each.count for each in found)
        destination.artifacts = ArtifactCounts(source=count, unmatched=unmatched)
        if not count:
            self._require(plan, "nothing is attached to it at the source")
        return tuple(each for each in found if each.count or each.gone)

    async def _subjects(self, plan: ImagePlan, destination: Destination, budget: Budget) -> list[Digest]:
        """Return the digests of the image's manifests, without an index that `platforms` reduced."""
        subjects = {} if plan.original is not None else {plan.resolved.digest: None}
        level: list[Manifest] = [plan.root] if plan.root is not None else []
        for _ in range(MAX_DEPTH):
            children = [child for index in level for child in index.copied_children if child.digest not in subjects]
            subjects |= dict.fromkeys(child.digest for child in children)
            budget.check(len(subjects))
            level = []
            for child in {child.digest: child for child in children}.values():
                if child.media_type in media.INDEXES:
                    # The target's copy costs no pull at a source that counts pulls.
                    index = await self._reader.at_target(child.digest, destination, size=child.size)
                    level.append(index or await self._reader.at_source(child, plan.candidate.source, destination))
            if not level:
                break
        return list(subjects)

    async def _copy_artifacts(
        self, plan: ImagePlan, attached: Iterable[Attached], destination: Destination, budget: Budget
    ) -> None:
        is_deep = destination.is_audited or (isinstance(plan.decision, Copy) and not self._dry_run)

        async def copy(each: Attached) -> None:
            copied = await self._artifacts.copy(each, plan.candidate.source, destination, budget, is_deep=is_deep)
            destination.artifacts = (destination.artifacts or ArtifactCounts()) + ArtifactCounts(
                # What is gone at the source is counted separately. Tags that are gone were never counted.
                source=each.gone - copied.gone,
                target=copied.present,
                transferred=copied.transferred,
                gone=copied.gone,
            )
            if copied.error is not None:
                what = f"not all that is attached to it is at {destination.repository.name}"
                raise IncompleteArtifactsError.because(copied.error, what)

        await each_of(attached, copy)
        counts = destination.artifacts
        if self._dry_run or counts is None:
            return
        if counts.target < counts.source:
            raise IncompleteArtifactsError(
                f"{counts.target} of {counts.source} artifacts of it are at {destination.repository.name}"
            )
        if not counts.source:
            self._require(plan, "all that is listed as attached to it is gone at the source")

    def _require(self, plan: ImagePlan, why: str) -> None:
        """Raise IncompleteArtifactsError if the mapping demands that something is attached to the image."""
        if not plan.candidate.mapping.artifacts.require_artifacts:
            return
        name = outcome.source_name(plan.candidate)
        raise IncompleteArtifactsError(
            f"{name}: {why}, and artifacts.require_artifacts demands artifacts",
            hint="have it signed, or exclude its tag",
        )
