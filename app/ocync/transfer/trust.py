"""
Whether a registry refuses manifests whose blobs are missing, which is what makes it safe to believe memory.

The specification lets registries do as they like (distribution-spec 1.1, "Pushing Manifests": they MAY refuse). One
that does not refuse would let a tag point to something incomplete; so each is asked once, by a small manifest whose
blobs nobody can have, and memory keeps the answer.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING

from ocync.errors import NotFoundError, OcyncError, RegistryError
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor, Manifest

if TYPE_CHECKING:
    from ocync.endpoint import TargetRepository
    from ocync.transfer.recall import Recall

log = logging.getLogger(__name__)

_CODES = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def is_about_parts(error: OcyncError) -> bool:
    """
    Tell whether the refusal of a manifest may be about parts that are missing.

    Registries do not agree on status and code: 404 or 400, MANIFEST_BLOB_UNKNOWN or just MANIFEST_INVALID.
    """
    return isinstance(error, NotFoundError) or (
        isinstance(error, RegistryError) and (error.status in (400, 404, 422) or error.code in _CODES)
    )


def names_parts(error: OcyncError) -> bool:
    """Tell whether the refusal of a manifest says that parts are missing."""
    return isinstance(error, RegistryError) and error.code in _CODES


async def learn_to_trust(recall: Recall, repository: TargetRepository) -> None:
    """
    Decide whether what is remembered of a place is believed: only if it refuses manifests whose blobs are missing.

    It is asked once, where something is remembered of the repository and that is not known yet. Where the answer
    can't be understood nothing is decided, and nothing that was remembered is believed.
    """
    if recall.is_decided or not recall.knows(repository):
        return
    checks = recall.checks_references(repository.place)
    if checks is not None:
        recall.decide(trust=checks)
        return
    async with recall.asking:
        if recall.was_asked:
            return
        recall.was_asked = True
        checks = await _ask(repository)
    if checks is not None:
        recall.learn_checks_references(repository.place, checks=checks)
        recall.decide(trust=checks)


async def _ask(repository: TargetRepository) -> bool | None:
    """Return whether the registry refuses; None where it may say something else another time."""
    probe = _probe()
    try:
        await repository.put_manifest(probe)
    except OcyncError as error:
        log.debug("%s, asked whether it notices that blobs are missing: %s", repository.place, error)
        if not isinstance(error, RegistryError) or error.status not in (400, 404, 405, 409, 415, 422):
            return None
        if error.code in _CODES:
            return True
        # A refusal for any other reason tells nothing, and would be the same next time.
        return None if error.code == "NAME_UNKNOWN" else False
    log.info(
        "%s keeps manifests whose blobs are missing, so they are looked for; %s of %s was to find out and can go",
        repository.place,
        probe.digest,
        repository.name,
    )
    return False


def _probe() -> Manifest:
    """Return a manifest of a config and a layer that do not exist."""
    config, layer = (
        Descriptor(media_type=media_type, digest=Digest.of(secrets.token_bytes(32)), size=32)
        for media_type in (_CONFIG, _LAYER)
    )
    described = [{"mediaType": d.media_type, "digest": str(d.digest), "size": d.size} for d in (config, layer)]
    body = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": described[0],
        "layers": described[1:],
        "annotations": {"org.opencontainers.image.description": "asks whether blobs that are missing are noticed"},
    }
    raw = json.dumps(body).encode()
    return Manifest(raw=raw, media_type=media.OCI_MANIFEST, digest=Digest.of(raw), blobs=(config, layer))
