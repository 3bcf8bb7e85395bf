"""Images made up for the tests of OCI layouts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor, Manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocync.layout.repository import LayoutRepository

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Image:
    manifest: Manifest
    contents: dict[Descriptor, bytes]


def described(data: bytes, media_type: str = LAYER, algorithm: str = "sha256") -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(data, algorithm), size=len(data))


def fields(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def manifest_of(body: dict[str, Any]) -> Manifest:
    raw = json.dumps(body).encode()
    return manifests.parse(raw, content_type=None, digest=Digest.of(raw), where="test")


def image(*layers: bytes, architecture: str = "amd64") -> Image:
    """Make an image whose config says what skopeo wants to know."""
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in layers]},
        }
    ).encode()
    body = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": fields(described(config, CONFIG)),
        "layers": [fields(described(layer)) for layer in layers],
    }
    contents = {described(config, CONFIG): config, **{described(layer): layer for layer in layers}}
    return Image(manifest_of(body), contents)


def index_of(*images: Image) -> Manifest:
    entries = [fields(one.manifest.descriptor) for one in images]
    return manifest_of({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries})


async def in_pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def put_blob(repository: LayoutRepository, data: bytes, descriptor: Descriptor | None = None) -> None:
    upload = await repository.open_upload(descriptor or described(data))
    assert upload is not None
    await upload.send(in_pieces(data))


async def push(repository: LayoutRepository, made: Image, tag: str | None) -> None:
    for descriptor, data in made.contents.items():
        await put_blob(repository, data, descriptor)
    await repository.put_manifest(made.manifest, tag=tag)


async def pull(repository: LayoutRepository, descriptor: Descriptor) -> bytes:
    async with repository.blob(descriptor) as pieces:
        return b"".join([piece async for piece in pieces])


def blob_file(layout: Path, digest: Digest) -> Path:
    return layout / "blobs" / digest.algorithm / digest.encoded


def drafts(layout: Path) -> list[Path]:
    """Return all files in the making, and everything else that should not be in a layout at rest."""
    known = {"oci-layout", "index.json", "blobs", ".ocync"}
    others = [path for path in layout.iterdir() if path.name not in known]
    return others + [path for path in (layout / ".ocync").iterdir() if path.name != "lock"]


def write_layout(layout: Path, entries: list[Any], contents: dict[Descriptor, bytes] | None = None) -> None:
    """Write a layout as another program would."""
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    for descriptor, data in (contents or {}).items():
        file = blob_file(layout, descriptor.digest)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)


def listed(made: Image, **annotations: str) -> dict[str, Any]:
    """Return an entry of index.json; `ref_name` stands for the annotation that holds the tag."""
    if "ref_name" in annotations:
        annotations["org.opencontainers.image.ref.name"] = annotations.pop("ref_name")
    return {**fields(made.manifest.descriptor), **({"annotations": annotations} if annotations else {})}


def all_files(made: Image) -> dict[Descriptor, bytes]:
    return {**made.contents, made.manifest.descriptor: made.manifest.raw}
