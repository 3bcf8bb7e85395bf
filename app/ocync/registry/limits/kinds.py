"""Kinds of requests that registries limit each for itself."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """
    What a request asks for.

    Registries count these apart: GHCR allows 44000 pulls and 2000 pushes a minute (dependabot/cli#380), ECR ten
    times as many InitiateLayerUpload as PutImage (docs.aws.amazon.com, ECR service quotas).
    """

    METADATA = "metadata"
    """Manifests, tags and referrers are read, blobs are looked for."""
    BLOB = "blob"
    """A blob is read."""
    UPLOAD = "upload"
    """An upload is opened, sent, committed or cancelled, or a blob mounted."""
    MANIFEST = "manifest"
    """A manifest is written."""


def kind_of(method: str, path: str) -> Kind:
    """Tell the kind by method and path (or URL); uploads go to whatever path the registry has named."""
    above = path.rpartition("/")[0]
    if method in ("GET", "HEAD"):
        return Kind.BLOB if method == "GET" and above.endswith("/blobs") else Kind.METADATA
    return Kind.MANIFEST if above.endswith("/manifests") else Kind.UPLOAD
