from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layouts import blob_file, described, drafts, image, pull, push, put_blob
from ocync.layout.hashed import HashedBlobs
from ocync.layout.repository import LayoutRepository
from ocync.lib.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

APP = image(b"shared layer", b"layer two")
LAYER = APP.manifest.blobs[1]


@pytest.fixture
def other(tmp_path: Path) -> LayoutRepository:
    return LayoutRepository(tmp_path / "mirror", "other")


async def test_a_blob_is_mounted_as_a_hard_link(
    repository: LayoutRepository, other: LayoutRepository, layout: Path
) -> None:
    await push(repository, APP, "v1")

    assert await other.open_upload(LAYER, mount_from="team/app") is None

    assert await pull(other, LAYER) == b"shared layer"
    there = blob_file(layout.parent.parent / "other", LAYER.digest)
    assert there.samefile(blob_file(layout, LAYER.digest))


async def test_mounting_what_is_there_already_is_granted(
    repository: LayoutRepository, other: LayoutRepository
) -> None:
    await push(repository, APP, "v1")
    await push(other, APP, "v1")

    assert await other.open_upload(LAYER, mount_from="team/app") is None
    assert await pull(other, LAYER) == b"shared layer"


async def test_many_mounts_of_a_blob_at_once_are_granted(
    repository: LayoutRepository, other: LayoutRepository
) -> None:
    await push(repository, APP, "v1")

    answers = await asyncio.gather(*(other.open_upload(LAYER, mount_from="team/app") for _ in range(10)))

    assert answers == [None] * 10
    assert await pull(other, LAYER) == b"shared layer"


async def test_a_mount_replaces_a_truncated_blob(
    repository: LayoutRepository, other: LayoutRepository, tmp_path: Path
) -> None:
    await push(repository, APP, "v1")
    await put_blob(other, b"shared layer")
    blob_file(tmp_path / "mirror" / "other", LAYER.digest).write_bytes(b"shar")

    assert await other.open_upload(LAYER, mount_from="team/app") is None
    assert await pull(other, LAYER) == b"shared layer"


def nothing(_layout: Path) -> None:
    pass


def truncated(layout: Path) -> None:
    blob_file(layout, LAYER.digest).write_bytes(b"sha")


def flipped(layout: Path) -> None:
    blob_file(layout, LAYER.digest).write_bytes(b"shared lbyer")


def flipped_unseen(layout: Path) -> None:
    """Damage a file without its times showing it, but for what only the kernel sets."""
    file = blob_file(layout, LAYER.digest)
    status = file.stat()
    file.write_bytes(b"shared lbyer")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def folder_in_the_place(layout: Path) -> None:
    blob_file(layout, LAYER.digest).unlink()
    blob_file(layout, LAYER.digest).mkdir()


@pytest.mark.parametrize("source", ["never/made", "team/app"])
@pytest.mark.parametrize("damage", [nothing, truncated, flipped, flipped_unseen, folder_in_the_place])
async def test_what_cannot_be_mounted_is_uploaded(
    repository: LayoutRepository,
    other: LayoutRepository,
    layout: Path,
    source: str,
    damage: Callable[[Path], None],
) -> None:
    await push(repository, image(b"no such layer") if damage is nothing else APP, "v1")
    damage(layout)

    upload = await other.open_upload(LAYER, mount_from=source)

    assert upload is not None
    await upload.send(_once(b"shared layer"))
    assert await pull(other, LAYER) == b"shared layer"


async def _once(data: bytes):  # type: ignore[no-untyped-def]
    yield data


async def test_a_damaged_holder_is_told_and_not_read_again(
    repository: LayoutRepository, layout: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await push(repository, APP, "v1")
    flipped(layout)
    hashed = HashedBlobs()
    one, two = (LayoutRepository(tmp_path / "mirror", name, hashed=hashed) for name in ("one", "two"))

    with caplog.at_level(logging.WARNING):
        for target in (one, two):
            assert await target.open_upload(LAYER, mount_from="team/app") is not None

    file = blob_file(layout, LAYER.digest)
    assert caplog.text.count(f"blob {LAYER.digest} from {file} hashes to sha256:") == 1
    holder = LayoutRepository(tmp_path / "mirror", "team/app", hashed=hashed)
    with pytest.raises(VerificationError, match="its bytes are not those that its name promises"):
        await pull(holder, LAYER)


async def test_a_mount_replaces_a_damaged_blob_of_the_same_size(
    repository: LayoutRepository, other: LayoutRepository, layout: Path, tmp_path: Path
) -> None:
    await push(repository, APP, "v1")
    await put_blob(other, b"shared layer")
    flipped(tmp_path / "mirror" / "other")

    assert await other.open_upload(LAYER, mount_from="team/app") is None

    assert await pull(other, LAYER) == b"shared layer"
    assert await pull(repository, LAYER) == b"shared layer"


async def test_what_another_user_owns_is_copied(
    repository: LayoutRepository, other: LayoutRepository, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push(repository, APP, "v1")
    owner = blob_file(layout, LAYER.digest).stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    assert await other.open_upload(LAYER, mount_from="team/app") is None

    assert await pull(other, LAYER) == b"shared layer"
    assert blob_file(layout, LAYER.digest).stat().st_nlink == 1


@pytest.mark.parametrize("outside", ["team/app", "other"])
async def test_what_really_lies_in_another_folder_is_copied(
    repository: LayoutRepository, other: LayoutRepository, layout: Path, tmp_path: Path, outside: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    inside = tmp_path / "mirror" / outside
    inside.parent.mkdir(parents=True)
    inside.symlink_to(tmp_path / "elsewhere")
    await push(repository, APP, "v1")

    assert await other.open_upload(LAYER, mount_from="team/app") is None

    assert await pull(other, LAYER) == b"shared layer"
    assert blob_file(layout, LAYER.digest).stat().st_nlink == 1


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder on another filesystem than `tmp_path`, which hard links can't reach."""
    shared = Path("/dev/shm")
    assert shared.is_dir()
    assert shared.stat().st_dev != tmp_path.stat().st_dev, "/dev/shm and the temporary folder are one filesystem"
    folder = shared / f"ocync-test-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    return folder


async def test_across_filesystems_a_mount_is_a_verified_copy(
    repository: LayoutRepository, other: LayoutRepository, tmp_path: Path, elsewhere: Path
) -> None:
    await push(repository, APP, "v1")
    (tmp_path / "mirror" / "other").symlink_to(elsewhere)
    try:
        assert await other.open_upload(LAYER, mount_from="team/app") is None
        assert await pull(other, LAYER) == b"shared layer"
        assert blob_file(elsewhere, LAYER.digest).stat().st_nlink == 1

        damaged = described(b"rotten layer")
        await put_blob(repository, b"rotten layer")
        blob_file(tmp_path / "mirror" / "team" / "app", damaged.digest).write_bytes(b"ROTTEN LAYER")
        assert await other.open_upload(damaged, mount_from="team/app") is not None
        assert not await other.has_blob(damaged)
        assert drafts(elsewhere) == []
    finally:
        _remove(elsewhere)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
