"""
Transfers of blobs from sources to targets, which share the reads of a source.

Targets that need a blob of the same source within a moment read it together. A later one takes it from disk, where
it is kept for targets that are expected, or reads it again. A read that breaks is resumed, into the same uploads.
An upload that fails for a passing reason is tried again with a read of its own.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from ocync.lib.errors import NetworkError, OcyncError, UnreachableError
from ocync.lib.limiter import Slots, reserve
from ocync.registry.retry import STALL, seconds_to_store
from ocync.transfer.resumable_read import GRACE, SLOWEST, Breaks, Pace, Reading
from ocync.transfer.shared_read import Patience, SharedRead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from ocync.lib.limiter import Lane, Reserved
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor
    from ocync.oci.repository import Repository, TargetRepository, Upload
    from ocync.plan.source import SourceImage
    from ocync.registry.retry import RetryPolicy
    from ocync.transfer.shared_read import Branch
    from ocync.transfer.staging import Staging

log = logging.getLogger(__name__)

# Seconds for which a target that was left behind waits for a slot of the source.
_SECONDS_FOR_A_SLOT = 5.0
_Key = tuple[str, "Digest"]


class Delivery:
    """One blob to one repository; `upload` is a session that is open and not used yet."""

    def __init__(
        self,
        blob: Descriptor,
        repository: TargetRepository,
        upload: Upload,
        *,
        image: SourceImage | None = None,
        moved: Callable[[int], None] = lambda _count: None,
        reading: Callable[[Callable[[], bool] | None], None] = lambda _is_slow: None,
    ) -> None:
        """
        `image` is what the blob belongs to: its other targets are waited for.

        `moved` is told of the bytes that are handed over, `reading` of a way to ask whether the source is slow,
        for as long as it is read.
        """
        self.blob = blob
        self.repository = repository
        self.image = image
        self.moved = moved
        self.reading = reading
        self._upload: Upload | None = upload
        self._spent: Upload | None = None
        """A session that was used and not committed."""
        self._stood = 0.0
        """Seconds for which the target took nothing before sessions failed, in all."""

    async def prepare(self) -> bool:
        """
        Ensure that there is a session to use, or return true where the repository holds the blob by now.

        An answer that was lost may have been a success. Raises _GivenUpError where no session is to be had: that
        request has had its attempts.
        """
        if self._upload is not None:
            return False
        try:
            # After a long silence, another one of its own is too long.
            async with asyncio.timeout(max(GRACE - self._stood, 1.0) if self._stood > GRACE / 2 else None):
                if await self.repository.has_blob(self.blob):
                    return True
                self._upload = await self.repository.open_upload(self.blob)
        except OcyncError as error:
            raise _GivenUpError(error) from error
        except TimeoutError as error:
            raise _GivenUpError(self._stands_still()) from error
        return self._upload is None

    async def send(self, branch: Branch, clock: Callable[[], float]) -> None:
        """Send all pieces in the session; after an OcyncError the session has to be abandoned."""
        upload, self._upload, self._spent = self._upload, None, self._upload
        assert upload is not None
        slots, pace = self.repository.upload_slots, Pace(max(GRACE - self._stood, 0.0))
        taking = _Taking(branch.pieces(self.moved), pace, self.blob, slots, clock)
        try:
            async with taking.limit:
                await upload.send(taking)
        except TimeoutError as error:
            if not taking.limit.expired():
                raise
            slots.stood_still()
            raise self._stands_still() from error
        except NetworkError:
            if taking.end() >= STALL:
                slots.stood_still()
            raise
        finally:
            self._stood += taking.end()
        if pace.spent < STALL:
            slots.moved()
        self._spent = None

    @property
    def is_over(self) -> bool:
        """Whether the target has been waited for long enough, in however many sessions."""
        return self._stood >= GRACE

    def _stands_still(self) -> UnreachableError:
        host = self.repository.host
        return UnreachableError(
            f"can't push blob {self.blob.digest} to {self.repository.name}: {host} stands still, or takes less "
            f"than {SLOWEST // 1024} KiB a second",
            host=host,
        )

    async def abandon_spent(self) -> None:
        """Give up a session that was used in vain. The caller holds no slot."""
        spent, self._spent = self._spent, None
        await _abandon(spent)

    async def abandon(self) -> None:
        """Give up a session that was not used. The caller holds no slot."""
        upload, self._upload = self._upload, None
        await _abandon(upload)


class _Taking:
    """The pieces of a blob on their way to a target, with a limit on the time that it takes to take them."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        pace: Pace,
        blob: Descriptor,
        slots: Slots | Lane,
        clock: Callable[[], float],
    ) -> None:
        self._pieces = pieces
        self._pace = pace
        self._blob = blob
        self._slots = slots
        self._clock = clock
        self._handed = 0
        self._waited = 0.0
        self._since: float | None = clock()
        """When the target began to take what it was handed; None while the source is waited for."""
        self.limit = asyncio.timeout(max(pace.left, 0.0))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.end()
        self._waited = 0.0
        if self.limit.when() is not None:
            self.limit.reschedule(None)
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._begin(0, patience=seconds_to_store(self._blob.size))
            raise
        self._begin(len(piece))
        return piece

    def _begin(self, handed: int, *, patience: float = 0.0) -> None:
        self._handed, self._since = handed, self._clock()
        if not self.limit.expired():
            loop = asyncio.get_running_loop()
            self.limit.reschedule(loop.time() + max(self._pace.left, 0.0) + patience)

    def end(self) -> float:
        """Count the wait for the target, and return the seconds of the last one; 0 if the source is waited for."""
        if self._since is not None:
            self._waited, self._since = self._clock() - self._since, None
            if self._pace.waited(self._waited, self._handed):
                self._slots.moved()
        return self._waited


