"""
One blob of an image at all of its targets: there already, mounted, or sent.

For each place one repository leads and the others mount from it; the bytes are read from the source once for all
targets that lead together. A place that is the source's too mounts from there. What could not be brought for one
image is not tried again for the next one that needs it.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING

from ocync.errors import OcyncError, RegistryError
from ocync.slots import reserve
from ocync.transfer.ledger import Lead, Mount, Present, Wait
from ocync.transfer.relay import Delivery, relay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ocync.endpoint import Repository, Upload
    from ocync.oci.manifest import Descriptor
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.transfer.mounts import Unit
    from ocync.transfer.recall import First


async def bring_blob(
    blob: Descriptor,
    source: Repository,
    destinations: Sequence[Destination],
    policy: RetryPolicy,
    units: Mapping[int, Unit] = MappingProxyType({}),
) -> None:
    """
    Hold afterwards, for each destination, that its repository has the blob or that it has failed.

    `units` are the manifest that needs it, by the `id` of the destination, where that matters to the place.
    """
    leading: list[tuple[Destination, First]] = []
    async with asyncio.TaskGroup() as group:
        for destination in destinations:
            if not destination.alive or _is_hopeless(blob, source, destination):
                continue
            match destination.ledger.claim_blob(destination.repository, blob.digest, units.get(id(destination))):
                case Present(believed):
                    destination.believing |= believed
                    destination.count(skipped=1)
                case Wait(until):
                    group.create_task(_again(blob, source, destination, policy, until=until, units=units))
                case Mount(holder):
                    group.create_task(_mount(blob, source, destination, policy, holder))
                case Lead() if source.place == destination.repository.place:
                    group.create_task(_mount(blob, source, destination, policy, source))
                case Lead(first):
                    leading.append((destination, first))
        if leading:
            # The claims of all leaders were taken in one go; they wait for nobody until they are released.
            await _lead(blob, source, leading, policy)


def _is_hopeless(blob: Descriptor, source: Repository, destination: Destination) -> bool:
    """Let the destination fail where another image has tried in vain to bring this blob there."""
    error = destination.ledger.failure(source, destination.repository, blob.digest)
    if error is not None:
        destination.fail(error)
    return error is not None


def _is_refused(destination: Destination) -> bool:
    """Let the destination fail where its place takes no blobs at all: the bytes need not be read for that."""
    error = destination.ledger.refusal()
    if error is not None:
        destination.fail(error)
    return error is not None


def _fail(blob: Descriptor, source: Repository, destination: Destination, error: OcyncError) -> None:
    destination.fail(error)
    destination.ledger.failed(source, destination.repository, blob.digest, error)
    if isinstance(error, RegistryError) and error.host == destination.repository.place:
        destination.ledger.refused(error)


async def _again(
    blob: Descriptor,
    source: Repository,
    destination: Destination,
    policy: RetryPolicy,
    *,
    until: asyncio.Future[None],
    units: Mapping[int, Unit],
) -> None:
    # Shielded: many wait for the same flight, and one that is cancelled must not take it from the others.
    await asyncio.shield(until)
    await bring_blob(blob, source, [destination], policy, units)


async def _mount(
    blob: Descriptor, source: Repository, destination: Destination, policy: RetryPolicy, holder: Repository
) -> None:
    repository, mounts = destination.repository, destination.ledger.mounts
    try:
        async with destination.ledger.sessions(source, repository).hold():
            asks = mounts.may_ask(holder.path, repository.path)
            upload = await repository.open_upload(blob, mount_from=holder.path if asks else None)
            if upload is None:
                mounts.granted(holder.path, repository.path)
                destination.ledger.blob_arrived(repository, blob.digest, is_new=True)
                destination.count(mounted=1)
                return
            if asks:
                mounts.refused(holder.path, repository.path)
            if _is_refused(destination):
                await upload.abandon()
                return
            # The place has the bytes and does not mount: they are read there, and from the source if that fails.
            readers = [source] if holder is source else [holder, source]
            await _send(blob, readers, {id(repository): destination}, [upload], policy)
    except OcyncError as error:
        _fail(blob, source, destination, error)
    finally:
        destination.ledger.release_blob(repository, blob.digest)


async def _lead(
    blob: Descriptor, source: Repository, leading: Sequence[tuple[Destination, First]], policy: RetryPolicy
) -> None:
    sessions = {
        id(destination): destination.ledger.sessions(source, destination.repository) for destination, _ in leading
    }
    try:
        async with reserve(sessions.values()) as held:
            async with asyncio.TaskGroup() as group:
                lacking = [group.create_task(_lacks(blob, source, *each)) for each in leading]
            # All are opened in one go, so that those who find out how their hosts take blobs do so for all of them.
            async with asyncio.TaskGroup() as group:
                opened = [
                    (destination, group.create_task(_open(blob, source, destination, first)))
                    for (destination, first), task in zip(leading, lacking, strict=True)
                    if task.result()
                ]
            pairs = [(destination, upload) for destination, task in opened if (upload := task.result()) is not None]
            if pairs:
                by_repository = {id(destination.repository): destination for destination, _ in pairs}
                uploads = [upload for _, upload in pairs]
                await _send(
                    blob,
                    [source],
                    by_repository,
                    uploads,
                    policy,
                    is_there=lambda destination: held.release(sessions[id(destination)]),
                )
    finally:
        for destination, _ in leading:
            destination.ledger.release_blob(destination.repository, blob.digest)


async def _lacks(blob: Descriptor, source: Repository, destination: Destination, first: First) -> bool:
    """Tell whether the blob has to be brought: it is not there, and somebody can say so."""
    repository, recall = destination.repository, destination.ledger.recall
    if first.holder is not None or not destination.is_empty:
        recall.spared(asked=first.look)
    try:
        # In a repository that was empty only this pass can have put anything, and the ledger knows that.
        if destination.is_empty or not first.look:
            return first.holder is not None or not _is_refused(destination)
        if not await repository.has_blob(blob):
            recall.blob_missed(repository, blob.digest)
            return first.holder is not None or not _is_refused(destination)
    except OcyncError as error:
        _fail(blob, source, destination, error)
    else:
        destination.ledger.blob_arrived(repository, blob.digest)
        destination.count(skipped=1)
    return False


async def _open(blob: Descriptor, source: Repository, destination: Destination, first: First) -> Upload | None:
    """Return what the blob can be sent by; None where it was mounted, or nothing can be done."""
    repository, recall = destination.repository, destination.ledger.recall
    try:
        upload = await repository.open_upload(blob, mount_from=first.holder)
        if first.holder is None:
            return upload
        if upload is None:
            recall.mounted(repository, first.holder, blob.digest)
            destination.ledger.blob_arrived(repository, blob.digest, is_new=True)
            destination.count(mounted=1)
            return None
        recall.mount_refused(repository, first.holder, blob.digest)
        if not _is_refused(destination):
            return upload
        await upload.abandon()
    except OcyncError as error:
        _fail(blob, source, destination, error)
    return None


async def _send(
    blob: Descriptor,
    readers: Sequence[Repository],
    destinations: dict[int, Destination],
    uploads: Sequence[Upload],
    policy: RetryPolicy,
    *,
    is_there: Callable[[Destination], None] = lambda _destination: None,
) -> None:
    def arrived(delivery: Delivery) -> None:
        destination = destinations[id(delivery.repository)]
        destination.count(transferred=1, size=blob.size)
        destination.ledger.blob_arrived(delivery.repository, blob.digest, is_new=True)
        destination.ledger.took()
        # At once: who waits for this target need not wait for a slower one of the same read.
        destination.ledger.release_blob(delivery.repository, blob.digest)
        is_there(destination)

    deliveries = [
        Delivery(destination.repository, upload, destination.moved)
        for destination, upload in zip(destinations.values(), uploads, strict=True)
    ]
    for destination in destinations.values():
        destination.expected(blob.size)
    # One room for the whole pass: all destinations have the same.
    staging = next(iter(destinations.values())).staging
    await relay(blob, readers, deliveries, policy=policy, arrived=arrived, staging=staging)
    for delivery in deliveries:
        if not delivery.done and delivery.error is not None:
            _fail(blob, readers[-1], destinations[id(delivery.repository)], delivery.error)
