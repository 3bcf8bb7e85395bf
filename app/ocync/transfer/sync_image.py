"""
One image at one target with all that belongs to it: what it consists of, what is attached to it, then its tag.

In this order nobody ever sees a tag whose signatures are still on their way: a cluster that admits only what is
signed would refuse what it has been told to run.
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
    from ocync.transfer.referrers.copy import ArtifactCopy
    from ocync.transfer.signatures import SignatureCheck
    from ocync.transfer.tree import ManifestReader, Tree

log = logging.getLogger(__name__)


class ImageSync:
    """Carries out plans, one image at one target at a time; made for one pass."""

    def __init__(
        self,
        *,
        mover: BlobMover,
        reader: ManifestReader,
        artifacts: ArtifactCopy,
        signatures: SignatureCheck | None = None,
        dry_run: bool = False,
        copied: Callable[[ImagePlan, Tree], None] = lambda _plan, _tree: None,
    ) -> None:
        """
        With `signatures`, images are verified whose mappings say so.

        `copied` is told of the manifests of each image that is copied.
        """
        self._mover = mover
        self._reader = reader
        self._artifacts = artifacts
        self._signatures = signatures
        self._dry_run = dry_run
        self._copied = copied

    async def carry_out(self, plan: ImagePlan, destination: Destination, budget: Budget) -> Decision:
        """
        Ensure that all of the image is at the target; raises OcyncError, perhaps in a group.

        Returns the decision as it was carried out: somebody else may have set a tag meanwhile that never changes.
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
        if is_copied and self._signatures is not None:
            # Before the first byte: nothing of an image that nobody vouches for gets to a target.
            await self._signatures.require(plan, destination, budget)
        brings = root is not None and not self._dry_run and (is_copied or destination.is_audited)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._attached(plan, destination, budget))
            contents = group.create_task(copier.contents(root)) if brings and root is not None else None
        attached = looking.result()
        if contents is not None and is_copied:
            self._copied(plan, contents.result())
        tag = outcome.tag_of(plan.candidate)
        if (
            is_copied
            and root is not None
            and not self._dry_run
            and (tag is None or _is_referred_to(root, attached))
        ):
            # There before what refers to it: registries need not, and not all do, link it to what comes later.
            await copier.put_once(root)
        await self._bring(plan, attached, destination, budget)
        if not is_copied or root is None or self._dry_run or tag is None:
            return plan.decision
        if plan.candidate.immutable and destination.lacks(tag):
            # What the list has told may be old by now.
            there = await look(plan.candidate.target.unlisted, tag, whole=False)
            decision = decide(root.digest, there, root.raw, immutable=True)
            if isinstance(decision, Skip):
                return decision
        await copier.put(root, tag)
        return plan.decision

    async def _attached(self, plan: ImagePlan, destination: Destination, budget: Budget) -> tuple[Attached, ...]:
        """
        Return what is attached to the image's manifests; raises IncompleteArtifactsError where that can't be told.
        """
        attachments = plan.candidate.attachments
        if attachments is None:
            return ()
        name = outcome.source_name(plan.candidate)
        try:
            found: list[Attached] = []

            async def look_at(subject: Digest) -> None:
                found.append(await attachments.of(subject, budget))

            await each_of(await self._subjects(plan, destination, budget), look_at)
            unmatched = 0
            if plan.original is not None:
                unmatched = (await attachments.of(plan.original, budget)).count
        except Exception as error:
            cause = outcome.as_ocync_error(error, name)
            raise IncompleteArtifactsError.because(cause, "what is attached to it can't be known") from error
        if unmatched:
            log.warning(
                "%s: artifacts of the whole index do not match the platforms that are kept of it, and are left out "
                "(%d); those of its images are copied",
                name,
                unmatched,
            )
        count = sum(each.count for each in found)
        destination.artifacts = ArtifactCounts(source=count, unmatched=unmatched)
        if not count:
            self._require(plan, "nothing is attached to it at the source")
        return tuple(each for each in found if each.count or each.gone)

    async def _subjects(self, plan: ImagePlan, destination: Destination, budget: Budget) -> list[Digest]:
        """Return the digests of an image's manifests: what can be signed; not that of an index made here."""
        subjects = {} if plan.original is not None else {plan.resolved.digest: None}
        level: list[Manifest] = [plan.root] if plan.root is not None else []
        for _ in range(MAX_DEPTH):
            children = [child for index in level for child in index.copied_children if child.digest not in subjects]
            subjects |= dict.fromkeys(child.digest for child in children)
            budget.check(len(subjects))
            level = []
            for child in {child.digest: child for child in children}.values():
                if child.media_type in media.INDEXES:
                    # The target's own is nearer, and costs no pull at a source that counts them.
                    index = await self._reader.at_target(child.digest, destination, size=child.size)
                    level.append(index or await self._reader.at_source(child, plan.candidate.source, destination))
            if not level:
                break
        return list(subjects)

    async def _bring(
        self, plan: ImagePlan, attached: Iterable[Attached], destination: Destination, budget: Budget
    ) -> None:
        is_deep = destination.is_audited or (isinstance(plan.decision, Copy) and not self._dry_run)

        async def bring(each: Attached) -> None:
            brought = await self._artifacts.bring(each, plan.candidate.source, destination, budget, is_deep=is_deep)
            destination.artifacts = (destination.artifacts or ArtifactCounts()) + ArtifactCounts(
                # What is gone at the source can't be at the target: it is counted by itself. Of tags that is
                # known before they are counted.
                source=each.gone - brought.gone,
                target=brought.present,
                transferred=brought.transferred,
                gone=brought.gone,
            )
            if brought.error is not None:
                what = f"not all that is attached to it is at {destination.repository.name}"
                raise IncompleteArtifactsError.because(brought.error, what)

        await each_of(attached, bring)
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
        """Raise for an image that nothing is attached to, where its mapping demands that."""
        if not plan.candidate.mapping.artifacts.require_artifacts:
            return
        name = outcome.source_name(plan.candidate)
        raise IncompleteArtifactsError(
            f"{name}: {why}, and artifacts.require_artifacts demands that there is something",
            hint="have it signed, or exclude its tag",
        )


def _is_referred_to(root: Manifest, attached: Iterable[Attached]) -> bool:
    """Return whether anything refers to the image's own manifest, and not only to those below it."""
    return any(each.subject == root.digest and each.has_referrers for each in attached)
