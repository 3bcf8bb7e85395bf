"""
Rehearsals of the next pass: the real engine on repositories that are read and never written to.

Some numbers depend on the order of work in a pass. So it is rehearsed several times, with answers in another order
each time, and numbers that differ become ranges. No request is made twice.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocync.analyze.forecast import forecast
from ocync.analyze.recording import Rehearsal
from ocync.analyze.snapshot import Snapshot
from ocync.analyze.tally import Fate, Order
from ocync.cache.hints import Hints
from ocync.lib.errors import ErrorKind
from ocync.registry.retry import RetryPolicy
from ocync.transfer.engine import Pass, PassSettings
from ocync.transfer.events import ImageFinished, MappingResolved, MappingsCounted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocync.analyze.model import Analysis
    from ocync.config.model import MappingConfig
    from ocync.lib.shutdown import Stop
    from ocync.plan.discover import Repositories
    from ocync.transfer.events import Event, Sink
    from ocync.transfer.result import ImageResult

_TURNS = ((1, 20), (1, 1), (10, 1), (10, 10), (3, 20))
"""Turns of reads and of writes in rehearsals after the first: from slow writes to slow reads."""
_MOST = 30
"""Most rehearsals after the first."""
_COUNTED = 100_000
"""Most counts in all of these, so that large mirrors do not take minutes; there are at least two rehearsals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisResult:
    """An analysis, with a result for each image at each target."""

    analysis: Analysis
    results: tuple[ImageResult, ...]
    is_whole: bool
    """Whether it is complete; a stop cuts it off."""


async def analyze(
    mappings: Sequence[MappingConfig],
    *,
    repositories: Repositories,
    at_once: int,
    stop: Stop,
    sink: Sink,
    cold: bool = False,
    memory: Hints | None = None,
) -> AnalysisResult:
    """
    Return what a pass would do; failures of images and mappings are results.

    `cold` assumes empty targets. `memory` has the hints of earlier passes and is not changed. After a stop it
    returns at once with what was read until then: the stop's grace should be 0.
    """
    snapshot = Snapshot(repositories, cold=cold)
    # Signatures are in blobs, which are not read.
    work = [replace(mapping, verify=None) for mapping in mappings]

    async def rehearse(order: Order, tell: Sink) -> tuple[Rehearsal, tuple[ImageResult, ...]]:
        rehearsed = Rehearsal(snapshot, order)
        results = await Pass(
            repositories=rehearsed,
            settings=PassSettings(images_at_once=at_once, return_time=0.0, is_rehearsal=True),
            policy=RetryPolicy(),
            stop=stop,
            sink=tell,
            copied=rehearsed.copied,
            memory=memory.copied() if memory is not None and not cold else Hints(),
            mover=rehearsed,
        ).run(work)
        for result in results:
            if result.artifacts is not None:
                rehearsed.tally[result.target_host, Fate.ARTIFACT][""] += result.artifacts.transferred
        return rehearsed, results

    def tell(event: Event) -> None:
        # No blob is transferred.
        if isinstance(event, MappingsCounted | MappingResolved) or (
            isinstance(event, ImageFinished) and not _is_cut(event.result)
        ):
            sink(event)

    first, results = await rehearse(Order(), tell)
    tallies = [first.tally]
    is_whole = not any(map(_is_cut, results))
    if is_whole and any(target.put for target in first.targets.values()):
        snapshot.answers.are_final = True
        counted = sum(counter.total() for counter in first.tally.values())
        for number in range(max(2, min(_MOST, _COUNTED // counted))):
            reads, writes = _TURNS[number % len(_TURNS)]
            order = Order(reads=reads, writes=writes, seed=number, lists_referrers=number % 2 > 0)
            with _logging_disabled():
                again, others = await rehearse(order, lambda _event: None)
            if stop.requested() or any(map(_is_cut, others)):
                break
            tallies.append(again.tally)
    results = tuple(result for result in results if not _is_cut(result))
    return AnalysisResult(analysis=forecast(snapshot, first, tallies, results), results=results, is_whole=is_whole)


def _is_cut(result: ImageResult) -> bool:
    return result.error is not None and result.error.kind is ErrorKind.INTERRUPTED


@contextmanager
def _logging_disabled() -> Iterator[None]:
    """Log nothing: the first rehearsal did."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
