"""Artifacts that index.json lists without a name, as oras attaches them within a layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layouts import described, fields, image, manifest_of, push
from ocync.oci import media, referrers
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from layouts import Image
    from ocync.layout.repository import LayoutRepository
    from ocync.oci.manifest import Manifest

APP = image(b"one")
KIND = "application/vnd.example.sbom"


def artifact(data: bytes, subject: Image = APP) -> Manifest:
    return manifest_of(
        {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "artifactType": KIND,
            "config": fields(described(b"{}", "application/vnd.oci.empty.v1+json")),
            "layers": [fields(described(data))],
            "subject": fields(subject.manifest.descriptor),
        }
    )


def listed_without_a_name(layout: Path, *manifests: Manifest) -> None:
    """Put manifests into the layout, and into its index.json."""
    path = layout / "index.json"
    body: dict[str, Any] = json.loads(path.read_text())
    for manifest in manifests:
        (layout / "blobs" / "sha256" / manifest.digest.encoded).write_bytes(manifest.raw)
        body["manifests"].append(fields(manifest.descriptor))
    path.write_text(json.dumps(body))


async def test_those_of_a_subject_are_its_referrers(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    sbom, other = artifact(b"sbom"), artifact(b"other", image(b"another"))
    assert await repository.referrers(APP.manifest.digest) is None

    listed_without_a_name(layout, sbom, other)

    (found,) = await repository.referrers(APP.manifest.digest) or ()
    assert (found.digest, found.size, found.artifact_type) == (sbom.digest, sbom.size, KIND)
    assert await repository.referrers(Digest.of(b"what nothing is attached to")) is None


async def test_they_are_told_with_those_of_the_fallback_tag(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    first, second = artifact(b"1"), artifact(b"2")
    listed_without_a_name(layout, first, second)
    index = referrers.merged(None, [referrers.entry_of(second)])
    await repository.put_manifest(index, tag=referrers.fallback_tag(APP.manifest.digest))

    found = await repository.referrers(APP.manifest.digest) or ()

    assert sorted(str(each.digest) for each in found) == sorted(str(each.digest) for each in (first, second))


async def test_one_that_is_damaged_hides_no_other(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    broken, sound = artifact(b"broken"), artifact(b"sound")
    listed_without_a_name(layout, broken, sound)
    (layout / "blobs" / "sha256" / broken.digest.encoded).write_bytes(b"{}")

    found = await repository.referrers(APP.manifest.digest) or ()

    assert [each.digest for each in found] == [sound.digest]
