"""Layouts as another implementation of the specification writes and reads them: skopeo."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

from layouts import described, image, index_of, pull, push
from ocync.layout.repository import LayoutRepository

if TYPE_CHECKING:
    from pathlib import Path


def tarred(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(name)
        archive.addfile(member, io.BytesIO(name.encode()))
    return buffer.getvalue()


APP = image(tarred("one"), tarred("two"))
ARM = image(tarred("one"), tarred("arm"), architecture="arm64")


async def skopeo(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "skopeo", "--insecure-policy", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return out


async def test_skopeo_reads_an_image_that_we_wrote(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    await push(repository, APP, "v1")
    await push(repository, ARM, "v2")

    assert await skopeo("inspect", "--raw", f"oci:{layout}:v1") == APP.manifest.raw
    await skopeo("copy", f"oci:{layout}:v2", f"dir:{tmp_path}/copied")
    assert (tmp_path / "copied" / "manifest.json").read_bytes() == ARM.manifest.raw
    for blob in ARM.manifest.blobs:
        assert described((tmp_path / "copied" / blob.digest.encoded).read_bytes()).digest == blob.digest


async def test_skopeo_reads_an_index_that_we_wrote(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    for made in (APP, ARM):
        await push(repository, made, None)
    index = index_of(APP, ARM)
    await repository.put_manifest(index, tag="latest")

    await skopeo("copy", "--all", f"oci:{layout}:latest", f"dir:{tmp_path}/copied")

    assert (tmp_path / "copied" / "manifest.json").read_bytes() == index.raw
    for made in (APP, ARM):
        digest = made.manifest.digest.encoded
        assert (tmp_path / "copied" / f"{digest}.manifest.json").read_bytes() == made.manifest.raw


async def test_what_skopeo_wrote_is_read_and_added_to(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    source = LayoutRepository(tmp_path, "source")
    await push(source, APP, "v1")
    layout.parent.mkdir(parents=True)
    for tag in ("v1", "docker.io/library/app:v2"):
        await skopeo("copy", f"oci:{tmp_path}/source:v1", f"oci:{layout}:{tag}")

    assert await repository.tags() == ("v1", "v2")
    for tag in ("v1", "v2"):
        found = await repository.manifest(tag)
        assert (await repository.head(tag)) == found.descriptor
        layer = await pull(repository, found.blobs[1])
        assert tarred("one") in (layer, _unpacked(layer))
    await push(repository, ARM, "v2")

    assert await skopeo("inspect", "--raw", f"oci:{layout}:v2") == ARM.manifest.raw
    theirs = await skopeo("inspect", "--raw", f"oci:{layout}:docker.io/library/app:v2")
    assert json.loads(theirs) == json.loads((await repository.manifest("v1")).raw)


async def test_an_image_that_skopeo_wrote_without_a_tag_is_latest(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    await push(LayoutRepository(tmp_path, "source"), APP, "v1")
    layout.parent.mkdir(parents=True)
    await skopeo("copy", f"oci:{tmp_path}/source:v1", f"oci:{layout}")

    assert await repository.tags() == ("latest",)
    assert (await repository.manifest("latest")).blobs[0] == APP.manifest.blobs[0]


async def test_skopeo_adds_to_a_layout_of_ours_and_both_images_stay(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    await push(repository, APP, "v1")
    await push(LayoutRepository(tmp_path, "source"), ARM, "v2")
    await skopeo("copy", f"oci:{tmp_path}/source:v2", f"oci:{layout}:v2")

    assert await repository.tags() == ("v1", "v2")
    assert await repository.manifest("v1") == APP.manifest
    assert (await repository.manifest("v2")).blobs[0].digest == ARM.manifest.blobs[0].digest


def _unpacked(layer: bytes) -> bytes:
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else b""
