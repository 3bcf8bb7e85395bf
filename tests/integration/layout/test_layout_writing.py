from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from layouts import (
    blob_file,
    described,
    drafts,
    image,
    in_pieces,
    index_of,
    listed,
    manifest_of,
    pull,
    push,
    put_blob,
    write_layout,
)
from ocync.layout.hashed import HashedBlobs
from ocync.layout.repository import LayoutRepository
from ocync.lib.errors import NetworkError, ProtocolError, StorageError, VerificationError
from ocync.oci import media

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

APP = image(b"layer one", b"layer two")
OTHER = image(b"another layer", architecture="arm64")


def index_json(layout: Path) -> list[dict[str, object]]:
    return json.loads((layout / "index.json").read_bytes())["manifests"]


async def test_a_layout_is_made_as_the_specification_asks(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")

    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    body = json.loads((layout / "index.json").read_bytes())
    assert (body["schemaVersion"], body["mediaType"]) == (2, media.OCI_INDEX)
    assert body["manifests"] == [listed(APP, ref_name="v1")]
    assert blob_file(layout, APP.manifest.digest).read_bytes() == APP.manifest.raw
    for descriptor, data in APP.contents.items():
        assert blob_file(layout, descriptor.digest).read_bytes() == data
    assert drafts(layout) == []


async def test_a_layout_is_whole_from_the_first_upload(repository: LayoutRepository, layout: Path) -> None:
    await repository.open_upload(described(b"x"))

    assert sorted(path.name for path in layout.iterdir()) == [".ocync", "blobs", "index.json", "oci-layout"]
    assert await repository.tags() == ()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
async def test_blobs_of_every_algorithm_arrive(repository: LayoutRepository, layout: Path, algorithm: str) -> None:
    blob = described(b"content", algorithm=algorithm)

    await put_blob(repository, b"content", blob)

    assert await repository.has_blob(blob)
    assert await pull(repository, blob) == b"content"
    assert (layout / "blobs" / algorithm / blob.digest.encoded).read_bytes() == b"content"


async def test_an_empty_blob_arrives(repository: LayoutRepository) -> None:
    await put_blob(repository, b"")

    assert await pull(repository, described(b"")) == b""


async def test_moving_a_tag_replaces_its_entry_alone(repository: LayoutRepository, layout: Path) -> None:
    foreign = {"mediaType": "application/xml", "digest": "x", "size": 0, "annotations": {"a": "b"}}
    write_layout(layout, [foreign, listed(OTHER, ref_name="v1"), listed(OTHER, ref_name="v2", more="kept")])

    await push(repository, APP, "v1")

    assert index_json(layout) == [foreign, listed(APP, ref_name="v1"), listed(OTHER, ref_name="v2", more="kept")]


async def test_one_image_may_have_several_tags(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    await repository.put_manifest(APP.manifest, tag="latest")

    assert index_json(layout) == [listed(APP, ref_name="v1"), listed(APP, ref_name="latest")]
    assert await repository.tags() == ("v1", "latest")


async def test_a_manifest_without_a_tag_is_stored_and_not_listed(
    repository: LayoutRepository, layout: Path
) -> None:
    await push(repository, APP, None)

    assert index_json(layout) == []
    assert await repository.manifest(str(APP.manifest.digest)) == APP.manifest


async def test_a_tag_that_points_there_already_leaves_the_file_alone(
    repository: LayoutRepository, layout: Path
) -> None:
    await push(repository, APP, "v1")
    before = (layout / "index.json").stat()
    await repository.put_manifest(APP.manifest, tag="v1")

    assert (layout / "index.json").stat() == before


async def test_permissions_of_the_index_stay(repository: LayoutRepository, layout: Path) -> None:
    write_layout(layout, [])
    (layout / "index.json").chmod(0o640)

    await push(repository, APP, "v1")

    assert stat.S_IMODE((layout / "index.json").stat().st_mode) == 0o640


async def test_a_manifest_whose_parts_are_missing_is_refused(repository: LayoutRepository, layout: Path) -> None:
    await put_blob(repository, b"layer one")

    for manifest, absent in ((APP.manifest, APP.manifest.blobs[0]), (index_of(APP), APP.manifest.descriptor)):
        with pytest.raises(ProtocolError, match=f"does not hold what .* lists: {absent.digest}") as caught:
            await repository.put_manifest(manifest, tag="v1")
        assert caught.value.code == "MANIFEST_BLOB_UNKNOWN"
    assert index_json(layout) == []


async def test_a_manifest_whose_parts_are_damaged_is_refused_until_they_are_brought(
    repository: LayoutRepository, layout: Path
) -> None:
    await push(repository, APP, None)
    layer = APP.manifest.blobs[1]
    file = blob_file(layout, layer.digest)
    file.write_bytes(bytes(layer.size))

    assert not await repository.has_blob(layer)
    with pytest.raises(ProtocolError, match=f"does not hold what .* lists: {layer.digest}"):
        await repository.put_manifest(APP.manifest, tag="v1")
    assert await repository.tags() == ()

    await put_blob(repository, APP.contents[layer], layer)
    await repository.put_manifest(APP.manifest, tag="v1")
    assert await repository.tags() == ("v1",)


async def test_a_blob_is_hashed_once_and_again_after_each_change(layout: Path) -> None:
    blob, hashed = described(b"content"), HashedBlobs()
    write_layout(layout, [], {blob: b"content"})
    file = blob_file(layout, blob.digest)

    stamp = await hashed.check(file, blob)
    assert stamp is not None
    hashed.learn(stamp, blob.digest, is_sound=False)
    assert await hashed.check(file, blob) is None

    file.touch()
    assert await hashed.check(file, blob) is not None


async def test_foreign_layers_may_be_missing(repository: LayoutRepository) -> None:
    body = json.loads(APP.manifest.raw)
    body["layers"][1]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    for descriptor, data in list(APP.contents.items())[:2]:
        await put_blob(repository, data, descriptor)

    await repository.put_manifest(manifest_of(body), tag="v1")

    assert await repository.head("v1") is not None


async def test_a_manifest_that_is_not_its_digest_is_refused(repository: LayoutRepository) -> None:
    await push(repository, APP, None)
    lie = manifest_of({**json.loads(APP.manifest.raw), "annotations": {}})

    with pytest.raises(VerificationError):
        await repository.put_manifest(replace(lie, digest=APP.manifest.digest), tag="v1")
    assert await repository.tags() == ()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"CONTENT", id="other-bytes"),
        pytest.param(b"conten", id="too-few"),
        pytest.param(b"content and more", id="too-many"),
        pytest.param(b"", id="none"),
    ],
)
async def test_bytes_that_are_not_the_blob_are_never_committed(
    repository: LayoutRepository, layout: Path, sent: bytes
) -> None:
    upload = await repository.open_upload(described(b"content"))
    assert upload is not None
    with pytest.raises(VerificationError):
        await upload.send(in_pieces(sent, 3))
    await upload.abandon()

    assert not await repository.has_blob(described(b"content"))
    assert drafts(layout) == []


