from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layouts import all_files, blob_file, described, image, in_pieces, index_of, listed, pull, push, write_layout
from ocync.layout.repository import PIECE, LayoutRepository
from ocync.lib.errors import NotFoundError, ProtocolError, StorageError, VerificationError
from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.repository import TagPage

if TYPE_CHECKING:
    from ocync.oci.manifest import Descriptor

APP = image(b"layer one", b"layer two")
OTHER = image(b"another layer", architecture="arm64")


async def test_names_are_those_of_the_command_line() -> None:
    repository = LayoutRepository(Path("mirror"), "team/app")

    assert (repository.host, repository.path) == ("oci:mirror", "team/app")
    assert repository.name == "oci:mirror/team/app"
    assert LayoutRepository(Path("/"), "app").name == "oci:/app"


@pytest.mark.parametrize("name", ["", "..", "../app", "a/../../b", "/etc", "a//b", "a/", "a\0b", "."])
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(StorageError, match="can't be a repository in the folder mirror"):
        LayoutRepository(Path("mirror"), name)


async def test_where_there_is_no_layout_nothing_is_found_and_nothing_made(
    repository: LayoutRepository, tmp_path: Path
) -> None:
    assert await repository.first_tags() == TagPage(tags=(), complete=True)
    assert await repository.head("latest") is None
    assert not await repository.has_blob(described(b"x"))
    for asked in (repository.tags(), repository.manifest("latest")):
        with pytest.raises(NotFoundError, match=r"there is no OCI layout .*/mirror/team/app"):
            await asked
    with pytest.raises(NotFoundError):
        await pull(repository, described(b"x"))
    assert list(tmp_path.iterdir()) == []


async def test_what_another_program_wrote_is_read(repository: LayoutRepository, layout: Path) -> None:
    write_layout(layout, [listed(APP, ref_name="v1"), listed(OTHER, ref_name="host/app:v2")], all_files(APP))
    for descriptor, data in all_files(OTHER).items():
        blob_file(layout, descriptor.digest).write_bytes(data)

    assert await repository.tags() == ("v1", "v2")
    assert await repository.first_tags() == TagPage(tags=("v1", "v2"), complete=True)
    assert await repository.head("v1") == APP.manifest.descriptor
    assert await repository.manifest("v1") == APP.manifest
    assert await repository.manifest("v2") == OTHER.manifest
    assert [await pull(repository, blob) for blob in APP.manifest.blobs] == list(APP.contents.values())


async def test_children_of_an_index_are_read_by_digest(repository: LayoutRepository) -> None:
    for made in (APP, OTHER):
        await push(repository, made, None)
    index = index_of(APP, OTHER)
    await repository.put_manifest(index, tag="v1")

    found = await repository.manifest("v1")

    assert found == index
    assert [await repository.manifest(str(child.digest), size=child.size) for child in found.children] == [
        APP.manifest,
        OTHER.manifest,
    ]
    assert await repository.head(str(APP.manifest.digest)) == APP.manifest.descriptor


async def test_an_image_without_a_name_is_latest_where_it_is_alone(
    repository: LayoutRepository, layout: Path
) -> None:
    write_layout(layout, [listed(APP)], all_files(APP))

    assert await repository.tags() == ("latest",)
    assert await repository.manifest("latest") == APP.manifest


async def test_a_tag_that_is_not_there_is_answered_with_those_that_are(
    repository: LayoutRepository, layout: Path
) -> None:
    tags = [f"v{number}" for number in range(25)]
    write_layout(layout, [listed(APP, ref_name=tag) for tag in tags], all_files(APP))

    with pytest.raises(NotFoundError, match=r"has no tag latest; it has v0, v1, .*v19 and 5 others$"):
        await repository.manifest("latest")


async def test_images_without_a_tag_are_offered_by_digest(repository: LayoutRepository, layout: Path) -> None:
    write_layout(layout, [listed(APP), listed(OTHER)])

    with pytest.raises(NotFoundError, match=rf"name one by its digest, as @{APP.manifest.digest}"):
        await repository.manifest("latest")


