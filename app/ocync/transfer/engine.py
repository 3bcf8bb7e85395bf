"""
The pass: mappings in, results out, everything at once and nothing without bound.

Mappings are resolved some at a time, each handing its images to a short queue; workers take them from there,
in turn by source, compare and copy. No stage waits for the one before it to end. What fails for a passing reason is
tried once more at the end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocync.config.model import MappingConfig
from ocync.errors import ErrorKind, InterruptedPassError, NotFoundError, OcyncError
from ocync.memory.memory import Memory
from ocync.plan.compare import compare
from ocync.plan.discover import discover
from ocync.plan.model import Broken, Candidate, Copy, Skip
from ocync.transfer import outcome
from ocync.transfer.artifacts import ArtifactCopy
from ocync.transfer.audit import Audit
from ocync.transfer.carry import Carrier
from ocync.transfer.destination import Destination
from ocync.transfer.events import (
    BytesExpected,
    BytesMoved,
    ImageFinished,
    ImageStarted,
    MappingResolved,
    MappingsCounted,
)
from ocync.transfer.image_queue import ImageQueue
from ocync.transfer.ledger import Ledger
from ocync.transfer.recall import Recall
from ocync.transfer.result import BlobStats, ImageResult, Reason, Status
from ocync.transfer.rivals import Rivals
from ocync.transfer.signatures import Signatures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from ocync.interrupt import Stop
    from ocync.plan.discover import Places, Resolved
    from ocync.plan.model import ImagePlan
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.events import Sink
    from ocync.transfer.staging import Staging

log = logging.getLogger(__name__)

Work = MappingConfig | Candidate
"""What can be tried again: a mapping or an image."""
# Mappings of a source whose tags are listed at once: enough to hide the round trips, and few tag lists in memory.
_MAPPINGS_AT_ONCE = 16


def _source(work: Work) -> str:
    return (work if isinstance(work, MappingConfig) else work.mapping).source.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """What bounds a pass."""

    images_at_once: int = 50
    dry_run: bool = False
    audit: float | None = None
    """Look at all that targets hold below their tags, and read and hash this share of the blobs (0 to 1)."""


class Pass:
    """One pass over mappings or images; made for one run."""

    def __init__(
        self,
        *,
        places: Places,
        settings: PassSettings,
        policy: RetryPolicy,
        stop: Stop,
        sink: Sink,
        resolved: Callable[[Resolved], None] = lambda _resolved: None,
        clock: Callable[[], float] = time.monotonic,
        memory: Memory | None = None,
        staging: Staging | None = None,
    ) -> None:
        self._places = places
        self._memory = Memory() if memory is None else memory
        self._settings = settings
        self._staging = staging
        self._policy = policy
        self._stop = stop
        self._sink = sink
        self._on_resolved = resolved
        self._clock = clock
        self._ledgers: dict[str, Ledger] = {}
        self._limits: set[asyncio.Timeout] = set()
        self._results: list[ImageResult] = []
        self._again: list[Work] = []
        self._second_round = False
        # What was sent in vain in the first round, so that the report does not forget it.
        self._earlier: dict[str, Destination] = {}
        # Who audits targets takes nothing on trust.
        self._trusted = self._memory if settings.audit is None else None
        self._rivals = Rivals(places)
        self._artifacts = ArtifactCopy(
            policy,
            dry_run=settings.dry_run,
            memory=self._memory,
            believes=settings.audit is None,
            rivals=self._rivals,
        )
        self._carrier = Carrier(
            policy,
            self._artifacts,
            dry_run=settings.dry_run,
            audit=None if settings.audit is None else Audit(policy, share=settings.audit),
            signatures=Signatures(policy),
        )

    async def run(self, work: Sequence[MappingConfig | Candidate]) -> tuple[ImageResult, ...]:
        """
        Bring all targets up to date; one result for each image at each target, in the order they ended.

        Never raises for what happens to an image or a mapping. After a stop was requested nothing is begun, what
        is in flight gets the stop's grace, and all that is left ends as failed, interrupted.
        """
        self._sink(MappingsCounted(len(work)))
        self._rivals.know(item for item in work if isinstance(item, MappingConfig))
        with self._stop.listening(self._limit_all):
            await self._round(work)
            if self._again:
                again, self._again = self._again, []
                self._second_round = True
                for ledger in self._ledgers.values():
                    ledger.forget_failures()
                self._artifacts.forget_failures()
                if not self._stop.requested():
                    log.info("trying %d failed images or mappings once more", len(again))
                # After a stop nothing is begun here either: this gives each of them its result.
                await self._round(again)
        return tuple(self._results)

    async def _round(self, work: Iterable[Work]) -> None:
        by_source: dict[str, list[Work]] = {}
        for item in work:
            by_source.setdefault(_source(item), []).append(item)
        queue = ImageQueue(
            self._settings.images_at_once, [source for source, items in by_source.items() for _ in items]
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.images_at_once):
                group.create_task(self._work(queue))
            for source, items in by_source.items():
                remaining = iter(items)
                for _ in range(min(_MAPPINGS_AT_ONCE, len(items))):
                    group.create_task(self._resolve_all(source, remaining, queue))

    async def _resolve_all(self, source: str, work: Iterable[Work], queue: ImageQueue) -> None:
        for item in work:
            for candidate in await self._resolve(item):
                await queue.put(source, candidate)
            queue.resolved(source)

    async def _resolve(self, item: Work) -> Sequence[Candidate]:
        """Return the images of a mapping that have to be looked at; those that need not be have their results."""
        if not isinstance(item, MappingConfig):
            return [item]
        started = self._clock()
        try:
            async with self._limited():
                resolved = await discover(item, self._places, self._trusted)
        except Exception as error:
            self._mapping_failed(item, outcome.as_ocync_error(error, item.name), started)
            return []
        self._on_resolved(resolved)
        self._forget_emptied(resolved)
        images = len(resolved.candidates) + len(resolved.settled)
        self._sink(MappingResolved(item.name, images * len(item.targets)))
        if self._settings.audit is not None:
            # That a tag stays says nothing of what is below it.
            return [*resolved.candidates, *resolved.settled]
        for candidate in resolved.settled:
            for index in range(len(candidate.targets)):
                self._finish(outcome.skipped(candidate, index, Skip(reason=Reason.IMMUTABLE_TAG), 0.0))
        return resolved.candidates

    async def _work(self, queue: ImageQueue) -> None:
        while (item := await queue.get()) is not None:
            source, candidate = item
            await self._bring(candidate)
            queue.finished(source)

    async def _bring(self, candidate: Candidate) -> None:
        """Compare and copy one image, with one result for each of its targets."""
        started = self._clock()
        destinations: dict[int, Destination] = {}
        try:
            async with self._limited():
                plan = await compare(candidate, whole=self._settings.audit is not None)
                await self._carry_out(plan, destinations, started)
        except Exception as error:
            failure = outcome.as_ocync_error(error, f"{candidate.source.name}:{candidate.tag}")
            if isinstance(failure, NotFoundError) and candidate.optional:
                log.info("%s:%s is not there and was not demanded", candidate.source.name, candidate.tag)
            else:
                self._image_failed(candidate, destinations, failure, started)

    async def _carry_out(self, plan: ImagePlan, destinations: dict[int, Destination], started: float) -> None:
        candidate = plan.candidate
        for index, decision in enumerate(plan.decisions):
            match decision:
                case Skip() if not self._looks_below(candidate, decision):
                    earlier = self._earlier.pop(outcome.target_name(candidate, index), None)
                    self._finish(outcome.skipped(candidate, index, decision, self._clock() - started, earlier))
                case Broken(error=error):
                    self._target_failed(candidate, index, None, error, started)
                case Skip() | Copy():
                    destinations[index] = self._destination(candidate, index)
        if not destinations:
            return
        for index, destination in destinations.items():
            if isinstance(plan.decisions[index], Copy):
                destination.note(plan.present[index])
                if not self._settings.dry_run:
                    self._sink(ImageStarted(outcome.target_name(candidate, index)))
        await self._carrier.carry(plan, destinations)
        for index in list(destinations):
            destination, decision = destinations.pop(index), plan.decisions[index]
            elapsed = self._clock() - started
            if destination.error is not None:
                self._target_failed(candidate, index, destination, destination.error, started)
            elif isinstance(decision, Skip):
                self._finish(outcome.skipped(candidate, index, decision, elapsed, destination))
            else:
                self._finish(outcome.synced(plan, index, destination, elapsed))

    def _looks_below(self, candidate: Candidate, decision: Skip) -> bool:
        """Tell whether more than its tag is looked at of an image that a target has."""
        # An immutable tag that the source has set anew leads to what the source can't tell of.
        is_kept = decision.reason is Reason.IMMUTABLE_TAG
        return not is_kept and (candidate.attachments is not None or self._settings.audit is not None)

    def _forget_emptied(self, resolved: Resolved) -> None:
        """Forget what earlier passes knew of repositories that hold nothing now."""
        for target in resolved.candidates[0].targets if resolved.candidates else ():
            if target.is_empty:
                self._memory.forget_repository(target.repository.place, target.repository.path)

    def _ledger(self, place: str) -> Ledger:
        if place not in self._ledgers:
            # A look at a folder costs no request.
            recall = Recall(None if place.startswith("oci:") else self._memory)
            self._ledgers[place] = Ledger(recall=recall)
        return self._ledgers[place]

    def _destination(self, candidate: Candidate, index: int) -> Destination:
        target = candidate.targets[index]
        key = outcome.target_name(candidate, index)
        earlier = self._earlier.pop(key, None)
        return Destination(
            bytes_transferred=earlier.bytes_transferred if earlier else 0,
            blobs=earlier.blobs if earlier else BlobStats(),
            repository=target.repository,
            ledger=self._ledger(target.repository.place),
            is_empty=target.is_empty,
            tags=target.tags,
            staging=self._staging,
            expected=lambda count: self._sink(BytesExpected(key, count)),
            moved=lambda count: self._sink(BytesMoved(key, count)),
        )

    def _mapping_failed(self, mapping: MappingConfig, error: OcyncError, started: float) -> None:
        if self._is_tried_again(mapping, error):
            return
        elapsed = self._clock() - started
        self._sink(MappingResolved(mapping.name, len(mapping.targets)))
        for result in outcome.unresolved(mapping, self._places, self._final(error), elapsed):
            self._finish(result)

    def _image_failed(
        self, candidate: Candidate, destinations: dict[int, Destination], error: OcyncError, started: float
    ) -> None:
        """Record that the image failed at all targets for which nothing has been recorded yet."""
        # As one and not for each target: what follows the image goes to all of them.
        if not destinations and self._is_tried_again(candidate, error):
            return
        indices = list(destinations) or range(len(candidate.targets))
        for index in indices:
            self._target_failed(candidate, index, destinations.get(index), error, started)

    def _target_failed(
        self, candidate: Candidate, index: int, destination: Destination | None, error: OcyncError, started: float
    ) -> None:
        key = outcome.target_name(candidate, index)
        # Only this target: the others have their results.
        if self._is_tried_again(replace(candidate, targets=(candidate.targets[index],)), error):
            if destination is not None:
                self._earlier[key] = destination
            return
        destination = destination or self._earlier.pop(key, None)
        elapsed = self._clock() - started
        self._finish(outcome.failed(candidate, index, destination, self._final(error), elapsed))

    def _is_tried_again(self, work: Work, error: OcyncError) -> bool:
        """Keep for the second round what failed for a passing reason in the first one; tell whether it is kept."""
        if not error.retryable or self._second_round or self._stop.requested():
            return False
        log.info("tried once more at the end: %s", error.message)
        self._again.append(work)
        return True

    def _final(self, error: OcyncError) -> OcyncError:
        """Return the error that is told: a passing one that a stop keeps from another try is the stop's."""
        if error.retryable and self._stop.requested():
            return InterruptedPassError(f"not tried again ({self._stop.reason}): {error.message}")
        return error

    def _finish(self, result: ImageResult) -> None:
        if result.status is Status.FAILED and result.error is not None:
            log.log(
                logging.INFO if result.error.kind is ErrorKind.INTERRUPTED else logging.WARNING,
                "%s -> %s failed: %s",
                result.source,
                result.target,
                result.error.message,
            )
        else:
            log.debug("%s -> %s: %s", result.source, result.target, result.reason or result.status)
        self._results.append(result)
        self._sink(ImageFinished(result))

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """Raise InterruptedPassError when the stop comes before the body has begun, or its grace is over."""
        if self._stop.requested():
            raise InterruptedPassError(f"not begun: {self._stop.reason}")
        limit = asyncio.timeout(None)
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if limit.expired():
                raise InterruptedPassError(f"cut off: {self._stop.reason}") from error
            raise
        finally:
            self._limits.discard(limit)

    def _limit_all(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now + seconds)
