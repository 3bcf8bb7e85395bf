"""Kinds of requests that registries limit separately."""

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
