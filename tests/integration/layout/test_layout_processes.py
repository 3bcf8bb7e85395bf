"""What other processes do to a layout, and what the system does to ours."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layouts import described, drafts, image, pull, push, put_blob
from ocync.layout.repository import LayoutRepository
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[2]
BEGIN = f"""
import asyncio, os, resource, sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from layouts import *
from ocync.lib.errors import StorageError
from ocync.layout.repository import LayoutRepository
folder = Path(sys.argv[1])
"""

WRITE_FOR_EVER = """
async def endless():
    while True:
        yield bytes(300_000)
        print("writing", flush=True)
        await asyncio.sleep(0.01)

async def main():
    repository = LayoutRepository(folder, "app")
    await push(repository, image(b"first layer"), "v1")
    upload = await repository.open_upload(Descriptor(media_type=LAYER, digest=Digest.of(b"large"), size=1 << 40))
    await upload.send(endless())

asyncio.run(main())
"""

PUSH_FOR_EVER = """
async def main():
    repository = LayoutRepository(folder, "app")
    print("begun", flush=True)
    for number in range(1_000_000):
        made = image(os.urandom(200_000), str(number).encode())
        await push(repository, made, f"v{number % 7}")
        await repository.put_manifest(made.manifest, tag="latest")

asyncio.run(main())
"""

WRITE_TAGS = """
async def main():
    repository = LayoutRepository(folder, "app")
    made = image(sys.argv[2].encode())
    await push(repository, made, None)
    for number in range(25):
        await repository.put_manifest(made.manifest, tag=f"{sys.argv[2]}-{number}")

asyncio.run(main())
"""

WITH_A_LIMIT = """
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

async def main():
    repository = LayoutRepository(folder, "app")
    await push(repository, image(b"a small layer"), "v1")
    try:
        await put_blob(repository, bytes(1_000_000))
    except StorageError as error:
        print(error)

asyncio.run(main())
"""

# The other user may not be able to read the Python that runs: what it imports late is imported before.
AS_NOBODY = """
import concurrent.futures.thread

async def main():
    print(await LayoutRepository(folder, "app").tags())
    for name in ("app", "new"):
        try:
            await push(LayoutRepository(folder, name), image(b"a layer"), "v2")
        except StorageError as error:
            print(error)

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main())
"""


async def start(script: str, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    # What measures coverage would meet the limits that are set, and leave a broken file of its own.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", BEGIN + script, folder, *arguments, stdout=pipe, env=environ
    )


async def output(process: asyncio.subprocess.Process) -> str:
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_a_writer_that_is_killed_leaves_a_sound_layout_which_the_next_one_cleans(tmp_path: Path) -> None:
    process = await start(WRITE_FOR_EVER, tmp_path)
    assert process.stdout is not None
    for _ in range(3):
        assert await process.stdout.readline() == b"writing\n"
    repository = LayoutRepository(tmp_path, "app")
    await put_blob(repository, b"beside a living writer")
    assert len(drafts(tmp_path / "app")) == 1
    process.kill()
    await process.communicate()

    repository = LayoutRepository(tmp_path, "app")
    assert await repository.tags() == ("v1",)
    assert await repository.manifest("v1") == image(b"first layer").manifest
    assert not await repository.has_blob(described(b"large"))
    assert len(drafts(tmp_path / "app")) == 1
    await put_blob(repository, b"large")
    assert await pull(repository, described(b"large")) == b"large"
    assert drafts(tmp_path / "app") == []


async def test_killed_at_any_moment_every_tag_that_is_there_is_whole(tmp_path: Path) -> None:
    moments = random.Random(7)
    for _ in range(8):
        process = await start(PUSH_FOR_EVER, tmp_path)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        await asyncio.sleep(moments.uniform(0, 0.25))
        process.kill()
        await process.communicate()

        repository = LayoutRepository(tmp_path, "app")
        for tag in (await repository.first_tags()).tags:
            for blob in (await repository.manifest(tag)).blobs:
                assert Digest.of(await pull(repository, blob)) == blob.digest

    assert "latest" in await repository.tags()
    await put_blob(repository, b"the next run")
    assert drafts(tmp_path / "app") == []


async def test_tags_that_several_processes_write_at_once_all_stay(tmp_path: Path) -> None:
    names = ("one", "two", "three")
    processes = [await start(WRITE_TAGS, tmp_path, name) for name in names]
    for process in processes:
        await output(process)

    tags = await LayoutRepository(tmp_path, "app").tags()
    assert sorted(tags) == sorted(f"{name}-{number}" for name in names for number in range(25))
    assert drafts(tmp_path / "app") == []


async def test_a_file_that_may_not_grow_is_a_storage_error_and_leaves_nothing(tmp_path: Path) -> None:
    said = await output(await start(WITH_A_LIMIT, tmp_path))

    assert "can't write" in said
    assert "the file would be larger than allowed; raise the limit (ulimit -f)" in said
    assert drafts(tmp_path / "app") == []
    assert await LayoutRepository(tmp_path, "app").tags() == ("v1",)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read; those of pytest are the owner's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


async def test_a_layout_that_may_only_be_read_is_read_and_says_what_to_do(open_folder: Path) -> None:
    await push(LayoutRepository(open_folder, "app"), image(b"a layer"), "v1")
    for folder in (open_folder, *(path for path in open_folder.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    (open_folder / "app" / ".ocync" / "lock").chmod(0o444)

    tags, existing, new = (await output(await start(AS_NOBODY, open_folder))).splitlines()

    user = 65534 if os.geteuid() == 0 else os.geteuid()
    advice = f"permission denied; give user id {user} access to it"
    assert tags == "('v1',)"
    assert existing.startswith(f"can't open the lock {open_folder}/app/.ocync/lock: {advice}")
    assert new.startswith(f"can't make the folder {open_folder}/new/.ocync: {advice}")
