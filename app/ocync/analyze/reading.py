"""
Reads both sides as a pass would before it copies anything, and the manifests below what is to be copied.

As in a pass, what fails fails alone. When a stop is requested the reading ends at once: there is nothing that could
be left half done.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.analyze.contents import Contents
from ocync.analyze.counted import Counted, CountedPlaces
from ocync.analyze.facts import Arrival, Facts, Image, Spot
from ocync.analyze.requests import Bounds, Kind, summed
from ocync.errors import NotFoundError
from ocync.plan.compare import compare
from ocync.plan.discover import discover
from ocync.plan.model import Broken, Copy, Skip
from ocync.transfer import outcome
from ocync.transfer.destination import Destination
from ocync.transfer.events import ImageFinished, MappingResolved, MappingsCounted
from ocync.transfer.ledger import Ledger
from ocync.transfer.result import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocync.config.model import MappingConfig
    from ocync.errors import OcyncError
    from ocync.interrupt import Stop
    from ocync.plan.discover import Places
    from ocync.plan.model import Candidate, ImagePlan
    from ocync.transfer.events import Sink
    from ocync.transfer.result import ImageResult

log = logging.getLogger(__name__)

# Mappings whose tags are listed at once, as in a pass.
_MAPPINGS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a reading found: the facts, and a result for each image at each target, as a dry run would give it."""

    facts: Facts
    results: tuple[ImageResult, ...]
    is_whole: bool
    """Whether it came to its end; a stop cuts it off."""


class Reading:
    """One reading of mappings; made for one run."""

    def __init__(self, *, places: Places, at_once: int, stop: Stop, sink: Sink, cold: bool = False) -> None:
        self._places = CountedPlaces(places, cold=cold)
        self._at_once = at_once
        self._stop = stop
        self._sink = sink
        self._contents = Contents()
        self._images: list[Image] = []
        self._results: list[ImageResult] = []

    async def run(self, mappings: Sequence[MappingConfig]) -> Read:
        """Read; never raises for what happens to an image or a mapping."""
        self._sink(MappingsCounted(len(mappings)))
        is_whole = await self._until_stopped(mappings)
        facts = Facts(
            images=tuple(self._images),
            parts=self._contents.parts,
            sizes=self._contents.sizes,
            asked=self._asked(),
            single_post=self._places.single_post(),
        )
        return Read(facts=facts, results=tuple(self._results), is_whole=is_whole)

    async def _until_stopped(self, mappings: Sequence[MappingConfig]) -> bool:
        limit = asyncio.timeout(None)

        def end(_seconds: float) -> None:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

        try:
            async with limit:
                with self._stop.listening(end):
                    await self._read(mappings)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True

    async def _read(self, mappings: Sequence[MappingConfig]) -> None:
        queue: asyncio.Queue[tuple[int, Candidate] | None] = asyncio.Queue(maxsize=2 * self._at_once)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._work(queue))
            remaining = iter(enumerate(mappings))
            async with asyncio.TaskGroup() as resolvers:
                for _ in range(_MAPPINGS_AT_ONCE):
                    resolvers.create_task(self._resolve(remaining, queue))
            for _ in range(self._at_once):
                await queue.put(None)

    async def _resolve(
        self, mappings: Iterator[tuple[int, MappingConfig]], queue: asyncio.Queue[tuple[int, Candidate] | None]
    ) -> None:
        for number, mapping in mappings:
            try:
                resolved = await discover(mapping, self._places)
            except Exception as error:
                self._sink(MappingResolved(mapping.name, len(mapping.targets)))
                failure = outcome.as_ocync_error(error, mapping.name)
                self._finish(*outcome.unresolved(mapping, self._places, failure, 0.0))
                continue
            images = len(resolved.candidates) + len(resolved.settled)
            self._sink(MappingResolved(mapping.name, images * len(mapping.targets)))
            for candidate in resolved.settled:
                immutable = Skip(reason=Reason.IMMUTABLE_TAG)
                self._finish(*(outcome.skipped(candidate, i, immutable, 0.0) for i in _indices(candidate)))
            for candidate in resolved.candidates:
                await queue.put((number, candidate))

    async def _work(self, queue: asyncio.Queue[tuple[int, Candidate] | None]) -> None:
        while (item := await queue.get()) is not None:
            number, candidate = item
            await self._look_at(number, candidate)

    async def _look_at(self, mapping: int, candidate: Candidate) -> ImagePlan | None:
        """Compare one image and read what is below it, with one result for each of its targets."""
        try:
            plan = await compare(candidate)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            if isinstance(failure, NotFoundError) and candidate.optional:
                log.info("%s is not there and was not demanded", outcome.source_name(candidate))
            else:
                self._failed(candidate, _indices(candidate), failure)
            return None
        copies: list[int] = []
        for index, decision in enumerate(plan.decisions):
            match decision:
                case Skip():
                    self._finish(outcome.skipped(candidate, index, decision, 0.0))
                case Broken(error=why):
                    self._failed(candidate, [index], why)
                case Copy():
                    copies.append(index)
        if copies:
            await self._read_below(mapping, plan, copies)
        return plan

    async def _read_below(self, mapping: int, plan: ImagePlan, copies: Sequence[int]) -> None:
        candidate, root, source = plan.candidate, plan.root, plan.candidate.source
        assert root is not None
        assert isinstance(source, Counted)
        try:
            # Not counted: how often a pass asks for a manifest is told by the forecast.
            await self._contents.complete(source.inner, root)
        except Exception as error:
            self._failed(candidate, copies, outcome.as_ocync_error(error, outcome.source_name(candidate)))
            return
        arrivals = tuple(
            Arrival(spot=Spot(target.repository.place, target.repository.path), is_empty=target.is_empty)
            for target in (candidate.targets[index] for index in copies)
        )
        spot = Spot(source.place, source.path)
        self._images.append(
            Image(mapping=mapping, tag=candidate.destination_tag, source=spot, root=root.digest, arrivals=arrivals)
        )
        self._finish(*(outcome.synced(plan, index, _untouched(candidate, index), 0.0) for index in copies))

    def _asked(self) -> dict[str, dict[Kind, Bounds]]:
        asked = {place: dict(requests) for place, requests in self._places.asked().items()}
        return {place: summed(requests) for place, requests in asked.items()}

    def _failed(self, candidate: Candidate, indices: Sequence[int], error: OcyncError) -> None:
        self._finish(*(outcome.failed(candidate, index, None, error, 0.0) for index in indices))

    def _finish(self, *results: ImageResult) -> None:
        for result in results:
            self._results.append(result)
            self._sink(ImageFinished(result))


def _indices(candidate: Candidate) -> range:
    return range(len(candidate.targets))


def _untouched(candidate: Candidate, index: int) -> Destination:
    target = candidate.targets[index]
    return Destination(
        repository=target.repository,
        ledger=Ledger(),
        is_empty=target.is_empty,
        expected=lambda _count: None,
        moved=lambda _count: None,
    )