async def test_a_source_that_breaks_leaves_nothing_and_its_error_goes_on(
    repository: LayoutRepository, layout: Path
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"con"
        raise NetworkError("the connection broke")

    upload = await repository.open_upload(described(b"content"))
    assert upload is not None
    with pytest.raises(NetworkError, match="the connection broke"):
        await upload.send(broken())

    assert not await repository.has_blob(described(b"content"))
    assert drafts(layout) == []


async def test_a_cancelled_upload_leaves_nothing(repository: LayoutRepository, layout: Path) -> None:
    flowing = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(300_000)
            flowing.set()
            await asyncio.sleep(0)

    upload = await repository.open_upload(replace(described(b"x"), size=1 << 40))
    assert upload is not None
    sending = asyncio.create_task(upload.send(endless()))
    await flowing.wait()
    await asyncio.sleep(0.02)
    assert len(drafts(layout)) == 1
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert drafts(layout) == []


async def test_a_truncated_blob_is_replaced(repository: LayoutRepository, layout: Path) -> None:
    await put_blob(repository, b"content")
    blob_file(layout, described(b"content").digest).write_bytes(b"cont")

    assert not await repository.has_blob(described(b"content"))
    await put_blob(repository, b"content")

    assert await pull(repository, described(b"content")) == b"content"


async def test_a_damaged_manifest_is_replaced(repository: LayoutRepository, layout: Path) -> None:
    await push(repository, APP, "v1")
    blob_file(layout, APP.manifest.digest).write_bytes(bytes(APP.manifest.size))

    assert await repository.head("v1") is None
    await repository.put_manifest(APP.manifest, tag="v1")

    assert await repository.manifest("v1") == APP.manifest


async def test_many_tags_at_once_all_arrive(repository: LayoutRepository) -> None:
    await push(repository, APP, None)
    tags = [f"v{number}" for number in range(40)]

    async with asyncio.TaskGroup() as group:
        for tag in tags:
            group.create_task(repository.put_manifest(APP.manifest, tag=tag))

    assert sorted(await repository.tags()) == sorted(tags)


async def test_the_same_blob_sent_twice_at_once_is_there(repository: LayoutRepository, layout: Path) -> None:
    data = os.urandom(1_000_000)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(put_blob(repository, data))

    assert await pull(repository, described(data)) == data
    assert drafts(layout) == []


async def test_memory_does_not_grow_with_the_blob(repository: LayoutRepository) -> None:
    piece, count = bytes(64 * 1024), 1024

    async def many() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(64 * 1024)

    blob = described(piece * count)
    upload = await repository.open_upload(blob)
    assert upload is not None
    tracemalloc.start()
    try:
        await upload.send(many())
        async with repository.blob(blob) as pieces:
            async for _ in pieces:
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2 * 1024 * 1024


async def test_the_loop_is_not_held_up_by_writing(
    repository: LayoutRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[int]] = {"write": set(), "fsync": set()}

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            threads[name].add(threading.get_ident())
            return call(*arguments)

        return noting

    for name in threads:
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    await put_blob_in_large_pieces(repository, os.urandom(4 * 1024 * 1024))

    assert all(threads.values())
    assert all(threading.get_ident() not in those for those in threads.values())


async def put_blob_in_large_pieces(repository: LayoutRepository, data: bytes) -> None:
    upload = await repository.open_upload(described(data))
    assert upload is not None
    await upload.send(in_pieces(data, 1024 * 1024))


async def test_a_layout_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    repository = LayoutRepository(tmp_path / "file", "app")

    for asked in (repository.open_upload(described(b"x")), repository.first_tags(), repository.head("v1")):
        with pytest.raises(StorageError, match=r"can't .*/file.*: .*a file.*; use another folder"):
            await asked


async def test_a_file_in_the_place_of_blobs_is_a_storage_error(repository: LayoutRepository, layout: Path) -> None:
    layout.mkdir(parents=True)
    (layout / "blobs").touch()

    with pytest.raises(StorageError, match=r"can't make the folder .*/blobs: a file is where a folder should be"):
        await push(repository, APP, "v1")


async def test_a_folder_in_the_place_of_a_blob_is_a_storage_error(
    repository: LayoutRepository, layout: Path
) -> None:
    await push(repository, APP, None)
    blob = described(b"content")
    blob_file(layout, blob.digest).mkdir()

    assert not await repository.has_blob(blob)
    with pytest.raises(StorageError, match=f"can't write .*{blob.digest.encoded}: it is a folder"):
        await put_blob(repository, b"content")
    assert drafts(layout) == []
