"""One attempt to bring one image to one target: compare, copy what is missing, and remember what was seen."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from ocync.lib.errors import NotFoundError
from ocync.plan.budget import Budget
from ocync.plan.compare import compare
from ocync.plan.model import Copy, Reason
from ocync.transfer import outcome
from ocync.transfer.claims import Claims
from ocync.transfer.destination import Destination
from ocync.transfer.events import BytesExpected, BytesMoved, ImageStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.cache.hints import Hints
    from ocync.lib.errors import RegistryError
    from ocync.oci.digest import Digest
    from ocync.plan.model import Candidate, ImagePlan
    from ocync.transfer.audit import Inspection
    from ocync.transfer.events import Sink
    from ocync.transfer.grace import Grace
    from ocync.transfer.result import ImageResult
    from ocync.transfer.sync_image import ImageSync

log = logging.getLogger(__name__)


class ImageAttempts:
    """Makes attempts, with what all of them have seen at each target host; made for one pass."""

    def __init__(
        self,
        sync: ImageSync,
        *,
        grace: Grace,
        memory: Hints,
        inspection: Inspection,
        sink: Sink,
        arrived: Callable[[Digest], None],
        dry_run: bool,
        pushes: bool,
    ) -> None:
        """
        `arrived` is called for each blob that is seen at a target host for the first time.

        Without `pushes` nothing that is put shows whether the target refuses the credentials.
        """
        self._sync = sync
        self._grace = grace
        self._memory = memory
        self._inspection = inspection
        self._sink = sink
        self._arrived = arrived
        self._dry_run = dry_run
        self._pushes = pushes
        self._gate = asyncio.Lock()
        self.claims: dict[str, Claims] = {}
        """What this pass has seen, by target host."""

    def __repr__(self) -> str:
        return f"<ImageAttempts at {len(self.claims)} hosts>"

    def claims_at(self, host: str) -> Claims:
        """Return what this pass has seen at a target host."""
        if host not in self.claims:
            self.claims[host] = Claims(host, memory=self._memory, arrived=self._arrived)
        return self.claims[host]

    def destination(self, candidate: Candidate, *, is_audited: bool, copies_unseen: bool = True) -> Destination:
        """Return a new destination for one attempt."""
        target = candidate.target
        key = outcome.target_name(candidate)
        return Destination(
            repository=target.repository,
            claims=self.claims_at(target.repository.host),
            image=candidate.image,
            tags=target.tags,
            inspect=self._inspection if is_audited else None,
            copies_unseen=copies_unseen,
            expected=lambda count: self._sink(BytesExpected(key, count)),
            moved=lambda count: self._sink(BytesMoved(key, count)),
        )

    async def run(self, candidate: Candidate, destination: Destination) -> ImagePlan | None:
        """
        Ensure that the image is at the target; raises OcyncError, perhaps in a group.

        Returns the plan with the decision that was carried out; None if the source lacks an optional tag.
        """
        budget = Budget(outcome.source_name(candidate), candidate.source.host, gate=self._gate)
        try:
            async with self._grace.limited():
                try:
                    plan = await compare(candidate, budget, audited=destination.is_audited)
                except NotFoundError as error:
                    if not candidate.optional:
                        raise
                    log.info("optional, and not found: %s", error.message)
                    return None
                if plan.refusal is not None:
                    self._not_shown(plan.refusal, destination, plan.candidate.destination_tag)
                if not _is_checked_below(plan, destination):
                    return plan
                if isinstance(plan.decision, Copy) and not self._dry_run:
                    self._sink(ImageStarted(outcome.target_name(candidate)))
                return replace(plan, decision=await self._sync.carry_out(plan, destination, budget))
        finally:
            budget.close()

    def _not_shown(self, refusal: RegistryError, destination: Destination, tag: str) -> None:
        """Go on after a refused look at the target's tag: the push will show whether it was meant."""
        if not self._pushes and refusal.status == HTTPStatus.UNAUTHORIZED:
            # A push without valid credentials would be refused too.
            raise refusal
        log.debug("not known to be there: %s", refusal.message)
        destination.not_shown(f"tag {tag}")

    def result(self, plan: ImagePlan, destination: Destination, elapsed: float) -> ImageResult:
        """Return the result of a plan that was carried out, and remember what was seen."""
        result = outcome.done(plan, destination, elapsed)
        if self._dry_run:
            return result
        candidate, digest = plan.candidate, plan.resolved.digest
        source, repository, tag = candidate.source, candidate.target.repository, candidate.destination_tag
        self._memory.learn_seen(source.host, source.path, candidate.tag, plan.source_digest)
        is_copied = isinstance(plan.decision, Copy)
        if is_copied:
            self._memory.learn_moved(repository.host, repository.path, tag, digest)
        if is_copied or (destination.is_audited and plan.decision.reason is not Reason.IMMUTABLE_TAG):
            self._memory.learn_looked_below(repository.host, repository.path, tag, digest)
        looked_below = self._memory.looked_below(repository.host, repository.path, tag, digest)
        return replace(result, looked_below=looked_below)


def _is_checked_below(plan: ImagePlan, destination: Destination) -> bool:
    """Return whether more than the tag is compared."""
    if isinstance(plan.decision, Copy):
        return True
    # What a kept immutable tag leads to may not be what the source has.
    is_kept = plan.decision.reason is Reason.IMMUTABLE_TAG
    return not is_kept and (plan.candidate.attachments is not None or destination.is_audited)
