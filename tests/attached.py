"""Attaching artifacts to what a scripted registry holds, as a client does there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripted import build, media
from scripted.build import Image
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from scripted import ScriptedRegistry


def attach(registry: ScriptedRegistry, repository: str, subject: str, *artifacts: Image) -> None:
    """Put artifacts that belong to a digest; where there is no referrers API also into the list under its tag."""
    for artifact in artifacts:
        registry.seed(repository, None, artifact)
    if not registry.behaviour.referrers:
        list_by_tag(registry, repository, subject, *artifacts)


def list_by_tag(registry: ScriptedRegistry, repository: str, subject: str, *artifacts: Image) -> None:
    """Put artifacts into the list under the fallback tag."""
    tag = build.fallback_tag(subject)
    old = registry.repository(repository).find(tag)
    entries = {entry["digest"]: entry for entry in (old.children if old else [])}
    for artifact in artifacts:
        entries[artifact.digest] = {**artifact.descriptor, "artifactType": artifact.root.artifact_type}
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": list(entries.values())}
    index = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
    registry.seed(repository, tag, Image(manifests=(index,), blobs={}))
