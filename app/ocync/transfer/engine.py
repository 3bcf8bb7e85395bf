"""
The pass: mappings in, results out, everything at once and nothing without bound.

The unit of work is one image at one target. Each target host has workers of its own, which take images in turn by
source: a host that hangs holds up nobody else. Mappings are resolved some at a time, each handing its images to a
short queue; no stage waits for the one before it to end. What fails for a passing reason is tried once more at the
end, when its hosts answer again. Then a few of the images whose tags are unchanged are looked below.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ocync.cache.hints import Hints
from ocync.lib.errors import ErrorKind, InterruptedPassError, NetworkError, NotFoundError, OcyncError
from ocync.lib.singleflight import Memo
from ocync.lib.tasks import each_of
from ocync.plan.budget import Budget
from ocync.plan.compare import compare
from ocync.plan.discover import discover, target_state
from ocync.plan.model import Candidate, Copy, Reason, Skip
from ocync.transfer import outcome
from ocync.transfer.audit import Inspection, RollingAudit
from ocync.transfer.blob_reads import BlobReads
from ocync.transfer.claims import Claims
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
from ocync.transfer.referrers.copy import ArtifactCopy
from ocync.transfer.result import BlobStats, ImageResult, Status
from ocync.transfer.signatures import Signatures
from ocync.transfer.sync_image import ImageSync
from ocync.transfer.tag_conflicts import Rivals
from ocync.transfer.tree import ManifestReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from ocync.config.model import MappingConfig
    from ocync.lib.shutdown import Stop
    from ocync.oci.digest import Digest
    from ocync.oci.repository import Repository
    from ocync.plan.discover import Repositories, Resolved
    from ocync.plan.model import Decision, ImagePlan
    from ocync.registry.retry import RetryPolicy
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.events import Sink
    from ocync.transfer.staging import Staging
    from ocync.transfer.tree import Tree

log = logging.getLogger(__name__)

# Mappings of a source whose tags are listed at once: enough to hide the round trips, and few tag lists in memory.
_MAPPINGS_AT_ONCE = 16
# Unchanged images that are looked below at once: few, so that no more is spent on it than may be.
_AUDITS_AT_ONCE = 3


# The hint that tells when the last pass ended.
_LAST_PASS = ("passes", "last")


def _seconds(text: str | None) -> float | None:
    """Read the hint, which somebody else may have written."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None


