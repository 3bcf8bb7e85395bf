"""
One blob of an image at one target: present, mounted, or sent.

At each host one repository gets the blob first, and the others mount it from there. If the source is on the same
host, all mount it from the source. A blob that failed for one image is not tried again for others.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.lib.errors import OcyncError
from ocync.transfer.blob_reads import Delivery
from ocync.transfer.claims import Commit, Present, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.oci.manifest import Descriptor
    from ocync.oci.repository import Repository, Upload
    from ocync.transfer.blob_reads import BlobMover
    from ocync.transfer.claims import Lead
    from ocync.transfer.destination import Destination
    from ocync.transfer.mounts import Unit

LARGE = 1024 * 1024
"""Bytes from which a blob is always looked up before it is sent."""


async def bring_blob(
    blob: Descriptor,
    source: Repository,
    destination: Destination,
    mover: BlobMover,
    unit: Unit | None = None,
    *,
    is_likely: bool = True,
) -> None:
    """
    Ensure that the target's repository has the blob; raises OcyncError.

    `unit` is the manifest that needs it, if the host mounts only blobs of manifests. A small blob that is unlikely
    to be there (`is_likely`) is sent without a look-up.
    """
    claims, repository = destination.claims, destination.repository
    alone = False
    while True:
        claims.check_failure(source, repository, blob.digest)
        claim = claims.claim_blob(repository, blob.digest, source=source.host, unit=unit, alone=alone)
        match claim:
            case Present():
                destination.count(skipped=1)
                return
            case Wait(flight):
                alone = not await flight.wait(source.host)
            case Commit(until):
                # Unlike an await of the future itself, this does not hand a cancellation on to it.
                await asyncio.wait([until])
            case _:
                try:
                    await _bring(blob, source, destination, mover, claim=claim, is_likely=is_likely)
                except OcyncError as error:
                    claims.failed(source, repository, blob.digest, error)
                    claims.refused(error)
                    raise
                finally:
                    claims.release(repository, blob.digest, claim.flight)
                return


async def _bring(
    blob: Descriptor,
    source: Repository,
    destination: Destination,
    mover: BlobMover,
    *,
    claim: Lead,
    is_likely: bool,
) -> None:
    claims, repository = destination.claims, destination.repository
    if claim.holder is None and source.host == repository.host and source.path != repository.path:
        claim = replace(claim, holder=source)
    mount_from = claim.holder.path if claim.holder is not None else claim.hint
    if claim.holder is not None and not claims.mounts.may_ask(claim.holder.path, repository.path):
        mount_from = None
    is_looked_for = blob.size >= LARGE or claim.is_known or (is_likely and not destination.is_empty)
    if mount_from is None or destination.is_audited:
        if is_looked_for and await _find(blob, destination):
            return
        claims.check_refusal()
    async with claims.sessions(source, repository).hold():
        upload = await repository.open_upload(blob, mount_from=mount_from)
        if upload is None:
            _mounted(blob, destination, claim)
            return
        try:
            if mount_from is not None:
                _not_mounted(blob, destination, claim)
                # Not looked up yet: a large blob is not sent in vain.
                is_there = blob.size >= LARGE and await _find(blob, destination)
                if is_there:
                    await upload.abandon()
                    return
                claims.check_refusal()
        except OcyncError:
            await upload.abandon()
            raise
        await _send(blob, source, destination, mover, claim=claim, upload=upload)


async def _find(blob: Descriptor, destination: Destination) -> bool:
    found = await destination.repository.has_blob(blob)
    if found is None:
        destination.not_shown(f"blob {blob.digest}")
        return False
    if not found:
        destination.lost += destination.is_audited
        return False
    if destination.inspect is not None:
        await destination.inspect(destination.repository, blob)
    destination.claims.blob_seen(destination.repository, blob.digest)
    destination.count(skipped=1)
    return True


def _mounted(blob: Descriptor, destination: Destination, claim: Lead) -> None:
    claims, repository = destination.claims, destination.repository
    if claim.holder is not None:
        claims.mounts.granted(claim.holder.path, repository.path)
    elif claim.hint is not None:
        claims.hint_was_right(claim.hint, blob.digest)
    claims.blob_seen(repository, blob.digest, is_new=True)
    destination.count(mounted=1)
    destination.repaired += destination.is_audited


def _not_mounted(blob: Descriptor, destination: Destination, claim: Lead) -> None:
    if claim.holder is not None:
        destination.claims.mounts.refused(claim.holder.path, destination.repository.path)
    elif claim.hint is not None:
        destination.claims.hint_was_wrong(claim.hint, blob.digest)


async def _send(
    blob: Descriptor,
    source: Repository,
    destination: Destination,
    mover: BlobMover,
    *,
    claim: Lead,
    upload: Upload,
) -> None:
    claims, repository = destination.claims, destination.repository

    def reading(is_slow: Callable[[], bool] | None) -> None:
        claim.flight.is_source_slow = is_slow

    delivery = Delivery(blob, repository, upload, image=destination.image, moved=destination.moved, reading=reading)
    destination.expected(blob.size)
    # If the host has the blob but does not mount it, it is read there, or from the source if that fails.
    nearer = claim.holder if claim.holder is not source else None
    await mover.send(delivery, source, nearer=nearer)
    destination.count(transferred=1, size=blob.size)
    destination.repaired += destination.is_audited
    claims.blob_seen(repository, blob.digest, is_new=True)
    claims.took()
