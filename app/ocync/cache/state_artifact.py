"""
The cache as an artifact in a registry: read before a pass, written after it, for CronJobs without a volume.

Of two passes that write at once, one overwrites the other's new entries; that only costs requests.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ocync.cache.entries import MAX_READ
from ocync.lib.errors import NotFoundError, OcyncError, ProtocolError
from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.digest import Digest, Verifier
from ocync.oci.manifest import Descriptor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.repository import TargetRepository

ARTIFACT_TYPE = "application/vnd.ocync.state.v2"
LAYER_TYPE = "application/vnd.ocync.state.v2+gzip"
_EMPTY = b"{}"


async def fetch(repository: TargetRepository, tag: str) -> bytes:
    """
    Return the packed state under a tag, empty if there is none.

    Raises OcyncError if it can't be read, and ProtocolError for an artifact of another kind.
    """
    try:
        manifest = await repository.manifest(tag)
    except NotFoundError:
        return b""
    layers = [blob for blob in manifest.blobs if blob.media_type == LAYER_TYPE]
    if manifest.artifact_type != ARTIFACT_TYPE or len(layers) != 1:
        raise ProtocolError(f"{repository.name}:{tag} is not a state of ocync", host=repository.host)
    layer = layers[0]
    if layer.size > MAX_READ:
        raise ProtocolError(
            f"{repository.name}:{tag} has {layer.size} bytes, more than {MAX_READ}", host=repository.host
        )
    verifier = Verifier(layer.digest, layer.size, what="the state", host=repository.host)
    data = bytearray()
    async with repository.slots.hold(), repository.blob(layer) as pieces:
        async for piece in pieces:
            verifier.update(piece)
            data += piece
    verifier.finish()
    return bytes(data)


async def push(repository: TargetRepository, tag: str, packed: bytes) -> None:
    """Ensure that the tag has this packed state; raises OcyncError."""
    config, layer = (
        Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
        for media_type, data in ((media.OCI_EMPTY, _EMPTY), (LAYER_TYPE, packed))
    )
    for blob, data in ((config, _EMPTY), (layer, packed)):
        if await repository.has_blob(blob):
            continue
        upload = await repository.open_upload(blob)
        if upload is None:
            continue
        try:
            async with repository.slots.hold():
                await upload.send(_pieces(data))
        except OcyncError:
            await upload.abandon()
            raise
    fields = [{"mediaType": d.media_type, "digest": str(d.digest), "size": d.size} for d in (config, layer)]
    body = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": fields[0],
        "layers": fields[1:],
    }
    raw = json.dumps(body).encode()
    manifest = manifests.parse(raw, content_type=media.OCI_MANIFEST, digest=Digest.of(raw), where="the state")
    await repository.put_manifest(manifest, tag=tag)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 128 * 1024):
        yield data[start : start + 128 * 1024]
