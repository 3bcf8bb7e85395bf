"""
Whether what memory knows of artifacts at a target may be relied on: one sample of each repository is looked at.

Registries clean up behind our backs (untagged manifests, mostly), and what was brought an hour ago may be gone. To
ask for all of it in each pass is what memory is there to spare. But who cleans up seldom takes a single artifact:
so one subject of each repository, any one, is looked at in each pass before anything is believed of the others.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.errors import OcyncError
from ocync.flights import Flights
from ocync.transfer.fallback import listed_and_there, read_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.endpoint import TargetRepository
    from ocync.memory.memory import Memory
    from ocync.oci.digest import Digest

log = logging.getLogger(__name__)


class Samples:
    """What was found of each repository; made for one pass."""

    def __init__(self, memory: Memory | None, *, dry_run: bool) -> None:
        self._memory = memory
        self._dry_run = dry_run
        self._found: dict[str, bool] = {}
        self._flights: Flights[str, bool] = Flights()

    def __repr__(self) -> str:
        return f"<Samples: {len(self._found)} repositories looked at>"

    async def hold(self, repository: TargetRepository) -> bool:
        """
        Tell whether a repository lists all that the sample of it is believed to have; looks once in a pass.

        Where that can't be told, it is no reason to believe anything.
        """
        if (found := self._found.get(repository.name)) is None:
            found = await self._flights.run(repository.name, lambda: self._look(repository))
        return found

    async def _look(self, repository: TargetRepository) -> bool:
        # Somebody else may have landed since this one asked.
        if repository.name not in self._found:
            self._found[repository.name] = await self._holds(repository)
        return self._found[repository.name]

    async def _holds(self, repository: TargetRepository) -> bool:
        if self._memory is None:
            return False
        sample = self._memory.some_artifacts(repository.place, repository.path)
        if sample is None:
            return False
        subject, artifacts = sample
        try:
            missing = await _missing(repository, subject, artifacts)
        except OcyncError as error:
            # Who then looks for what is attached to an image meets it again, and it fails that image.
            log.debug("%s: what is attached to %s can't be told: %s", repository.name, subject, error.message)
            return False
        if missing:
            if not self._dry_run:
                self._memory.forget_artifacts(repository.place, repository.path, subject, stale=True)
            # No warning: where old images are cleaned up, what was attached to one goes with it.
            log.info(
                "%s: %d of %d artifacts of %s that an earlier pass brought are gone: nothing is believed of others",
                repository.name,
                len(missing),
                len(artifacts),
                subject,
            )
        return not missing


async def _missing(repository: TargetRepository, subject: Digest, artifacts: Sequence[Digest]) -> set[Digest]:
    missing = set(artifacts)
    missing.difference_update(descriptor.digest for descriptor in await repository.referrers(subject) or ())
    if missing:
        missing -= await listed_and_there(repository, await read_list(repository, subject), missing)
    return missing
