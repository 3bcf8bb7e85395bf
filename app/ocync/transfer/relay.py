"""
One blob from one source to several targets in one read, verified on its way.

The last piece is held back until the digest is known to be right, so a target never gets the whole of a body that
lies. A read that breaks goes on where it broke, into the same uploads. A target that fails drops out; the others go
on, and those that failed in passing get a read of their own. Memory: four pieces, and what sockets hold.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.errors import OcyncError
from ocync.oci.digest import Verifier
from ocync.slots import reserve
from ocync.transfer.fanout import FanOut
from ocync.transfer.reading import Breaks, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocync.endpoint import Repository, TargetRepository, Upload
    from ocync.oci.manifest import Descriptor
    from ocync.registry.waiting import RetryPolicy
    from ocync.slots import Reserved
    from ocync.transfer.fanout import Branch
    from ocync.transfer.staging import Staging

log = logging.getLogger(__name__)


class Delivery:
    """One blob to one repository; `upload` is a session that is open and not used yet."""

    def __init__(self, repository: TargetRepository, upload: Upload, moved: Callable[[int], None]) -> None:
        self.repository = repository
        self.upload: Upload | None = upload
        self.spent: Upload | None = None
        """A session that was begun and not committed."""
        self.moved = moved
        self.done = False
        self.given_up = False
        """Whether no session can be had any more: that request has had its retries."""
        self.error: OcyncError | None = None

    def take_spent(self) -> Upload | None:
        """Return the session that was begun in vain, once."""
        spent, self.spent = self.spent, None
        return spent

    @property
    def pending(self) -> bool:
        """Whether another attempt is worth making."""
        return not self.done and not self.given_up and (self.error is None or self.error.retryable)


class _GivenUpError(Exception):
    """The read was tried as often as it may be."""

    def __init__(self, error: OcyncError) -> None:
        super().__init__(error)
        self.error = error


async def relay(
    blob: Descriptor,
    readers: Sequence[Repository],
    deliveries: Sequence[Delivery],
    *,
    policy: RetryPolicy,
    arrived: Callable[[Delivery], None],
    staging: Staging | None = None,
) -> None:
    """
    Bring the blob to all deliveries; afterwards each is done or has an error.

    The last of `readers` is the one that counts. Those before it are nearer, and left for the next one whatever
    goes wrong there. `arrived` is called for a delivery as soon as its repository holds the blob.
    """
    *nearer, source = readers
    breaks = Breaks(blob.size, policy.attempts)
    try:
        for reader in nearer:
            try:
                await _attempt(Reading(blob, reader, policy=policy, breaks=breaks), deliveries, arrived, staging)
            except (OcyncError, _GivenUpError) as error:
                log.debug("%s: taken from %s instead", error, source.name)
        async for attempt in policy.retrying():
            with attempt:
                await _attempt(Reading(blob, source, policy=policy, breaks=breaks), deliveries, arrived, staging)
    except OcyncError as error:
        _fail(deliveries, error)
    except _GivenUpError as given_up:
        _fail(deliveries, given_up.error)
    await _abandon([delivery.upload for delivery in deliveries])


def _fail(deliveries: Sequence[Delivery], error: OcyncError) -> None:
    for delivery in deliveries:
        if not delivery.done and delivery.error is None:
            delivery.error = error


async def _attempt(
    reading: Reading,
    deliveries: Sequence[Delivery],
    arrived: Callable[[Delivery], None],
    staging: Staging | None,
) -> None:
    """Read once for all that is pending; raises what is worth another attempt, or went wrong at the reader."""
    await _reopen(reading.blob, deliveries, arrived)
    try:
        await _pour(reading, [delivery for delivery in deliveries if delivery.pending], arrived, staging)
    finally:
        await _abandon([delivery.take_spent() for delivery in deliveries])
    failed = next((delivery.error for delivery in deliveries if delivery.pending and delivery.error), None)
    if failed is not None:
        raise failed


async def _abandon(uploads: Sequence[Upload | None]) -> None:
    """Give sessions up that will not be used; not when the pass is being cancelled, which must not wait for it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return
    for upload in uploads:
        if upload is not None:
            await upload.abandon()


async def _reopen(blob: Descriptor, deliveries: Sequence[Delivery], arrived: Callable[[Delivery], None]) -> None:
    """Open new sessions where the old ones were used up; an answer that was lost may have been a success."""
    for delivery in deliveries:
        if not delivery.pending or delivery.upload is not None:
            continue
        try:
            if await delivery.repository.has_blob(blob):
                _done(delivery, arrived)
            else:
                delivery.upload = await delivery.repository.open_upload(blob)
                if delivery.upload is None:
                    _done(delivery, arrived)
        except OcyncError as error:
            delivery.given_up = True
            delivery.error = error


def _done(delivery: Delivery, arrived: Callable[[Delivery], None]) -> None:
    delivery.done = True
    delivery.error = None
    arrived(delivery)


async def _pour(
    reading: Reading,
    deliveries: Sequence[Delivery],
    arrived: Callable[[Delivery], None],
    staging: Staging | None,
) -> None:
    """Make one read of the blob and send it to all deliveries; raises what went wrong at the reader."""
    if not deliveries:
        return
    blob, reader = reading.blob, reading.reader
    verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=reader.place)
    slots = reserve([reader.blob_slots, *(delivery.repository.upload_slots for delivery in deliveries)])
    async with slots as held, FanOut(reading, verifier, staging) as whole:
        parts = [(delivery, whole.branch()) for delivery in deliveries]
        # Before anything is sent: a source that can't be read costs no session.
        await whole.begin()
        async with asyncio.TaskGroup() as group:
            for delivery, branch in parts:
                group.create_task(_deliver(delivery, branch, whole, arrived, held))
    if whole.failure is not None:
        raise _GivenUpError(whole.failure) if whole.exhausted else whole.failure


async def _deliver(
    delivery: Delivery, branch: Branch, whole: FanOut, arrived: Callable[[Delivery], None], held: Reserved
) -> None:
    upload, delivery.upload, delivery.spent = delivery.upload, None, delivery.upload
    assert upload is not None
    try:
        await upload.send(branch.pieces(delivery.moved))
    except OcyncError as error:
        if error is not whole.failure:
            delivery.error = error
    else:
        delivery.spent = None
        _done(delivery, arrived)
    finally:
        branch.leave()
        # A slower target of the same read may need its own for long.
        held.release(delivery.repository.upload_slots)
