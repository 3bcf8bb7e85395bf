"""The media types that matter to a registry."""

from __future__ import annotations

from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

# From before OCI 1.1: artifacts that are no images (image-spec 1.1.0-rc2, artifact.md).
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

MANIFESTS = frozenset({OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})


def is_manifest(descriptor: dict[str, Any]) -> bool:
    """Tell whether what the descriptor points at is kept as a manifest."""
    return descriptor.get("mediaType") in MANIFESTS | {OCI_ARTIFACT}


def is_foreign(descriptor: dict[str, Any]) -> bool:
    """Tell whether a registry need not hold what the descriptor points at."""
    media_type = str(descriptor.get("mediaType"))
    return ".foreign." in media_type or ".nondistributable." in media_type
