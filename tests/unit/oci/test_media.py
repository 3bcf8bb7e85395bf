"""Media types, and what each is to a mirror."""

from __future__ import annotations

import pytest

from ocync.oci import media


@pytest.mark.parametrize(
    ("header", "essence"),
    [
        (None, ""),
        ("", ""),
        (media.OCI_INDEX, media.OCI_INDEX),
        ("application/vnd.OCI.image.index.v1+json; charset=utf-8", media.OCI_INDEX),
        (" text/plain ;x", "text/plain"),
    ],
)
def test_a_content_type_is_reduced_to_its_essence(header: str | None, essence: str) -> None:
    assert media.essence(header) == essence


@pytest.mark.parametrize("media_type", sorted(media.MANIFESTS | media.INDEXES))
def test_every_manifest_type_is_asked_for_and_stored_as_a_manifest(media_type: str) -> None:
    assert media_type in media.ACCEPT.split(", ")
    assert media.is_manifest_like(media_type)
    assert not media.is_foreign(media_type)


@pytest.mark.parametrize(
    ("media_type", "like"),
    [
        ("application/vnd.oci.artifact.manifest.v1+json", True),
        ("application/vnd.example.bundle.index.v2+json", True),
        ("application/vnd.oci.image.layer.v1.tar+gzip", False),
        ("application/vnd.buildkit.cacheconfig.v0", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_a_type_tells_where_its_content_is_stored(media_type: str, like: bool) -> None:
    assert media.is_manifest_like(media_type) == like


@pytest.mark.parametrize(
    ("media_type", "foreign"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", True),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", False),
    ],
)
def test_foreign_layers_are_known_by_their_type(media_type: str, foreign: bool) -> None:
    assert media.is_foreign(media_type) == foreign
