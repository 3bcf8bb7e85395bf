"""
One image with all that belongs to it: what it consists of, then what is attached to it, then its tag.

In this order nobody ever sees a tag whose signatures are still on their way: a cluster that admits only what is
signed would refuse what it has been told to run.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.concurrency import each_of
from ocync.errors import IncompleteArtifactsError
from ocync.oci import media
from ocync.plan.model import Copy, Skip
from ocync.transfer import outcome
from ocync.transfer.image import MAX_DEPTH, ImageCopy
from ocync.transfer.result import ArtifactCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ocync.endpoint import Repository
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.attachments import Attached
    from ocync.plan.model import ImagePlan
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.artifacts import ArtifactCopy
    from ocync.transfer.audit import Audit
    from ocync.transfer.destination import Destination
    from ocync.transfer.signatures import Signatures

log = logging.getLogger(__name__)


class Carrier:
    """Carries out plans, one image at a time; made for one pass."""

    def __init__(
        self,
        policy: RetryPolicy,
        artifacts: ArtifactCopy,
        *,
        dry_run: bool = False,
        audit: Audit | None = None,
        signatures: Signatures | None = None,
    ) -> None:
        """
        With `signatures`, images are verified whose mappings say so.

        With `audit`, all that belongs to an image is looked at, and what a target has lost is brought again.
        """
        self._policy = policy
        self._artifacts = artifacts
        self._dry_run = dry_run
        self._audit = audit
        self._signatures = signatures

    async def carry(self, plan: ImagePlan, destinations: Mapping[int, Destination]) -> tuple[Attached, ...]:
        """
        Hold afterwards that all is at each destination, or that it has failed; their keys are the plan's targets.

        Destinations that have the image already are there for what is attached to it. Returns what is attached.
        """
        for index, destination in destinations.items():
            destination.has_image = isinstance(plan.decisions[index], Skip)
        copying = [each for index, each in destinations.items() if isinstance(plan.decisions[index], Copy)]
        copy = ImageCopy(plan.candidate.source, self._policy)
        try:
            return await self._carry(copy, plan, copying, destinations)
        finally:
            copy.close()

    async def _carry(
        self,
        copy: ImageCopy,
        plan: ImagePlan,
        copying: Sequence[Destination],
        destinations: Mapping[int, Destination],
    ) -> tuple[Attached, ...]:
        root = plan.root
        if self._signatures is not None and copying:
            # Before the first byte: nothing of an image that nobody vouches for gets to a target.
            await self._signatures.demand(plan, copying)
            copying = [destination for destination in copying if destination.alive]
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._attached(plan, list(destinations.values())))
            if root is not None and copying and not self._dry_run:
                group.create_task(copy.contents(root, copying))
        attached = looking.result()
        tag = outcome.tag_of(plan.candidate)
        is_put = False
        if root is not None and not self._dry_run and is_referred_to(root, attached):
            # There before what refers to it: registries need not, and not all do, link it to what comes later.
            await copy.put_once(root, copying)
            is_put = tag is None
        await self._bring(plan, attached, destinations)
        for index, destination in destinations.items():
            if self._audit is not None and destination.alive:
                decision = plan.decisions[index]
                there = decision.digest if isinstance(decision, Skip) else None
                await self._mend(copy, self._audit, _parts(plan, attached, there=there), destination)
        if root is not None and not self._dry_run and not is_put:
            await copy.put(root, copying, tag)
        return attached

    async def _attached(self, plan: ImagePlan, destinations: Sequence[Destination]) -> tuple[Attached, ...]:
        """Return what is attached to the image's manifests; where that can't be told, all destinations fail."""
        attachments = plan.candidate.attachments
        if attachments is None:
            return ()
        name = outcome.source_name(plan.candidate)
        try:
            found: list[Attached] = []

            async def look(subject: Digest) -> None:
                found.append(await attachments.of(subject))

            await each_of(await _subjects(plan), look)
            unmatched = 0
            if plan.original is not None:
                unmatched = (await attachments.of(plan.original)).count
        except Exception as error:
            cause = outcome.as_ocync_error(error, name)
            for destination in destinations:
                destination.fail(IncompleteArtifactsError.because(cause, "what is attached to it can't be known"))
            return ()
        if unmatched:
            log.warning(
                "%s: artifacts of the whole index do not match the platforms that are kept of it, and are left out "
                "(%d); those of its images are copied",
                name,
                unmatched,
            )
        count = sum(each.count for each in found)
        for destination in destinations:
            destination.artifacts = ArtifactCounts(source=count, unmatched=unmatched)
        if not count:
            self._require(plan, destinations, "nothing is attached to it at the source")
        return tuple(each for each in found if each.count or each.gone)

    async def _bring(
        self, plan: ImagePlan, attached: Sequence[Attached], destinations: Mapping[int, Destination]
    ) -> None:
        alive = [destination for destination in destinations.values() if destination.alive]
        if not alive:
            return

        async def bring(each: Attached) -> None:
            brought = await self._artifacts.bring(each, plan.candidate.source, alive)
            for destination, one in zip(alive, brought, strict=True):
                destination.artifacts = (destination.artifacts or ArtifactCounts()) + ArtifactCounts(
                    # What is gone at the source can't be at the target: it is counted by itself. Of tags that is
                    # known before they are counted.
                    source=each.gone - one.gone,
                    target=one.present,
                    transferred=one.transferred,
                    gone=one.gone,
                )
                if one.error is not None:
                    what = f"not all that is attached to it is at {destination.repository.name}"
                    destination.fail(IncompleteArtifactsError.because(one.error, what))

        await each_of(attached, bring)
        if self._dry_run:
            return
        for destination in alive:
            counts = destination.artifacts
            if counts is None:
                continue
            if counts.target < counts.source:
                destination.fail(
                    IncompleteArtifactsError(
                        f"{counts.target} of {counts.source} artifacts of it are at {destination.repository.name}"
                    )
                )
            if not counts.source:
                self._require(plan, [destination], "all that is listed as attached to it is gone at the source")

    def _require(self, plan: ImagePlan, destinations: Sequence[Destination], why: str) -> None:
        """Let an image fail that nothing is attached to, where its mapping demands that."""
        if not plan.candidate.mapping.artifacts.require_artifacts:
            return
        name = outcome.source_name(plan.candidate)
        for destination in destinations:
            destination.fail(
                IncompleteArtifactsError(
                    f"{name}: {why}, and artifacts.require_artifacts demands that there is something",
                    hint="have it signed, or exclude its tag",
                )
            )

    async def _mend(
        self, copy: ImageCopy, audit: Audit, parts: Sequence[Descriptor], destination: Destination
    ) -> None:
        """Look at everything at one target, and bring again what is lost there."""
        repository = destination.repository
        try:
            lost = await audit.of(repository, parts)
        except Exception as error:
            destination.fail(outcome.as_ocync_error(error, repository.name))
            return
        destination.repaired = len(lost.manifests) + len(lost.blobs)
        if not lost:
            return
        log.warning("%s has lost %d manifests and blobs of its images", repository.name, destination.repaired)
        if self._dry_run:
            return
        for part in (*lost.manifests, *lost.blobs):
            destination.ledger.lost(repository, part.digest)

        async def bring_again(part: Descriptor) -> None:
            if part in lost.manifests:
                await copy.child(part, [destination])
            else:
                await copy.blob(part, [destination])

        # First blobs: a manifest that lists one of them is refused without it.
        await each_of(lost.blobs, bring_again)
        await each_of(lost.manifests, bring_again)


def _parts(plan: ImagePlan, attached: Sequence[Attached], *, there: Digest | None) -> list[Descriptor]:
    """
    Return the manifests and blobs that belong to an image, as far as they are known without reading more.

    `there` is by what digest a target has the image already: it may be of another algorithm than the source's.
    """
    parts = [descriptor for each in attached for descriptor in each.referrers]
    parts += [tag.descriptor for each in attached for attachment in each.attachments for tag in attachment.tags]
    if there is not None:
        return [replace(plan.resolved, digest=there), *parts]
    return [*plan.root.children, *plan.root.blobs, *parts] if plan.root is not None else parts


def is_referred_to(root: Manifest, attached: Iterable[Attached]) -> bool:
    """Tell whether anything refers to the image's own manifest, and not only to those below it."""
    return any(each.subject == root.digest and each.has_referrers for each in attached)


async def _subjects(plan: ImagePlan) -> list[Digest]:
    """Return the digests of an image's manifests: what can be signed; not that of an index made here."""
    reader: Repository = plan.candidate.source
    for target, decision in zip(plan.candidate.targets, plan.decisions, strict=True):
        if isinstance(decision, Skip):
            # It has the image whole, and is nearer.
            reader = target.repository
    subjects = {} if plan.original is not None else {plan.resolved.digest: None}
    level: list[Manifest] = [plan.root] if plan.root is not None else []
    for _ in range(MAX_DEPTH):
        below: list[Manifest] = []
        for index in level:
            for child in index.children:
                if child.digest in subjects or not media.is_manifest_like(child.media_type):
                    continue
                subjects[child.digest] = None
                if child.media_type in media.INDEXES:
                    below.append(await reader.manifest(str(child.digest), size=child.size))
        level = below
    return list(subjects)