async def _abandon(upload: Upload | None) -> None:
    task = asyncio.current_task()
    # A pass that is being cancelled must not wait for it.
    if upload is not None and not (task is not None and task.cancelling()):
        await upload.abandon()


def _taken_over(held: Reserved, slots: Iterable[Slots | Lane]) -> Callable[[], None]:
    """Take these slots over from `held`, and return the function that releases them."""
    each = [held.take_over(one) for one in slots]

    def release() -> None:
        for one in each:
            one()

    return release


class _GivenUpError(Exception):
    """An operation that has no attempts left."""

    def __init__(self, error: OcyncError) -> None:
        super().__init__(error)
        self.error = error


class BlobMover(Protocol):
    """Transfers blobs from a source to a target."""

    async def send(self, delivery: Delivery, source: Repository, *, nearer: Repository | None = None) -> None:
        """
        Ensure that the repository has the blob; raises OcyncError.

        `nearer` is a repository of the target's own host that has it: it is read first, and left for the source
        whatever goes wrong there.
        """

    def changed(self) -> None:
        """Record that a target has got a blob, or needs nothing more of an image."""


class BlobReads:
    """Moves blobs; made for one pass."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        staging: Staging | None = None,
        holds: Callable[[str, Digest], bool] = lambda _host, _digest: False,
    ) -> None:
        """`holds` returns whether a target host was seen to have a blob: reads do not wait for it then."""
        self._policy = policy
        self._staging = staging
        self._holds = holds
        self._patience = Patience()
        self.targets = 1
        """The number of target hosts, which share the slots of each source."""
        self._shares: dict[tuple[str, str], Slots] = {}
        self._reads: dict[_Key, SharedRead] = {}
        self._kept: dict[_Key, SourceImage] = {}
        """Reads kept on disk for the image's targets that have not come yet."""
        self._waiting: dict[Digest, list[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"<BlobReads: {len(self._reads)} of them, {len(self._kept)} kept on disk>"

    def changed(self, digest: Digest | None = None) -> None:
        """Record that a target has got a blob, or (without its digest) needs nothing more of an image."""
        for each in list(self._waiting) if digest is None else [digest]:
            for change in self._waiting.pop(each, ()):
                if not change.done():
                    change.set_result(None)

    async def send(self, delivery: Delivery, source: Repository, *, nearer: Repository | None = None) -> None:
        """Ensure that the repository has the blob; raises OcyncError. See BlobMover."""
        breaks = Breaks(delivery.blob.size, self._policy.attempts, source.blob_slots)
        try:
            if nearer is not None:
                try:
                    await self._attempt(
                        delivery, Reading(delivery.blob, nearer, policy=self._policy, breaks=breaks)
                    )
                except (OcyncError, _GivenUpError) as error:
                    log.debug("%s: taken from %s instead", error, source.name)
                else:
                    return
            async for attempt in self._policy.retrying():
                with attempt:
                    await self._attempt_together(
                        delivery, Reading(delivery.blob, source, policy=self._policy, breaks=breaks)
                    )
        except _GivenUpError as given_up:
            raise given_up.error from given_up
        finally:
            await delivery.abandon()

    async def _attempt(self, delivery: Delivery, reading: Reading) -> None:
        """Send the blob by a read of its own."""
        if await delivery.prepare():
            return
        read = SharedRead(reading)
        branch = read.join(delivery.repository.host)
        try:
            await self._pour(delivery, read, branch)
        finally:
            await branch.leave()
            await read.close()
            await delivery.abandon_spent()

    async def _attempt_together(self, delivery: Delivery, reading: Reading) -> None:
        """Send the blob by a read that other targets may share."""
        if await delivery.prepare():
            return
        key = (reading.reader.host, delivery.blob.digest)
        host = delivery.repository.host
        read = known = self._reads.get(key)
        if read is None or not read.is_joinable or host in read.hosts:
            read = SharedRead(
                reading,
                staging=self._staging,
                patience=self._patience,
                slot_again=partial(self._slot_again, reading.reader),
            )
        is_shared = known is None or not known.is_joinable
        if is_shared:
            self._reads[key] = read
            self._kept.pop(key, None)
        branch = read.join(host)
        try:
            if read is known:
                self.changed(delivery.blob.digest)
                await asyncio.wait([read.gathered])
            else:
                await self._gather(read, delivery.image if is_shared else None, host)
            if is_shared and known is not None and known.is_idle:
                await known.close()
            await self._pour(delivery, read, branch)
        finally:
            await branch.leave()
            await self._left(key, read, delivery.image)
            await delivery.abandon_spent()

    async def _gather(self, read: SharedRead, image: SourceImage | None, host: str) -> None:
        """Wait a moment for the image's other targets, and keep the read on disk for those that do not come."""
        try:
            expected = self._expected(read, image)
            missing = await self._missing(read, image, within=max(map(self._patience.of, expected), default=0.0))
            for each in missing:
                self._patience.missed(each)
            for each in (expected & read.hosts) - {host}:
                self._patience.kept_up(each)
            read.keep = bool(missing)
        finally:
            # Even after a cancellation, so that the branches that have joined go on.
            read.gathered.set_result(None)

    async def _missing(self, read: SharedRead, image: SourceImage | None, *, within: float) -> set[str]:
        """Return the target hosts that may still come for the blob after waiting this many seconds for them."""
        clock = asyncio.get_running_loop().time
        until = clock() + within
        while (missing := self._expected(read, image)) and (left := until - clock()) > 0:
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(read.blob.digest, []).append(change)
            await asyncio.wait([change], timeout=left)
        return missing

    def _expected(self, read: SharedRead, image: SourceImage | None) -> set[str]:
        """Return the target hosts that may still come for the blob."""
        if image is None:
            return set()
        return {host for host in image.hosts - read.hosts if not self._holds(host, read.blob.digest)}

    async def _pour(self, delivery: Delivery, read: SharedRead, branch: Branch) -> None:
        async with AsyncExitStack() as stack:
            await self._reserve(delivery, read, branch, stack)
            delivery.reading(read.is_slow)
            try:
                # Before anything is sent: a source that can't be read costs no session.
                await read.begin(branch)
                await delivery.send(branch, self._policy.clock)
            except OcyncError as error:
                if error is read.failure:
                    is_over = read.exhausted
                else:
                    is_over = delivery.is_over
                if is_over:
                    raise _GivenUpError(error) from error
                raise
            finally:
                delivery.reading(None)

    async def _reserve(self, delivery: Delivery, read: SharedRead, branch: Branch, stack: AsyncExitStack) -> None:
        """
        Take a slot of the target, and one of the source unless the read has one.

        A branch of a read that has begun must not wait for the source's slots: all of them may be held by reads
        that wait for their slowest branch.
        """
        reader, target = read.reader, delivery.repository.upload_slots
        wanted = self._slots(reader, delivery.repository.host)
        while True:
            if not read.needs_slot(branch):
                async with AsyncExitStack() as held:
                    await held.enter_async_context(reserve([target]))
                    if not read.needs_slot(branch):
                        stack.push_async_exit(held.pop_all())
                        return
                # The other branches have left meanwhile, and the slot of the source was released.
                continue
            taking = asyncio.create_task(stack.enter_async_context(reserve([*wanted, target])))
            either: tuple[asyncio.Future[Any], ...] = (taking, read.taken)
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not taking.done():
                    taking.cancel()
                    await asyncio.wait([taking])
            if not taking.cancelled():
                release = _taken_over(taking.result(), wanted)
                if read.needs_slot(branch):
                    read.hold(release)
                else:
                    release()
                return

    def _slots(self, reader: Repository, host: str) -> list[Slots | Lane]:
        """Return the slots of which a read for a target host takes one each; several hosts have a share each."""
        if self.targets <= 1:
            return [reader.blob_slots]
        key = (reader.host, host)
        if key not in self._shares:
            slots = reader.blob_slots
            self._shares[key] = Slots(f"reads {reader.host} {host}", lambda: max(1, slots.limit // self.targets))
        return [self._shares[key], reader.blob_slots]

    async def _slot_again(self, reader: Repository, host: str) -> Callable[[], None]:
        """
        Take a slot of the source for a target that was left behind, and return the function that releases it.

        Raises NetworkError if none is free within some seconds: the caller holds a slot of the target, which a task
        with a slot of the source may wait for.
        """
        wanted = self._slots(reader, host)
        try:
            async with asyncio.timeout(_SECONDS_FOR_A_SLOT), reserve(wanted) as held:
                return _taken_over(held, wanted)
        except TimeoutError as error:
            raise NetworkError(
                f"{host} was too slow to read a blob of {reader.name} with others", host=host
            ) from error

    async def _left(self, key: _Key, read: SharedRead, image: SourceImage | None) -> None:
        """Close a read without branches, unless it is kept on disk for targets that may still come."""
        if not read.is_idle:
            return
        if image is not None and read.is_kept and self._reads.get(key) is read and self._expected(read, image):
            self._kept[key] = image
        elif self._reads.get(key) is read:
            await self._forget(key)
        else:
            await read.close()
        await self._sweep()

    async def _sweep(self) -> None:
        """Close reads that are kept for targets that will not come."""
        # One at a time: while one is closed, others may be joined again.
        while (key := next(filter(self._is_over, self._kept), None)) is not None:
            await self._forget(key)

    def _is_over(self, key: _Key) -> bool:
        read = self._reads[key]
        return read.is_idle and not self._expected(read, self._kept[key])

    async def _forget(self, key: _Key) -> None:
        self._kept.pop(key, None)
        await self._reads.pop(key).close()

    async def close(self) -> None:
        """Close everything that is still open."""
        for key in list(self._reads):
            await self._forget(key)