def _strip(error: BaseException) -> None:
    """Take from an error that is kept what would keep the frames it came through, with all that is in them."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


@dataclass(frozen=True, slots=True)
class _MappingWork:
    """One mapping at one of its targets."""

    number: int
    mapping: MappingConfig
    target: int
    error: OcyncError | None = None
    """What it has failed with before."""

    @property
    def lane(self) -> tuple[str, str]:
        return self.mapping.targets[self.target][0].name, self.mapping.source.name


@dataclass(frozen=True, slots=True)
class _ImageWork:
    """One image at one target."""

    candidate: Candidate
    error: OcyncError | None = None

    @property
    def lane(self) -> tuple[str, str]:
        return self.candidate.target.repository.host, self.candidate.mapping.source.name


_Work = _MappingWork | _ImageWork


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """What bounds a pass."""

    images_at_once: int = 50
    """Images in flight; each target host has its part of them, and as many at least as it has sources."""
    dry_run: bool = False
    return_time: float = 30.0
    """
    Seconds that a host which does not answer is waited for before its images are tried once more: a registry's pod
    that is moved to another node is back by then.
    """
    audit: float | None = None
    """Look at all that targets hold below their tags, and read and hash this share of the blobs (0 to 1)."""
    audit_every: float | None = None
    """Seconds within which each image is looked below once, a few in each pass; None for never."""


class Pass:
    """One pass over mappings or images; made for one run."""

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
        `requests` tells how many requests have been made so far, for the share that looking below images may take.

        `resolved` is told of the tags that a mapping selects, `copied` of the manifests of each image that is
        copied.
        """
        self._places = repositories
        self._memory = Hints() if memory is None else memory
        self._settings = settings
        self._stop = stop
        self._sink = sink
        self._on_resolved = resolved
        self._clock = clock
        self._now = now
        self._requests = requests
        self._claims: dict[str, Claims] = {}
        self._limits: set[asyncio.Timeout] = set()
        self._results: list[ImageResult] = []
        self._again: list[_Work] = []
        self._is_second_round = False
        self._selected: Memo[int, Resolved] = Memo()
        self._left: Counter[int] = Counter()
        self._announced: set[int] = set()
        self._answers: Memo[str, bool] = Memo()
        # What was sent in vain in the first round, so that the report does not forget it.
        self._earlier: dict[str, Destination] = {}
        self._gate = asyncio.Lock()
        self._reads = BlobReads(policy, staging=staging, holds=self._holds)
        self._mover = mover or self._reads
        self._inspection = Inspection(policy, share=settings.audit or 0.0)
        self._rolling = RollingAudit(
            None if settings.dry_run or settings.audit is not None else settings.audit_every,
            now(),
            _seconds(self._memory.hint(*_LAST_PASS)),
        )
        self._rivals = Rivals(repositories)
        reader = ManifestReader()
        self._artifacts = ArtifactCopy(self._mover, reader, self._rivals, dry_run=settings.dry_run)
        self._sync = ImageSync(
            mover=self._mover,
            reader=reader,
            artifacts=self._artifacts,
            signatures=Signatures(policy),
            dry_run=settings.dry_run,
            copied=copied,
        )

    async def run(self, work: Sequence[MappingConfig | Candidate]) -> tuple[ImageResult, ...]:
        """
        Bring all targets up to date; one result for each image at each target, in the order they ended.

        Never raises for what happens to an image or a mapping. After a stop was requested nothing is begun, what
        is in flight gets the stop's grace, and all that is left ends as failed, interrupted.
        """
        self._sink(MappingsCounted(len(work)))
        self._rivals.know(item for item in work if not isinstance(item, Candidate))
        try:
            with self._stop.listening(self._limit_all):
                await self._round(list(self._split(work)))
                if self._again:
                    await self._once_more()
                await self._look_below_some()
                if not self._settings.dry_run:
                    self._memory.learn_hint(*_LAST_PASS, f"{self._now():.0f}")
        finally:
            await self._reads.close()
        return tuple(self._results)

    def _split(self, work: Iterable[MappingConfig | Candidate]) -> Iterator[_Work]:
        for number, item in enumerate(work):
            if isinstance(item, Candidate):
                yield _ImageWork(item)
            else:
                self._left[number] = len(item.targets)
                for target in range(len(item.targets)):
                    yield _MappingWork(number, item, target)

    async def _once_more(self) -> None:
        again, self._again = self._again, []
        self._is_second_round = True
        for claims in self._claims.values():
            claims.forget_failures()
        self._artifacts.forget_failures()
        self._left = Counter(item.number for item in again if isinstance(item, _MappingWork))
        if not self._stop.requested():
            log.info("trying %d failed images or mappings once more", len(again))
        # After a stop nothing is begun here either: this gives each of them its result.
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
            await self._wait_for_return(item)
            candidates = [item.candidate] if isinstance(item, _ImageWork) else await self._resolve(item)
            for candidate in candidates:
                await queue.put(source, candidate)
            queue.resolved(source)

    async def _wait_for_return(self, item: _Work) -> None:
        """Wait for the host that did not answer when this was tried before."""
        if not isinstance(item.error, NetworkError) or self._stop.requested():
            return
        hosts: list[Repository] = []
        if isinstance(item, _ImageWork):
            hosts = [item.candidate.source, item.candidate.target.repository]
        else:
            mapping = item.mapping
            hosts = [self._places.source(mapping.source, mapping.source_repository)]
        for repository in hosts:
            if repository.host == item.error.host:
                await self._answers.get(repository.host, partial(repository.answers, self._settings.return_time))

    async def _resolve(self, item: _MappingWork) -> Sequence[Candidate]:
        """Return the images of a mapping that have to be looked at; those that need not be have their results."""
        started = self._clock()
        try:
            async with self._limited():
                target = self._places.target(*item.mapping.targets[item.target])
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
            self._claims_at(target.host).found_empty(target)
        if self._settings.audit is not None:
            # That a tag stays says nothing of what is below it.
            return candidates
        for candidate in candidates:
            if candidate.is_settled:
                candidate.image.finish(target.host)
                self._finish(outcome.skipped(candidate, Skip(reason=Reason.IMMUTABLE_TAG), 0.0))
        return [candidate for candidate in candidates if not candidate.is_settled]

    async def _select(self, item: _MappingWork) -> Resolved:
        """Return the tags that a mapping selects; all of its targets share them."""

        async def select() -> Resolved:
            resolved = await discover(item.mapping, self._places, self._mover.changed)
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
        """Compare and copy one image, with its result."""
        started = self._clock()
        destination = self._destination(candidate, is_audited=self._settings.audit is not None)
        try:
            done = await self._sync_image(candidate, destination)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            self._image_failed(candidate, destination, failure, started)
        else:
            if done is not None:
                self._image_done(candidate, *done, destination, self._clock() - started)
        finally:
            candidate.image.finish(candidate.target.repository.host)

    async def _sync_image(
        self, candidate: Candidate, destination: Destination
    ) -> tuple[ImagePlan, Decision] | None:
        """Bring the image to the target; None where the source lacks it and need not have it. Raises OcyncError."""
        budget = Budget(outcome.source_name(candidate), candidate.source.host, gate=self._gate)
        try:
            async with self._limited():
                try:
                    plan = await compare(candidate, budget, audited=destination.is_audited)
                except NotFoundError as error:
                    if not candidate.optional:
                        raise
                    log.info("not there, and not demanded: %s", error.message)
                    return None
                if not self._looks_below(plan, destination):
                    return plan, plan.decision
                if isinstance(plan.decision, Copy) and not self._settings.dry_run:
                    self._sink(ImageStarted(outcome.target_name(candidate)))
                return plan, await self._sync.carry_out(plan, destination, budget)
        finally:
            budget.close()

    def _looks_below(self, plan: ImagePlan, destination: Destination) -> bool:
        """Return whether more than its tag is looked at of an image that the target has."""
        if isinstance(plan.decision, Copy):
            return True
        # An immutable tag that the source has set anew leads to what the source can't tell of.
        is_kept = plan.decision.reason is Reason.IMMUTABLE_TAG
        return not is_kept and (plan.candidate.attachments is not None or destination.is_audited)

    def _image_done(
        self, candidate: Candidate, plan: ImagePlan, decision: Decision, destination: Destination, elapsed: float
    ) -> None:
        result = self._result(candidate, plan, decision, destination, elapsed)
        if isinstance(decision, Skip) and not destination.is_audited and decision.reason is Reason.UP_TO_DATE:
            self._rolling.unchanged(candidate, result.target)
        self._finish(result)

    def _result(
        self, candidate: Candidate, plan: ImagePlan, decision: Decision, destination: Destination, elapsed: float
    ) -> ImageResult:
        """Return the result of an image that is as it should be, and remember what was seen of it."""
        source, repository, tag = candidate.source, candidate.target.repository, candidate.destination_tag
        wanted = plan.original or plan.resolved.digest
        if isinstance(decision, Skip):
            result = outcome.skipped(candidate, decision, elapsed, destination)
        else:
            result = outcome.synced(plan, destination, elapsed)
        if self._settings.dry_run:
            return result
        self._memory.learn_seen(source.host, source.path, candidate.tag, wanted)
        there = plan.resolved.digest
        if isinstance(decision, Copy):
            self._memory.learn_moved(repository.host, repository.path, tag, there)
        is_kept = isinstance(decision, Skip) and decision.reason is Reason.IMMUTABLE_TAG
        if isinstance(decision, Copy) or (destination.is_audited and not is_kept):
            self._memory.learn_looked_below(repository.host, repository.path, tag, there)
        looked = self._memory.looked_below(repository.host, repository.path, tag, there)
        return replace(result, looked_below=looked)

    def _destination(self, candidate: Candidate, *, is_audited: bool) -> Destination:
        target = candidate.target
        key = outcome.target_name(candidate)
        earlier = self._earlier.pop(key, None)
        return Destination(
            bytes_transferred=earlier.bytes_transferred if earlier else 0,
            blobs=earlier.blobs if earlier else BlobStats(),
            repository=target.repository,
            claims=self._claims_at(target.repository.host),
            image=candidate.image,
            tags=target.tags,
            inspect=self._inspection if is_audited else None,
            expected=lambda count: self._sink(BytesExpected(key, count)),
            moved=lambda count: self._sink(BytesMoved(key, count)),
        )

    def _claims_at(self, host: str) -> Claims:
        if host not in self._claims:
            self._claims[host] = Claims(host, memory=self._memory, arrived=self._reads.changed)
        return self._claims[host]

    def _holds(self, host: str, digest: Digest) -> bool:
        return host in self._claims and self._claims[host].has_anywhere(digest)

    # Looking below unchanged images

    async def _look_below_some(self) -> None:
        """Look below a few of the unchanged images, bring again what is lost there, and correct their results."""
        turns = self._rolling.turns(self._requests)

        async def work(_number: int) -> None:
            for candidate in turns:
                if self._stop.requested():
                    return
                await self._look_below(candidate)
                self._rolling.done()

        await each_of(range(_AUDITS_AT_ONCE), work)

    async def _look_below(self, candidate: Candidate) -> None:
        started = self._clock()
        destination = self._destination(candidate, is_audited=True)
        try:
            done = await self._sync_image(candidate, destination)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            if failure.retryable and not destination.lost:
                # Nothing is known to be missing: what could not be looked at has its turn in a later pass.
                log.info("%s was not looked below: %s", outcome.target_name(candidate), failure.message)
                return
            result = outcome.failed(candidate, destination, self._final(failure), self._clock() - started)
        else:
            if done is None:
                return
            result = self._result(candidate, *done, destination, self._clock() - started)
        self._correct(result)

    def _correct(self, result: ImageResult) -> None:
        """Put a result in the place of the one that the image had before it was looked below."""
        for position, earlier in enumerate(self._results):
            if (earlier.target, earlier.source) == (result.target, result.source):
                # What the image itself has cost is not forgotten.
                self._results[position] = replace(
                    result,
                    artifacts=earlier.artifacts if result.artifacts is None else result.artifacts,
                    bytes_transferred=earlier.bytes_transferred + result.bytes_transferred,
                    duration=earlier.duration + result.duration,
                )
        if result.status is Status.FAILED or result.reason is Reason.REPAIRED:
            self._log(result)

    # Failures

    def _mapping_failed(self, item: _MappingWork, error: OcyncError, started: float) -> None:
        if self._try_again_later(replace(item, error=error), error):
            return
        self._announce(item, 1)
        mapping = item.mapping
        source = self._places.source(mapping.source, mapping.source_repository)
        target = self._places.target(*mapping.targets[item.target])
        elapsed = self._clock() - started
        self._finish(outcome.unresolved(mapping, target, source.name, self._final(error), elapsed))

    def _image_failed(
        self, candidate: Candidate, destination: Destination, error: OcyncError, started: float
    ) -> None:
        if self._try_again_later(_ImageWork(candidate, error), error):
            self._earlier[outcome.target_name(candidate)] = destination
            return
        elapsed = self._clock() - started
        self._finish(outcome.failed(candidate, destination, self._final(error), elapsed))
        # Claims and shared artifacts keep it for the next image that needs what could not be had.
        _strip(error)

    def _try_again_later(self, work: _Work, error: OcyncError) -> bool:
        """
        Keep for the second round what failed for a passing reason in the first one; return whether it is kept.
        """
        if not error.retryable or self._is_second_round or self._stop.requested():
            return False
        log.info("tried once more at the end: %s", error.message)
        _strip(error)
        self._again.append(work)
        return True

    def _final(self, error: OcyncError) -> OcyncError:
        """Return the error that is told: a passing one that a stop keeps from another try is the stop's."""
        if error.retryable and self._stop.requested():
            return InterruptedPassError(f"not tried again ({self._stop.reason}): {error.message}")
        return error

    def _finish(self, result: ImageResult) -> None:
        self._log(result)
        self._results.append(result)
        self._sink(ImageFinished(result))

    def _log(self, result: ImageResult) -> None:
        if result.status is Status.FAILED and result.error is not None:
            log.log(
                logging.INFO if result.error.kind is ErrorKind.INTERRUPTED else logging.WARNING,
                "%s -> %s failed: %s",
                result.source,
                result.target,
                result.error.message,
            )
        elif result.reason is Reason.REPAIRED:
            log.warning("%s had lost parts of the image; they have been brought again", result.target)
        else:
            log.debug("%s -> %s: %s", result.source, result.target, result.reason or result.status)

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