async def test_several_images_of_a_name_are_an_error_and_not_there_for_a_target(
    repository: LayoutRepository, layout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_layout(layout, [listed(APP, ref_name="v1"), listed(OTHER, ref_name="v1")], all_files(APP))

    with pytest.raises(ProtocolError, match="2 images are called v1"):
        await repository.manifest("v1")
    assert await repository.head("v1") is None
    assert "2 images are called v1" in caplog.text
    await push(repository, OTHER, "v1")
    assert await repository.head("v1") == OTHER.manifest.descriptor


async def test_a_manifest_without_a_media_type_is_read_as_its_descriptor_says(
    repository: LayoutRepository, layout: Path
) -> None:
    body = json.loads(APP.manifest.raw)
    del body["mediaType"]
    raw = json.dumps(body).encode()
    descriptor = described(raw, media.OCI_MANIFEST)
    entry = {"mediaType": media.OCI_MANIFEST, "digest": str(descriptor.digest), "size": descriptor.size}
    write_layout(layout, [entry], {descriptor: raw})

    assert (await repository.manifest("latest")).media_type == media.OCI_MANIFEST
    assert await repository.head(str(descriptor.digest)) == descriptor


async def test_a_large_blob_comes_in_pieces_of_bounded_size(repository: LayoutRepository) -> None:
    data = os.urandom(3 * PIECE + 17)
    descriptor = described(data)
    upload = await repository.open_upload(descriptor)
    assert upload is not None
    await upload.send(in_pieces(data, 100_000))

    async with repository.blob(descriptor) as pieces:
        received = [piece async for piece in pieces]

    assert [len(piece) for piece in received] == [PIECE, PIECE, PIECE, 17]
    assert b"".join(received) == data
    async with repository.blob(descriptor, start=PIECE + 5) as pieces:
        assert b"".join([piece async for piece in pieces]) == data[PIECE + 5 :]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_read_may_stop_in_the_middle(repository: LayoutRepository) -> None:
    descriptor = described(bytes(3 * PIECE))
    upload = await repository.open_upload(descriptor)
    assert upload is not None
    await upload.send(in_pieces(bytes(3 * PIECE), PIECE))
    before = open_files()

    async with repository.blob(descriptor) as pieces:
        async for _ in pieces:
            break

    assert open_files() == before


async def test_an_index_that_changes_is_read_again(repository: LayoutRepository, layout: Path) -> None:
    write_layout(layout, [listed(APP, ref_name="v1")], all_files(APP))
    os.utime(layout / "index.json", (1_000_000_000, 1_000_000_000))
    assert await repository.tags() == ("v1",)
    assert await repository.tags() == ("v1",)
    (layout / "index.json").write_text(json.dumps({"manifests": [listed(APP, ref_name="v2")]}))

    assert await repository.tags() == ("v2",)


INDEX_FAULTS = [
    pytest.param(b"", "it is empty", id="empty"),
    pytest.param(b'{"manifests": [', "it is not JSON", id="cut-off"),
    pytest.param(b'{"manifests": [{}]}', r"manifests\[0\]\.size is not a number", id="entry"),
    pytest.param(b" " * (16 * 1024 * 1024 + 1), "is longer than 16777216 bytes", id="huge"),
]


@pytest.mark.parametrize(("raw", "why"), INDEX_FAULTS)
async def test_a_broken_index_is_named_with_what_is_wrong(
    repository: LayoutRepository, layout: Path, raw: bytes, why: str
) -> None:
    write_layout(layout, [])
    (layout / "index.json").write_bytes(raw)

    for asked in (repository.tags(), repository.first_tags(), repository.head("v1"), push(repository, APP, "v1")):
        with pytest.raises(StorageError, match=rf"/mirror/team/app/index\.json.*{why}"):
            await asked
    assert (layout / "index.json").read_bytes() == raw


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(b"no JSON", "no JSON object with an imageLayoutVersion", id="garbage"),
        pytest.param(b"[]", "no JSON object with an imageLayoutVersion", id="list"),
        pytest.param(b'{"imageLayoutVersion": "2.0.0"}', "its version is '2.0.0', not 1.0.0", id="version"),
    ],
)
async def test_a_layout_of_another_version_is_refused(
    repository: LayoutRepository, layout: Path, raw: bytes, why: str
) -> None:
    write_layout(layout, [])
    (layout / "oci-layout").write_bytes(raw)

    with pytest.raises(StorageError, match=rf"/oci-layout can't be used: .*{why}"):
        await repository.tags()


