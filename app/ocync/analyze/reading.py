"""
Reads both sides as a dry run would, and the manifests below what is to be copied.

As in a pass, what fails fails alone. When a stop is requested the reading ends at once: there is nothing that could
be left half done.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocync.analyze.contents import Contents
from ocync.analyze.counted import Counted, CountedPlaces
from ocync.analyze.facts import Arrival, Facts, Image, Parts, Spot
from ocync.analyze.missing import MissingArtifacts
from ocync.analyze.recollection import Recollection
from ocync.errors import NotFoundError
from ocync.oci import media
from ocync.plan.compare import compare
from ocync.plan.discover import discover
from ocync.plan.model import Broken, Copy, Skip
from ocync.registry.waiting import RetryPolicy
from ocync.transfer import outcome
from ocync.transfer.artifacts import ArtifactCopy
from ocync.transfer.carry import Carrier, is_referred_to
from ocync.transfer.destination import Destination
from ocync.transfer.events import ImageFinished, MappingResolved, MappingsCounted
from ocync.transfer.ledger import Ledger
from ocync.transfer.result import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocync.config.model import MappingConfig
    from ocync.errors import OcyncError
    from ocync.interrupt import Stop
    from ocync.memory.memory import Memory
    from ocync.oci.manifest import Manifest
    from ocync.plan.attachments import Attached
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

    def __init__(
        self,
        *,
        places: Places,
        at_once: int,
        stop: Stop,
        sink: Sink,
        cold: bool = False,
        memory: Memory | None = None,
    ) -> None:
        """`memory` is what earlier passes knew, where that is not about a pass that is the first one."""
        self._memory = None if cold else memory
        self._places = CountedPlaces(places, cold=cold)
        self._at_once = at_once
        self._stop = stop
        self._sink = sink
        self._contents = Contents()
        self._missing = MissingArtifacts(self._contents)
        artifacts = ArtifactCopy(RetryPolicy(), dry_run=True, memory=self._memory, missing=self._missing.note)
        self._carrier = Carrier(RetryPolicy(), artifacts, dry_run=True)
        self._images: list[Image] = []
        self._results: list[ImageResult] = []

    async def run(self, mappings: Sequence[MappingConfig]) -> Read:
        """Read; never raises for what happens to an image or a mapping."""
        self._sink(MappingsCounted(len(mappings)))
        is_whole = await self._until_stopped(mappings)
        artifacts, recollection = self._missing.artifacts(), Recollection(self._memory)
        arrivals = [arrival for image in self._images for arrival in image.arrivals]
        arrivals += [arrival for artifact in artifacts for arrival in artifact.arrivals]
        relied = recollection.relied_on(arrivals)
        places = {arrival.spot.place for arrival in arrivals}
        facts = Facts(
            images=tuple(
                replace(image, arrivals=tuple(map(relied.arrival, image.arrivals))) for image in self._images
            ),
            parts=self._contents.parts,
            sizes=self._contents.sizes,
            asked=self._places.asked(),
            artifacts=artifacts,
            remembered=recollection.remembered(relied, self._contents.sizes, self._contents.parts, places),
            referrers_api=self._places.referrers_api(),
            unread_lists=frozenset(self._missing.unread_lists),
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
                resolved = await discover(mapping, self._places, self._memory)
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

    async def _look_at(self, mapping: int, candidate: Candidate) -> None:
        """Compare one image, with one result for each of its targets."""
        try:
            plan = await compare(candidate)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            if isinstance(failure, NotFoundError) and candidate.optional:
                log.info("%s is not there and was not demanded", outcome.source_name(candidate))
            else:
                self._failed(candidate, _indices(candidate), failure)
            return
        destinations: dict[int, Destination] = {}
        for index, decision in enumerate(plan.decisions):
            match decision:
                case Skip() if candidate.attachments is None:
                    self._finish(outcome.skipped(candidate, index, decision, 0.0))
                case Broken(error=why):
                    self._failed(candidate, [index], why)
                case Skip() | Copy():
                    destinations[index] = _untouched(candidate, index)
        await self._read_below(plan, destinations)
        if destinations:
            await self._look_around(mapping, plan, destinations)

    async def _look_around(self, mapping: int, plan: ImagePlan, destinations: dict[int, Destination]) -> None:
        """Look for what is attached to an image, which is read; one result for each destination."""
        candidate = plan.candidate
        try:
            attached = await self._carrier.carry(plan, destinations)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(candidate))
            self._failed(candidate, list(destinations), failure)
            return
        self._missing.asked_for(candidate.source, attached, list(destinations.values()))
        copies = [i for i, each in destinations.items() if each.alive and isinstance(plan.decisions[i], Copy)]
        if copies:
            self._images.append(self._image(mapping, plan, copies, attached))
        for index, destination in destinations.items():
            decision = plan.decisions[index]
            if destination.error is not None:
                self._finish(outcome.failed(candidate, index, destination, destination.error, 0.0))
            elif isinstance(decision, Skip):
                self._finish(outcome.skipped(candidate, index, decision, 0.0, destination))
            else:
                self._finish(outcome.synced(plan, index, destination, 0.0))

    async def _read_below(self, plan: ImagePlan, destinations: dict[int, Destination]) -> None:
        """Read what is below an image that has to be copied; where that fails its destinations are taken away."""
        copies = [index for index in destinations if isinstance(plan.decisions[index], Copy)]
        if not copies:
            return
        source = plan.candidate.source
        assert plan.root is not None
        assert isinstance(source, Counted)
        try:
            await self._contents.complete(source, plan.root)
        except Exception as error:
            failure = outcome.as_ocync_error(error, outcome.source_name(plan.candidate))
            self._failed(plan.candidate, copies, failure)
            for index in copies:
                del destinations[index]

    def _image(self, mapping: int, plan: ImagePlan, copies: Sequence[int], attached: Sequence[Attached]) -> Image:
        candidate, root = plan.candidate, plan.root
        assert root is not None
        return Image(
            mapping=mapping,
            tag=candidate.destination_tag,
            source=Spot(candidate.source.place, candidate.source.path),
            root=root.digest,
            arrivals=tuple(
                Arrival(
                    spot=Spot(target.repository.place, target.repository.path),
                    is_empty=target.is_empty,
                    present=_present(plan.present[index]),
                )
                for index, target in ((index, candidate.targets[index]) for index in copies)
            ),
            nested=sum(child.media_type in media.INDEXES for child in root.children),
            is_referred_to=is_referred_to(root, attached),
        )

    def _failed(self, candidate: Candidate, indices: Sequence[int], error: OcyncError) -> None:
        self._finish(*(outcome.failed(candidate, index, None, error, 0.0) for index in indices))

    def _finish(self, *results: ImageResult) -> None:
        for result in results:
            self._results.append(result)
            self._sink(ImageFinished(result))


def _indices(candidate: Candidate) -> range:
    return range(len(candidate.targets))


def _present(manifest: Manifest | None) -> Parts:
    """Return what a repository holds for sure where a tag of it points to the manifest; see `Ledger.whole`."""
    if manifest is None:
        return Parts()
    return Parts(
        manifests=(manifest.digest, *(child.digest for child in manifest.children)),
        blobs=tuple(blob.digest for blob in manifest.blobs),
    )


def _untouched(candidate: Candidate, index: int) -> Destination:
    target = candidate.targets[index]
    return Destination(
        repository=target.repository,
        ledger=Ledger(),
        is_empty=target.is_empty,
        tags=target.tags,
        expected=lambda _count: None,
        moved=lambda _count: None,
    )
