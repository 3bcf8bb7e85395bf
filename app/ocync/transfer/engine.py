"""
A pass: from mappings to results, with bounds on everything that runs at once.

The unit of work is one image at one target. Each target host has its own workers, which take images from the
sources in turn, so that a host that hangs delays no other. Several mappings are resolved at a time, and each puts
its images into a short queue; no stage waits for an earlier one to end. What fails for a passing reason is tried
once more in a second round, when its hosts answer again. What had no try there, as others stood still at its host,
gets one in another round, as long as these copy something. A rolling audit of some unchanged images comes last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ocync.cache.hints import Hints
from ocync.lib.errors import InterruptedPassError, NetworkError, NotSentError, OcyncError, RegistryError
from ocync.lib.singleflight import Memo
from ocync.lib.tasks import each_of
from ocync.plan.discover import discover, target_state
from ocync.plan.model import Candidate, Reason, Skip
from ocync.transfer import outcome
from ocync.transfer.attempt import ImageAttempts
from ocync.transfer.audit import Inspection, RollingAudit
from ocync.transfer.blob_reads import BlobReads
from ocync.transfer.events import MappingResolved, MappingsCounted
from ocync.transfer.grace import Grace
from ocync.transfer.image_queue import ImageQueue
from ocync.transfer.outcome import Results
from ocync.transfer.referrers.copy import ArtifactCopier
from ocync.transfer.result import Status
from ocync.transfer.signatures import SignatureCheck
from ocync.transfer.sync_image import ImageSync
from ocync.transfer.tag_conflicts import TagConflicts
from ocync.transfer.tree import ManifestReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ocync.config.model import MappingConfig
    from ocync.lib.shutdown import Stop
    from ocync.oci.digest import Digest
    from ocync.oci.repository import Repository
    from ocync.plan.discover import Repositories, Resolved
    from ocync.plan.model import ImagePlan
    from ocync.registry.retry import RetryPolicy
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.destination import Destination
    from ocync.transfer.events import Sink
    from ocync.transfer.result import ImageResult
    from ocync.transfer.staging import Staging
    from ocync.transfer.tree import Tree

log = logging.getLogger(__name__)

RETURN_TIME = 30.0
"""Seconds to wait, before the second round, for a host that did not answer: its pod may move to another node."""

# Mappings of a source that are resolved at once: enough to hide round trips, with few tag lists in memory.
_MAPPINGS_AT_ONCE = 16
# Seconds that a host may ask to be left alone without losing the second try at what it has refused.
_SOON = 10.0
# Rolling audits at once: few, since their costs are known only afterwards and must stay within the share.
_AUDITS_AT_ONCE = 3
# The hint with the time at which the last pass ended.
_LAST_PASS = ("passes", "last")


def _seconds(text: str | None) -> float | None:
    """Return the hint as a number, if it is one: hints are not trusted."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _strip(error: BaseException) -> None:
    """Drop what would keep the frames that a stored error came through, and all their objects, in memory."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


@dataclass(frozen=True, slots=True)
class _MappingWork:
    """One mapping at one of its targets."""

    number: int
    mapping: MappingConfig
    target: int
    error: OcyncError | None = None
    """The error of the first round."""
    failed_at: float = 0.0
    """When that came, by the clock of the pass."""

    @property
    def lane(self) -> tuple[str, str]:
        return self.mapping.targets[self.target][0].name, self.mapping.source.name


@dataclass(frozen=True, slots=True)
class _ImageWork:
    """One image at one target."""

    candidate: Candidate
    error: OcyncError | None = None
    failed_at: float = 0.0

    @property
    def lane(self) -> tuple[str, str]:
        return self.candidate.target.repository.host, self.candidate.mapping.source.name


_Work = _MappingWork | _ImageWork


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """The settings of a pass."""

    images_at_once: int = 50
    """Images in flight, shared among the target hosts; each has at least as many as it has sources."""
    dry_run: bool = False
    is_rehearsal: bool = False
    """Whether what would be written is recorded: no push shows whether credentials are refused."""
    return_time: float = RETURN_TIME
    """Seconds to wait, before the second round, for a host that did not answer."""
    audit: float | None = None
    """Audit all images, and read and hash this share (0 to 1) of their blobs; None for no full audit."""
    audit_every: float | None = None
    """Period in seconds in which the rolling audit covers each image once; None for no rolling audit."""


class Pass:
    """One pass over mappings or images; runs once."""

    def __init__(
        self,
        *,
        repositories: Repositories,
        settings: PassSettings,
        policy: RetryPolicy,
        stop: Stop,
        sink: Sink,
        resolved: Callable[[Resolved], None] = lambda _resolved: None,
        copied: Callable[[ImagePlan, Tree], None] = lambda _plan, _tree: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        requests: Callable[[], int] = lambda: 0,
        memory: Hints | None = None,
        staging: Staging | None = None,
        mover: BlobMover | None = None,
    ) -> None:
        """
        `requests` returns the number of requests made so far: the rolling audit takes a share of them.

        `resolved` is called with the tags that a mapping selects, `copied` with the manifests of each copied image.
        """
        self._repositories = repositories
        self._memory = Hints() if memory is None else memory
        self._settings = settings
        self._stop = stop
        self._sink = sink
        self._on_resolved = resolved
        self._clock = clock
        self._now = now
        self._requests = requests
        self._grace = Grace(stop)
        self._results = Results(sink)
        self._again: list[_Work] = []
        self._is_second_round = False
        self._has_copied = False
        """Whether an image was copied in this round."""
        self._selected: Memo[int, Resolved] = Memo()
        self._left: Counter[int] = Counter()
        self._announced: set[int] = set()
        self._answers: Memo[str, bool] = Memo()
        # Failed attempts of the first round, by target: the report counts what they have sent.
        self._earlier: dict[str, Destination] = {}
        self._reads = BlobReads(policy, staging=staging, holds=self._holds)
        self._mover = mover or self._reads
        self._rolling = RollingAudit(
            None if settings.dry_run or settings.audit is not None else settings.audit_every,
            now(),
            _seconds(self._memory.hint(*_LAST_PASS)),
        )
        self._conflicts = TagConflicts(repositories)
        reader = ManifestReader()
        self._artifacts = ArtifactCopier(self._mover, reader, self._conflicts, dry_run=settings.dry_run)
        sync = ImageSync(
            mover=self._mover,
            reader=reader,
            artifacts=self._artifacts,
            signatures=SignatureCheck(policy),
            dry_run=settings.dry_run,
            copied=copied,
        )
        self._attempts = ImageAttempts(
            sync,
            grace=self._grace,
            memory=self._memory,
            inspection=Inspection(policy, share=settings.audit or 0.0),
            sink=sink,
            arrived=self._reads.changed,
            dry_run=settings.dry_run,
            pushes=not (settings.dry_run or settings.is_rehearsal),
        )

    async def run(self, work: Sequence[MappingConfig | Candidate]) -> tuple[ImageResult, ...]:
        """
        Return one result for each image at each target, in the order in which they ended.

        Raises nothing for a failure of an image or mapping. After a stop is requested nothing is begun, work in
        flight gets the stop's grace, and everything left fails as interrupted.
        """
        self._sink(MappingsCounted(len(work)))
        self._conflicts.set_mappings(item for item in work if not isinstance(item, Candidate))
        try:
            with self._grace.observed():
                await self._round(list(self._split(work)))
                while self._again:
                    await self._round_again()
                await self._audit_some()
                if not self._settings.dry_run:
                    self._memory.learn_hint(*_LAST_PASS, f"{self._now():.0f}")
        finally:
            await self._reads.close()
        return self._results.all()

    def _split(self, work: Iterable[MappingConfig | Candidate]) -> Iterator[_Work]:
        for number, item in enumerate(work):
            if isinstance(item, Candidate):
                yield _ImageWork(item)
            else:
                self._left[number] = len(item.targets)
                for target in range(len(item.targets)):
                    yield _MappingWork(number, item, target)

    async def _round_again(self) -> None:
        # What was not tried, as others stood still, comes first: those may stand still again.
        again, self._again = sorted(self._again, key=lambda item: not isinstance(item.error, NotSentError)), []
        self._is_second_round, self._has_copied = True, False
        self._answers = Memo()
        for claims in self._attempts.claims.values():
            claims.forget_failures()
        self._artifacts.forget_failures()
        self._left = Counter(item.number for item in again if isinstance(item, _MappingWork))
        if not self._stop.requested():
            log.info("trying %d failed images or mappings once more", len(again))
        # After a stop this begins nothing, and gives each of them its result.
        await self._round(again)

    async def _round(self, work: Iterable[_Work]) -> None:
        lanes: dict[str, dict[str, list[_Work]]] = {}
        for item in work:
            target, source = item.lane
            lanes.setdefault(target, {}).setdefault(source, []).append(item)
        self._reads.targets = max(1, len(lanes))
        at_once = max(1, self._settings.images_at_once // max(1, len(lanes)))
        async with asyncio.TaskGroup() as group:
            for by_source in lanes.values():
                queue = ImageQueue(at_once, [source for source, items in by_source.items() for _ in items])
                for _ in range(queue.workers):
                    group.create_task(self._work(queue))
                for source, items in by_source.items():
                    remaining = iter(items)
                    for _ in range(min(_MAPPINGS_AT_ONCE, len(items))):
                        group.create_task(self._resolve_all(source, remaining, queue))

    async def _resolve_all(self, source: str, work: Iterable[_Work], queue: ImageQueue) -> None:
        for item in work:
            if item.error is not None and not await self._is_worth_a_try(item, item.error):
                self._give_up(item, item.error)
                queue.resolved(source)
                continue
            candidates = [item.candidate] if isinstance(item, _ImageWork) else await self._resolve(item)
            for candidate in candidates:
                await queue.put(source, candidate)
            queue.resolved(source)

    async def _is_worth_a_try(self, item: _Work, error: OcyncError) -> bool:
        """
        Return whether what failed in the first round may succeed now.

        A host that did not answer then is waited for. If it does not come back, or has asked to be left alone for
        longer, the pass would wait in vain once more.
        """
        if self._stop.requested():
            return True
        if isinstance(error, RegistryError):
            if (error.retry_after or 0.0) > _SOON:
                return self._clock() >= item.failed_at + (error.retry_after or 0.0)
            if not isinstance(error, NetworkError):
                return True
        repositories: list[Repository]
        if isinstance(item, _ImageWork):
            repositories = [item.candidate.source, item.candidate.target.repository]
        else:
            repositories = [self._repositories.source(item.mapping.source, item.mapping.source_repository)]
        for repository in repositories:
            if repository.host == error.host:
                answers = partial(repository.answers, self._settings.return_time)
                # After a stop, this gives each image its result.
                return await self._answers.get(repository.host, answers) or self._stop.requested()
        return True

    def _give_up(self, item: _Work, error: OcyncError) -> None:
        """Add the result of what is not tried again."""
        started = self._clock()
        if isinstance(item, _MappingWork):
            self._mapping_failed(item, error, started)
            return
        candidate = item.candidate
        destination = self._earlier.pop(outcome.target_name(candidate), None) or self._attempts.destination(
            candidate, is_audited=False
        )
        self._image_failed(candidate, destination, error, started)

    async def _resolve(self, item: _MappingWork) -> Sequence[Candidate]:
        """Return a mapping's images for one target; those that need no request get their results here."""
        started = self._clock()
        try:
            async with self._grace.limited():
                target = self._repositories.target(*item.mapping.targets[item.target])
                async with asyncio.TaskGroup() as group:
                    is_filled = self._memory.has_moved(target.host, target.path)
                    state = group.create_task(target_state(target, item.mapping, is_filled=is_filled))
                    selected = group.create_task(self._select(item))
        except Exception as error:
            self._mapping_failed(item, outcome.as_ocync_error(error, item.mapping.name), started)
            return []
        self._left[item.number] -= 1
        candidates = list(selected.result().candidates(state.result()))
        if not self._left[item.number]:
            self._selected.forget(item.number)
        if state.result().is_empty:
            self._attempts.claims_at(target.host).found_empty(target)
        if self._settings.audit is not None:
            # An immutable tag does not show that everything below it is intact.
            return candidates
        for candidate in candidates:
            if candidate.is_settled:
                candidate.image.finish(target.host)
                self._results.add(outcome.skipped(candidate, Skip(reason=Reason.IMMUTABLE_TAG), 0.0))
        return [candidate for candidate in candidates if not candidate.is_settled]

    async def _select(self, item: _MappingWork) -> Resolved:
        """Return the tags that a mapping selects, once for all of its targets."""

        async def select() -> Resolved:
            resolved = await discover(item.mapping, self._repositories, self._mover.changed)
            self._on_resolved(resolved)
            self._announce(item, len(resolved.images))
            return resolved

        return await self._selected.get(item.number, select)

    def _announce(self, item: _MappingWork, images: int) -> None:
        if item.number not in self._announced:
            self._announced.add(item.number)
            self._sink(MappingResolved(item.mapping.name, images * len(item.mapping.targets)))

    async def _work(self, queue: ImageQueue) -> None:
        while (item := await queue.get()) is not None:
            source, candidate = item
            await self._bring(candidate)
            queue.finished(source)

    # One image at one target

    async def _bring(self, candidate: Candidate) -> None:
        """Make an attempt at one image, and add its result."""
        started = self._clock()
        destination = self._attempts.destination(candidate, is_audited=self._settings.audit is not None)
        if (earlier := self._earlier.pop(outcome.target_name(candidate), None)) is not None:
            destination.bytes_transferred, destination.blobs = earlier.bytes_transferred, earlier.blobs
        try:
            plan = await self._attempts.run(candidate, destination)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            self._image_failed(candidate, destination, failure, started)
        else:
            if plan is not None:
                result = self._attempts.result(plan, destination, self._clock() - started)
                if not destination.is_audited and plan.decision.reason is Reason.UP_TO_DATE:
                    self._rolling.unchanged(candidate, result.target)
                self._results.add(result)
                self._has_copied |= result.status is Status.SYNCED
        finally:
            candidate.image.finish(candidate.target.repository.host)

    # The rolling audit

    async def _audit_some(self) -> None:
        """Audit a few of the unchanged images, restore what they have lost, and correct their results."""
        turns = self._rolling.turns(self._requests)

        async def work(_number: int) -> None:
            for candidate in turns:
                if self._stop.requested():
                    return
                await self._audit(candidate)
                self._rolling.done()

        await each_of(range(_AUDITS_AT_ONCE), work)

    async def _audit(self, candidate: Candidate) -> None:
        started = self._clock()
        destination = self._attempts.destination(candidate, is_audited=True, copies_unseen=False)
        try:
            plan = await self._attempts.run(candidate, destination)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            if failure.retryable and not destination.lost:
                # Nothing is known to be missing: a later pass audits the image.
                log.info("%s was not audited: %s", outcome.target_name(candidate), failure.message)
                return
            elapsed = self._clock() - started
            self._results.correct(outcome.failed(candidate, destination, self._final(failure), elapsed))
        else:
            if plan is not None:
                self._results.correct(self._attempts.result(plan, destination, self._clock() - started))

    # Failures

    def _mapping_failed(self, item: _MappingWork, error: OcyncError, started: float) -> None:
        if self._keep_for_second_round(replace(item, error=error, failed_at=self._clock()), error):
            return
        self._announce(item, 1)
        mapping = item.mapping
        source = self._repositories.source(mapping.source, mapping.source_repository)
        target = self._repositories.target(*mapping.targets[item.target])
        elapsed = self._clock() - started
        self._results.add(outcome.unresolved(mapping, target, source.name, self._final(error), elapsed))

    def _image_failed(
        self, candidate: Candidate, destination: Destination, error: OcyncError, started: float
    ) -> None:
        if self._keep_for_second_round(_ImageWork(candidate, error, self._clock()), error):
            self._earlier[outcome.target_name(candidate)] = destination
            return
        elapsed = self._clock() - started
        self._results.add(outcome.failed(candidate, destination, self._final(error), elapsed))
        # Claims and shared artifacts keep the error for other images that need the same blob or manifest.
        _strip(error)

    def _keep_for_second_round(self, work: _Work, error: OcyncError) -> bool:
        if not error.retryable or self._stop.requested():
            return False
        if self._is_second_round and not (isinstance(error, NotSentError) and self._has_copied):
            # What had no try yet gets one, as long as that leads somewhere.
            return False
        log.info("trying again at the end of the pass: %s", error.message)
        _strip(error)
        self._again.append(work)
        return True

    def _final(self, error: OcyncError) -> OcyncError:
        """Return the error to report: after a stop, a passing one becomes an interruption."""
        if error.retryable and self._stop.requested():
            return InterruptedPassError(f"not tried again ({self._stop.reason}): {error.message}")
        return error

    def _holds(self, host: str, digest: Digest) -> bool:
        return host in self._attempts.claims and self._attempts.claims[host].has_anywhere(digest)
