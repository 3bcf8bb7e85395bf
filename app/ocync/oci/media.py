"""Media types and their classes."""

from __future__ import annotations

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCTET_STREAM = "application/octet-stream"

MAX_TYPE = 255
"""Characters of a media type: 127 on each side of its slash (RFC 6838, 4.2)."""

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
# Lists of blobs without a config, from before OCI 1.1 (image-spec 1.1.0-rc2, artifact.md; oras-project/
# artifacts-spec). No client writes them any more, but signatures of early notation and ORAS still exist.
ARTIFACTS = frozenset(
    {
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.cncf.oras.artifact.manifest.v1+json",
    }
)
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})

# Schema 1 has signatures within the body and no config: it can't be copied by digest.
SCHEMA1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

# One header line: some servers read only the first of several (registries.md 1.3).
ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, *sorted(ARTIFACTS)))

_FOREIGN = frozenset(
    {
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    }
)


def is_foreign(media_type: str) -> bool:
    """Return whether layers of this type are fetched from their `urls` and not stored in registries."""
    return media_type in _FOREIGN


def is_manifest_like(media_type: str) -> bool:
    """Return whether an index entry of this type is stored under manifests/ and not blobs/."""
    if media_type in MANIFESTS or media_type in INDEXES or media_type in ARTIFACTS:
        return True
    bare = media_type.removesuffix("+json").removesuffix(".v1").removesuffix(".v2")
    return bare.endswith((".manifest", ".index", ".list"))


def is_markup(body: bytes) -> bool:
    """Return whether a body looks like HTML or XML, whatever its Content-Type."""
    return body.lstrip()[:1] == b"<"


def essence(content_type: str | None) -> str:
    """Return a Content-Type without its parameters, in lower case; empty for none."""
    return (content_type or "").partition(";")[0].strip().lower()
