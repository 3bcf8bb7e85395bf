"""
One blob from one source to several targets in one read, verified on its way.

The last piece is held back until the digest is known to be right, so a target never gets the whole of a body that
lies. A target that fails drops out; the others go on. Memory: two pieces per target, and what sockets hold.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.errors import NetworkError, OcyncError
from ocync.oci.digest import Verifier
from ocync.slots import reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from ocync.endpoint import Repository, TargetRepository, Upload
    from ocync.oci.manifest import Descriptor
    from ocync.registry.waiting import RetryPolicy

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


async def relay(
    blob: Descriptor,
    readers: Sequence[Repository],
    deliveries: Sequence[Delivery],
    *,
    policy: RetryPolicy,
    arrived: Callable[[Delivery], None],
) -> None:
    """
    Bring the blob to all deliveries; afterwards each is done or has an error.

    The last of `readers` is the one that counts: it is read as often as the policy allows. Those before it are
    nearer, and tried once each, whatever goes wrong there. `arrived` is called for a delivery as soon as its
    repository holds the blob.
    """
    *nearer, source = readers
    reach = Reach()
    try:
        for reader in nearer:
            try:
                await _attempt(blob, reader, deliveries, arrived, Reach())
            except OcyncError as error:
                log.debug("%s: taken from %s instead", error, source.name)
        async for attempt in policy.retrying(reach.got_further):
            with attempt:
                await _attempt(blob, source, deliveries, arrived, reach)
    except OcyncError as error:
        for delivery in deliveries:
            if not delivery.done and delivery.error is None:
                delivery.error = error
    await _abandon([delivery.upload for delivery in deliveries])


class Reach:
    """How far the attempts that broke at the reader got, in bytes; how far a target let us get tells nothing."""

    def __init__(self) -> None:
        self._furthest = 0
        self._further = False

    def note(self, received: int) -> None:
        """Record how many bytes came in the attempt that has just ended."""
        self._further = received > self._furthest
        self._furthest = max(self._furthest, received)

    def got_further(self) -> bool:
        """Tell, once, whether the last attempt got further than all before it."""
        further, self._further = self._further, False
        return further


async def _attempt(
    blob: Descriptor,
    reader: Repository,
    deliveries: Sequence[Delivery],
    arrived: Callable[[Delivery], None],
    reach: Reach,
) -> None:
    """Read once for all that is pending; raises what is worth another attempt, or went wrong at the reader."""
    await _reopen(blob, deliveries, arrived)
    try:
        await _pour(blob, reader, [delivery for delivery in deliveries if delivery.pending], arrived, reach)
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
    blob: Descriptor,
    reader: Repository,
    deliveries: Sequence[Delivery],
    arrived: Callable[[Delivery], None],
    reach: Reach,
) -> None:
    """Make one read of the blob and send it to all deliveries; raises what went wrong at the reader."""
    if not deliveries:
        return
    verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=reader.place)
    broken: OcyncError | None = None
    slots = reserve([reader.slots, *(delivery.repository.slots for delivery in deliveries)])
    async with slots, reader.blob(blob) as pieces:
        channels = [Channel() for _ in deliveries]
        async with asyncio.TaskGroup() as group:
            for delivery, channel in zip(deliveries, channels, strict=True):
                group.create_task(_deliver(delivery, channel, arrived))
            try:
                await _pump(pieces, verifier, channels)
            except OcyncError as error:
                broken = error
                for channel in channels:
                    await channel.fail(error)
    if broken is not None:
        # Bytes that lie are no progress, however many they are.
        reach.note(verifier.received if isinstance(broken, NetworkError) else 0)
        raise broken


async def _deliver(delivery: Delivery, channel: Channel, arrived: Callable[[Delivery], None]) -> None:
    upload, delivery.upload, delivery.spent = delivery.upload, None, delivery.upload
    assert upload is not None
    try:
        await upload.send(channel.pieces(delivery.moved))
    except OcyncError as error:
        if error is not channel.failure:
            delivery.error = error
    else:
        delivery.spent = None
        _done(delivery, arrived)
    finally:
        channel.close()


async def _pump(pieces: AsyncIterator[bytes], verifier: Verifier, channels: Sequence[Channel]) -> None:
    """Hand each piece to all channels, one piece behind the reader; the last one when all is verified."""
    held = b""
    async for piece in pieces:
        verifier.update(piece)
        if held:
            await _hand_out(held, channels)
        if all(channel.closed for channel in channels):
            return
        held = piece
    verifier.finish()
    if held:
        await _hand_out(held, channels)
    for channel in channels:
        await channel.finish()


async def _hand_out(piece: bytes, channels: Sequence[Channel]) -> None:
    for channel in channels:
        await channel.put(piece)


class Channel:
    """A queue of one piece between the reader and one upload."""

    def __init__(self) -> None:
        self.closed = False
        self.failure: OcyncError | None = None
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)

    async def put(self, piece: bytes) -> None:
        """Hand a piece over, waiting for room; nothing happens once the upload has ended."""
        if not self.closed:
            await self._queue.put(piece)

    async def finish(self) -> None:
        """Say that all pieces have been handed over."""
        if not self.closed:
            await self._queue.put(None)

    async def fail(self, error: OcyncError) -> None:
        """End the upload's body with an error, so that it is not committed."""
        self.failure = error
        await self.finish()

    def close(self) -> None:
        """Take no more: the upload has ended, one way or another. Wakes a reader that waits for room."""
        self.closed = True
        while not self._queue.empty():
            self._queue.get_nowait()

    async def pieces(self, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Give the pieces to an upload as its body; raises the failure, where there is one."""
        while (piece := await self._queue.get()) is not None:
            moved(len(piece))
            yield piece
        if self.failure is not None:
            raise self.failure
