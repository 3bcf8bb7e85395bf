"""Attachments of an image: lists of referrers, and cosign's tags, which attach by name."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Manifest, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

# The artifact types for `artifacts.include` of cosign's tag suffixes: the types of the layers, and the types
# of the same content as referrers (sigstore/cosign, pkg/oci/remote and pkg/types/media.go).
_SUFFIXES = {
    "sig": ("application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dev.cosign.artifact.sig.v1+json"),
    "att": ("application/vnd.dsse.envelope.v1+json", "application/vnd.dev.cosign.artifact.att.v1+json"),
    "sbom": (
        "application/vnd.dev.cosign.artifact.sbom.v1+json",
        "application/vnd.cyclonedx+json",
        "application/spdx+json",
        "text/spdx",
        "text/spdx+json",
    ),
}
COSIGN_SUFFIXES = tuple(_SUFFIXES)
# cosign appends new signatures and attestations to these.
_SIGNED = ("sig", "att")
NO_TYPES = ("", media.OCI_EMPTY, "application/vnd.oci.image.config.v1+json")
"""The values of artifactType that do not say a type."""
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9._-]")


def fallback_tag(subject: Digest) -> str:
    """Return the tag that lists the referrers of a subject (distribution-spec 1.1, "Referrers Tag Schema")."""
    algorithm, encoded = subject.algorithm[:32], subject.encoded[:64]
    return _NOT_IN_A_TAG.sub("-", f"{algorithm}-{encoded}")


def is_list(manifest: Manifest, subject: Digest) -> bool:
    """
    Return whether the manifest of a subject's fallback tag can be the list of its referrers.

    `cosign copy` gives that name to the subject itself (sigstore/cosign, cmd/cosign/cli/copy), also to an index.
    """
    return manifest.is_index and manifest.digest != subject


def attached_names(subject: Digest) -> tuple[str, ...]:
    """Return the prefixes, before a dot, of tags that belong to the subject; cosign does not shorten digests."""
    return tuple(dict.fromkeys((f"{subject.algorithm}-{subject.encoded}", fallback_tag(subject))))


def is_signed(tag: str) -> bool:
    """Return whether a tag of cosign's scheme is of signatures or attestations."""
    return tag.partition(".")[2] in _SIGNED


def types_of_tag(tag: str) -> tuple[str, ...]:
    """Return the artifact types of a tag of cosign's scheme; none for an unknown suffix."""
    return _SUFFIXES.get(tag.partition(".")[2], ())


def layers_beyond(signed: Manifest, other: Manifest) -> int:
    """
    Return how many layers of a tag's manifest another one lacks: each is a signature.

    Signatures of one image may have the same payload but differ in their annotations.
    """
    return len(_layers(signed) - _layers(other))


def _layers(signed: Manifest) -> set[tuple[str, str]]:
    entries = [] if signed.is_index else json.loads(signed.raw).get("layers") or []
    return {(entry["digest"], json.dumps(entry.get("annotations"), sort_keys=True)) for entry in entries}


def type_of(artifact: Manifest) -> str:
    """Return the type of an artifact: its own, else that of its config, else an empty string."""
    has_config = artifact.media_type in media.MANIFESTS
    return artifact.artifact_type or (artifact.blobs[0].media_type if has_config else "")


def entry_of(artifact: Manifest) -> dict[str, Any]:
    """
    Return the entry of a manifest in a list of referrers (distribution-spec 1.1, "Pushing Manifests with Subject").

    The manifest's annotations are copied.
    """
    entry: dict[str, Any] = {
        "mediaType": artifact.media_type,
        "digest": str(artifact.digest),
        "size": artifact.size,
    }
    kind = type_of(artifact)
    if kind:
        entry["artifactType"] = kind
    annotations = json.loads(artifact.raw).get("annotations")
    if isinstance(annotations, dict) and annotations:
        entry["annotations"] = annotations
    return entry


def merged(existing: Manifest | None, entries: Iterable[dict[str, Any]]) -> Manifest:
    """
    Return the index with these entries added, or the existing object if it lists all of them.

    Existing entries stay as they are, and no digest is listed twice.
    """
    body: dict[str, Any] = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}
    listed: set[str] = set()
    if existing is not None:
        body = json.loads(existing.raw)
        listed = {str(child.digest) for child in existing.children}
    added = [
        entry for entry in {each["digest"]: each for each in entries}.values() if entry["digest"] not in listed
    ]
    if existing is not None and not added:
        return existing
    body["manifests"] = [*(body.get("manifests") or []), *added]
    return _index(body)


def without(index: Manifest, gone: Set[Digest]) -> Manifest:
    """Return the index without these entries."""
    body = json.loads(index.raw)
    body["manifests"] = [entry for entry in body["manifests"] if Digest.parse(entry["digest"]) not in gone]
    return _index(body)


def _index(body: dict[str, Any]) -> Manifest:
    raw = json.dumps(body, indent=2).encode()
    return parse(raw, content_type=media.OCI_INDEX, digest=Digest.of(raw), where="a list of referrers")


def lists_all(index: Manifest, digests: Sequence[Digest]) -> bool:
    """Return whether the index lists all of these digests."""
    return set(digests) <= {child.digest for child in index.children}
