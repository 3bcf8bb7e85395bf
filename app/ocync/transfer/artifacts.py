"""
What is attached to images, at their targets: compared on every pass, brought where it is missing.

Images share manifests, and so what is attached to these: each is seen to once for every target repository, and all
images that have it are told how it went.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.transfer.attaching import Attaching, Brought, Target
from ocync.transfer.missing import leave
from ocync.transfer.rivals import Rivals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ocync.endpoint import Repository
    from ocync.memory.memory import Memory
    from ocync.oci.digest import Digest
    from ocync.plan.attachments import Attached
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.transfer.missing import Missing

_Key = tuple["Digest", frozenset[tuple["Digest", str]], str, str, bool]


class ArtifactCopy:
    """Brings artifacts to targets; made for one pass."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        dry_run: bool = False,
        memory: Memory | None = None,
        believes: bool = True,
        missing: Callable[[Missing], Awaitable[None]] = leave,
        rivals: Rivals | None = None,
    ) -> None:
        """
        Without `believes`, what memory knows of targets is looked for all the same.

        `missing` is told in a dry run of what would be brought; it may raise what fetching that would raise.
        `rivals` are the sources of targets that have several.
        """
        self._attaching = Attaching(
            policy,
            dry_run=dry_run,
            memory=memory,
            believes=believes,
            missing=missing,
            rivals=rivals or Rivals(),
        )
        self._claims: dict[_Key, asyncio.Future[Brought]] = {}

    def __repr__(self) -> str:
        return f"<ArtifactCopy: {len(self._claims)} manifests seen to>"

    def forget_failures(self) -> None:
        """Let everything that failed be tried again."""
        self._claims = {
            key: claim for key, claim in self._claims.items() if not claim.done() or claim.result().error is None
        }

    async def bring(
        self, attached: Attached, source: Repository, destinations: Sequence[Destination]
    ) -> tuple[Brought, ...]:
        """
        Bring what is attached to one manifest; tells for each destination how it went, and never raises for that.

        Nothing is changed in the destinations but the counts of what was sent.
        """
        brought = await self._shared(attached, source, destinations)
        results = []
        for destination, one in zip(destinations, brought, strict=True):
            # A target that has lost the image has lost more than that: it was emptied, or made anew.
            is_unsure = one.believed and not destination.has_image
            results.append(await self._seen(attached, source, destination, one) if is_unsure else one)
        return tuple(results)

    async def _seen(
        self, attached: Attached, source: Repository, destination: Destination, brought: Brought
    ) -> Brought:
        """Look for what an image that is there was content to believe."""
        # Tags are looked at always.
        attachments = tuple(replace(attachment, tags=()) for attachment in brought.believed)
        unseen = replace(attached, attachments=attachments, gone=0)
        (seen,) = await self._shared(unseen, source, [destination], again=True)
        return Brought(
            present=brought.present - unseen.count + seen.present,
            transferred=brought.transferred + seen.transferred,
            gone=brought.gone + seen.gone,
            error=brought.error or seen.error,
        )

    async def _shared(
        self, attached: Attached, source: Repository, destinations: Sequence[Destination], *, again: bool = False
    ) -> tuple[Brought, ...]:
        """Bring what is attached, or wait for who does."""
        keys: list[_Key] = [
            (attached.subject, attached.contents, source.name, destination.repository.name, again)
            for destination in destinations
        ]
        results: dict[int, Brought] = {}
        waiting = list(range(len(destinations)))
        while waiting:
            own = [i for i in waiting if self._claim(keys[i])]
            if own:
                mine = await self._own(attached, source, {keys[i]: destinations[i] for i in own})
                results |= dict(zip(own, mine, strict=True))
            for i in [i for i in waiting if i not in own]:
                other = self._claims.get(keys[i])
                # A claim that is gone was given up by a task that was cancelled: it is taken in the next round.
                if other is not None and (brought := await _outcome(other)) is not None:
                    results[i] = replace(brought, transferred=0)
            waiting = [i for i in waiting if i not in results]
        return tuple(results[i] for i in range(len(destinations)))

    def _claim(self, key: _Key) -> bool:
        if key in self._claims:
            return False
        self._claims[key] = asyncio.get_running_loop().create_future()
        return True

    async def _own(
        self, attached: Attached, source: Repository, destinations: Mapping[_Key, Destination]
    ) -> tuple[Brought, ...]:
        try:
            # The image may have failed, or fail meanwhile, for what is not attached to it.
            targets = [Target(destination.beside()) for destination in destinations.values()]
            await self._attaching.bring(attached, source, targets)
            for (key, destination), target in zip(destinations.items(), targets, strict=True):
                destination.blobs += target.destination.blobs
                destination.bytes_transferred += target.destination.bytes_transferred
                self._claims[key].set_result(target.result)
            return tuple(target.result for target in targets)
        finally:
            for key in destinations:
                if not self._claims[key].done():
                    self._claims.pop(key).cancel()


async def _outcome(claim: asyncio.Future[Brought]) -> Brought | None:
    """Wait for another task's claim; None where that task gave it up. A cancellation is not handed on to it."""
    await asyncio.wait([claim])
    return None if claim.cancelled() else claim.result()
