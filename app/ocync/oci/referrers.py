"""What is attached to an image: lists of referrers, and the names of tags that attach by name. Pure, no I/O."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Manifest, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

# What cosign's suffixes stand for, in the words that users write into `artifacts.include`: the types of the layers
# in these manifests, and the artifact types that cosign gives to the same things where it attaches them as
# referrers (sigstore/cosign, pkg/oci/remote and pkg/types/media.go).
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
# Those to which cosign appends: what signs or attests anew stands beside what did before.
_SIGNED = ("sig", "att")
NO_TYPES = ("", media.OCI_EMPTY, "application/vnd.oci.image.config.v1+json")
"""What lists of referrers tell where they don't tell an artifact's type."""
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9._-]")


def fallback_tag(subject: Digest) -> str:
    """Return the tag that lists the referrers of a subject (distribution-spec 1.1, "Referrers Tag Schema")."""
    algorithm, encoded = subject.algorithm[:32], subject.encoded[:64]
    return _NOT_IN_A_TAG.sub("-", f"{algorithm}-{encoded}")


def is_list(manifest: Manifest, subject: Digest) -> bool:
    """
    Return whether what the fallback tag of a subject points to can be the list of its referrers.

    `cosign copy` gives that name to the subject itself (sigstore/cosign, cmd/cosign/cli/copy), also to an index.
    """
    return manifest.is_index and manifest.digest != subject


def attached_names(subject: Digest) -> tuple[str, ...]:
    """Return what the names of tags that belong to the subject begin with, before a dot: cosign cuts no digest."""
    return tuple(dict.fromkeys((f"{subject.algorithm}-{subject.encoded}", fallback_tag(subject))))


def is_signed(tag: str) -> bool:
    """Return whether what a tag of cosign's scheme stands for is a signature, or signed by its nature."""
    return tag.partition(".")[2] in _SIGNED


def types_of_tag(tag: str) -> tuple[str, ...]:
    """Return the artifact types that a tag of cosign's scheme stands for; none where its suffix tells nothing."""
    return _SUFFIXES.get(tag.partition(".")[2], ())


def layers_beyond(signed: Manifest, other: Manifest) -> int:
    """
    Return how many layers of a tag's manifest another one lacks: cosign appends each signature as a layer.

    The payload of two signatures of one image is the same; their annotations are not.
    """
    return len(_layers(signed) - _layers(other))


def _layers(signed: Manifest) -> set[tuple[str, str]]:
    entries = [] if signed.is_index else json.loads(signed.raw).get("layers") or []
    return {(entry["digest"], json.dumps(entry.get("annotations"), sort_keys=True)) for entry in entries}


def type_of(artifact: Manifest) -> str:
    """Return an artifact's type: its own, else that of its config; empty where there is neither."""
    has_config = artifact.media_type in media.MANIFESTS
    return artifact.artifact_type or (artifact.blobs[0].media_type if has_config else "")


def entry_of(artifact: Manifest) -> dict[str, Any]:
    """
    Return the entry of a manifest in a list of referrers (distribution-spec 1.1, "Pushing Manifests with Subject").

    `artifactType` is the manifest's own, else the type of its config; the manifest's annotations are copied.
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
    Return the index with these entries added; the existing one itself where it lists all of them.

    What it lists already stays as it is, whoever wrote it, and nothing is listed twice.
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
    """Return whether the index lists all of these."""
    return set(digests) <= {child.digest for child in index.children}
