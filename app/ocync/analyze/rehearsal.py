"""
The next pass, rehearsed: the real engine between repositories that are read and never written to.

A pass may do its work in many orders, and some numbers depend on that. So it is rehearsed several times, with
answers that come in another order each time, and what differs is told as a range. Nothing is asked twice for that.
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
"""Of reads and of writes, in rehearsals after the first: from slow writes to slow reads."""
_MOST = 30
"""Rehearsals after the first."""
_COUNTED = 100_000
"""What is counted in all of these at most, so that large mirrors take no minutes more; there are two at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisResult:
    """What an analysis has found, with a result for each image at each target."""

    analysis: Analysis
    results: tuple[ImageResult, ...]
    is_whole: bool
    """Whether it came to its end; a stop cuts it off."""


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
    Return what a pass would do; never raises for what happens to an image or a mapping.

    With `cold`, it is the pass into targets that are empty. `memory` is what earlier passes have learned; it is not
    changed. After a stop it ends at once, with what was read until then: the stop's grace should be 0.
    """
    snapshot = Snapshot(repositories, cold=cold)
    # What an image is signed by is in blobs, and these are not read.
    work = [replace(mapping, verify=None) for mapping in mappings]

    async def rehearse(order: Order, tell: Sink) -> tuple[Rehearsal, tuple[ImageResult, ...]]:
        rehearsed = Rehearsal(snapshot, order)
        results = await Pass(
            repositories=rehearsed,
            settings=PassSettings(images_at_once=at_once, return_time=0.0),
            policy=RetryPolicy(),
            stop=stop,
            sink=tell,
            copied=rehearsed.copied,
            memory=memory.copied() if memory is not None and not cold else Hints(),
            mover=rehearsed,
        ).run(work)
        for result in results:
            if result.artifacts is not None:
                rehearsed.tally[result.target_place, Fate.ARTIFACT][""] += result.artifacts.transferred
        return rehearsed, results

    def tell(event: Event) -> None:
        # Nothing moves here.
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
    """Let nothing be logged: it was, in the first rehearsal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