async def test_a_damaged_manifest_is_an_error_that_names_the_file(
    repository: LayoutRepository, layout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await push(repository, APP, "v1")
    file = blob_file(layout, APP.manifest.digest)
    file.write_bytes(APP.manifest.raw.replace(b"2", b"3", 1))

    with pytest.raises(VerificationError, match=rf"{file} is damaged: it hashes to sha256:"):
        await repository.manifest("v1")
    with caplog.at_level(logging.WARNING):
        assert await repository.head("v1") is None
    assert "is damaged" in caplog.text


async def test_a_manifest_of_the_wrong_size_is_damaged(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    blob_file(layout, APP.manifest.digest).write_bytes(APP.manifest.raw[:-1])

    with pytest.raises(VerificationError, match=f"has {APP.manifest.size - 1} bytes, not {APP.manifest.size}"):
        await repository.manifest("v1")
    with pytest.raises(VerificationError, match=r"has .* bytes, not 5"):
        await repository.manifest(str(APP.manifest.digest), size=5)


async def test_a_manifest_that_is_missing_is_not_found(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    blob_file(layout, APP.manifest.digest).unlink()

    assert await repository.head("v1") is None
    with pytest.raises(NotFoundError, match=f"has no blob {APP.manifest.digest}; the layout is incomplete"):
        await repository.manifest("v1")


async def test_what_is_no_manifest_is_a_protocol_error(repository: LayoutRepository) -> None:
    await push(repository, APP, "v1")
    config, layer = APP.manifest.blobs[:2]

    for digest in (config.digest, layer.digest):
        with pytest.raises(ProtocolError, match="can't be read"):
            await repository.manifest(str(digest))
        assert await repository.head(str(digest)) is None
    with pytest.raises(ProtocolError, match="is not a digest"):
        await repository.manifest("sha256:../../../etc/passwd")


async def test_a_manifest_that_is_too_large_is_not_read(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, None)
    os.truncate(blob_file(layout, APP.manifest.digest), manifests.MAX_SIZE + 1)

    with pytest.raises(ProtocolError, match="is too large for a manifest"):
        await repository.manifest(str(APP.manifest.digest))


async def test_a_truncated_blob_is_damaged_before_its_first_piece(
    repository: LayoutRepository, layout: Path
) -> None:
    await push(repository, APP, "v1")
    layer = APP.manifest.blobs[1]
    blob_file(layout, layer.digest).write_bytes(b"layer")

    assert not await repository.has_blob(layer)
    with pytest.raises(VerificationError, match=f"is damaged: it has 5 bytes, not {layer.size}"):
        await pull(repository, layer)


def link_out(layout: Path, blob: Descriptor, outside: Path) -> None:
    outside.write_bytes(blob_file(layout, blob.digest).read_bytes())
    blob_file(layout, blob.digest).unlink()
    blob_file(layout, blob.digest).symlink_to(outside)


async def test_links_that_lead_out_of_the_layout_are_refused(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    await push(repository, APP, "v1")
    layer = APP.manifest.blobs[1]
    link_out(layout, layer, tmp_path / "outside")

    for asked in (pull(repository, layer), repository.has_blob(layer)):
        with pytest.raises(StorageError, match="leads out of the layout by a symbolic link"):
            await asked


async def test_a_linked_folder_of_blobs_is_refused_for_writing_too(
    repository: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    write_layout(layout, [])
    (tmp_path / "outside").mkdir()
    (layout / "blobs" / "sha256").rmdir()
    (layout / "blobs" / "sha256").symlink_to(tmp_path / "outside")

    with pytest.raises(StorageError, match="leads out of the layout by a symbolic link"):
        await push(repository, APP, "v1")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_links_within_the_layout_are_followed(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    layer = APP.manifest.blobs[1]
    link_out(layout, layer, layout / "inside")

    assert await repository.has_blob(layer)
    assert await pull(repository, layer) == b"layer one"


async def test_a_layout_may_itself_be_behind_a_link(repository: LayoutRepository, tmp_path: Path) -> None:
    await push(repository, APP, "v1")
    (tmp_path / "link").symlink_to(tmp_path / "mirror")

    assert await LayoutRepository(tmp_path / "link", "team/app").manifest("v1") == APP.manifest


async def test_links_in_a_circle_are_an_error(repository: LayoutRepository, layout: Path) -> None:
    write_layout(layout, [])
    (layout / "index.json").unlink()
    (layout / "index.json").symlink_to(layout / "index.json")

    with pytest.raises(StorageError, match="symbolic links lead in a circle"):
        await repository.tags()


async def test_a_pipe_is_not_waited_for(repository: LayoutRepository, layout: Path) -> None:
    write_layout(layout, [])
    layer = APP.manifest.blobs[1]
    os.mkfifo(blob_file(layout, layer.digest))

    assert not await repository.has_blob(layer)
    with pytest.raises(StorageError, match="it is not a file"):
        await pull(repository, layer)
