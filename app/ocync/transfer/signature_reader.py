"""What stands for signatures of an image, as it is read from a registry or a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocync.lib.errors import NotFoundError, OcyncError
from ocync.oci import media
from ocync.oci.referrers import NO_TYPES
from ocync.transfer.resumable_read import read_whole
from ocync.verification.evidence import (
    BUNDLE_PREFIX,
    PREDICATE,
    SIGN_PREDICATE,
    SIMPLE_SIGNING,
    Bundle,
    SimpleSignature,
    UntrustedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository
    from ocync.plan.attachments import Attached
    from ocync.registry.retry import RetryPolicy
    from ocync.verification.evidence import Evidence

MAX_SIZE = 1024 * 1024
"""Bytes of a signature's blob that are read at most; a payload has some hundred, a bundle some thousand."""
MAX_SIGNATURES = 1000
"""Signatures of one image that are looked at, the latest of each manifest first; and manifests with signatures."""
MAX_TOTAL = 16 * 1024 * 1024
"""Bytes of signatures' blobs that are read for one image at most."""
# By reference, signatures have these types; where a list tells none, the artifact has to be looked at.
_SIGNATURE_TYPES = ("application/vnd.dev.cosign.artifact.sig.v1+json", SIMPLE_SIGNING)


class EvidenceReader:
    """Reads what is attached to an image, one after the other: the first that is right is enough."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy

    async def read(
        self, attached: Attached, source: Repository
    ) -> AsyncGenerator[Evidence | str | OcyncError, None]:
        """Yield what stands for signatures of a manifest, or why one of them is none, or can't be read now."""
        found = _signatures(attached)
        left, attestations = MAX_TOTAL, sum(_is_attestation(each.annotation(PREDICATE)) for each in found)
        blobs: dict[Digest, bytes] = {}
        for descriptor in [each for each in found if not _is_attestation(each.annotation(PREDICATE))][
            :MAX_SIGNATURES
        ]:
            try:
                manifest = await source.manifest(str(descriptor.digest))
            except NotFoundError:
                yield f"the signature {descriptor.digest} is listed and is gone"
                continue
            except OcyncError as error:
                yield error
                continue
            layers = _layers(manifest)
            attestations += layers is None
            for layer, notes in layers or ():
                if layer.size > min(MAX_SIZE, left):
                    yield f"a signature of {layer.size} bytes is not read: {MAX_SIZE} are the most at once"
                    continue
                if layer.digest not in blobs:
                    left -= layer.size
                yield await self._one(layer, notes, blobs, source)
        if attestations:
            yield f"attestations are attached to it ({attestations}), which are no signatures"

    async def _one(
        self, layer: Descriptor, notes: dict[str, Any], blobs: dict[Digest, bytes], source: Repository
    ) -> Evidence | str | OcyncError:
        """Return what a layer is; `blobs` keeps the latest that was read."""
        try:
            if layer.digest not in blobs:
                data = await read_whole(layer, source, policy=self._policy)
                # Each time it is signed anew the payload is the same, and the annotations are not.
                blobs.clear()
                blobs[layer.digest] = data
            data = blobs[layer.digest]
            return SimpleSignature.read(data, notes) if layer.media_type == SIMPLE_SIGNING else Bundle.read(data)
        except NotFoundError:
            return f"the signature's blob {layer.digest} is gone"
        except OcyncError as error:
            return error
        except UntrustedError as error:
            return f"a signature can't be read: {error}"


def _signatures(attached: Attached) -> list[Descriptor]:
    """Return the manifests that may hold signatures of the subject itself, those by reference first."""
    found: dict[Digest, Descriptor] = {}
    for attachment in attached.attachments:
        if attachment.subject != attached.subject:
            continue
        for descriptor in attachment.referrers:
            kind = descriptor.artifact_type
            if kind in _SIGNATURE_TYPES or kind in NO_TYPES or kind.startswith(BUNDLE_PREFIX):
                found.setdefault(descriptor.digest, descriptor)
        for tag in attachment.tags:
            if tag.tag.endswith(".sig"):
                found.setdefault(tag.descriptor.digest, tag.descriptor)
    return list(found.values())


def _is_attestation(predicate: Any) -> bool:
    """
    Return whether a bundle says of itself that it tells of an image and is no signature: then it is not even read.

    cosign writes that beside each bundle (pkg/oci/remote, WriteAttestationNewBundleFormat). What says nothing, or
    lies, is read, and then it is what has been signed that counts.
    """
    return isinstance(predicate, str) and predicate not in ("", SIGN_PREDICATE)


def _annotations(entry: dict[str, Any]) -> dict[str, Any]:
    annotations = entry.get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _layers(manifest: Manifest) -> list[tuple[Descriptor, dict[str, Any]]] | None:
    """Return the layers that are signatures, the latest first, with their annotations; None for an attestation."""
    if manifest.media_type in media.INDEXES:
        return []
    body = json.loads(manifest.raw)
    if _is_attestation(_annotations(body).get(PREDICATE)):
        return None
    by_digest = {str(blob.digest): blob for blob in manifest.blobs}
    found = []
    for entry in body.get("layers") or []:
        kind, blob = entry.get("mediaType"), by_digest.get(entry.get("digest"))
        if blob is None or not isinstance(kind, str):
            continue
        if kind == SIMPLE_SIGNING or kind.startswith(BUNDLE_PREFIX):
            found.append((blob, _annotations(entry)))
    return found[::-1]
