"""A pass loads and saves its hints, or does without."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ocync.cache import file, store
from ocync.cache.store import CacheStore, StateLocation
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

HOST, BLOB, OTHER = "registry.example", Digest.of(b"blob"), Digest.of(b"other")


async def learn(folder: Path | None, *digests: Digest, by: CacheStore | None = None) -> None:
    async with (by or CacheStore()).open(StateLocation(folder=folder), ttl=3600.0) as hints:
        for digest in digests:
            hints.learn_blob(HOST, "app", digest)


async def known(folder: Path | None, digest: Digest = BLOB, *, by: CacheStore | None = None) -> bool:
    async with (by or CacheStore()).open(StateLocation(folder=folder), ttl=3600.0) as hints:
        return hints.holders(HOST, digest) == ["app"]


async def test_the_next_pass_knows_what_the_last_one_learned(tmp_path: Path) -> None:
    await learn(tmp_path / "cache", BLOB)

    assert await known(tmp_path / "cache")
    assert not await known(tmp_path / "cache", OTHER)


async def test_hints_without_a_file_end_with_their_pass() -> None:
    await learn(None, BLOB)

    assert not await known(None)


async def test_a_pass_that_fails_or_is_cancelled_keeps_what_it_learned(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with CacheStore().open(StateLocation(folder=tmp_path), ttl=0.0) as hints:
            hints.learn_blob(HOST, "app", BLOB)
            raise ZeroDivisionError

    async def work() -> None:
        async with CacheStore().open(StateLocation(folder=tmp_path), ttl=0.0) as hints:
            hints.learn_blob(HOST, "app", OTHER)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await known(tmp_path)
    assert await known(tmp_path, OTHER)


async def test_what_is_learned_is_written_while_the_pass_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_PAUSE", 0.05)
    async with CacheStore().open(StateLocation(folder=tmp_path), ttl=0.0) as hints:
        hints.learn_blob(HOST, "app", BLOB)
        async with asyncio.timeout(10):
            while not await known(tmp_path):
                await asyncio.sleep(0.05)


async def test_an_unwritable_folder_is_logged_once_and_the_process_keeps_the_entries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no folder")
    lasting = CacheStore()

    await learn(tmp_path / "cache", BLOB, by=lasting)

    assert await known(tmp_path / "cache", by=lasting)
    assert not await known(tmp_path / "cache", OTHER, by=lasting)
    assert len(caplog.records) == 1
    assert "cache_dir" in caplog.text


async def test_entries_are_saved_once_the_folder_is_writable_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.write_text("no folder")
    lasting = CacheStore()
    await learn(folder, BLOB, by=lasting)
    folder.unlink()

    await learn(folder, OTHER, by=lasting)

    assert await known(folder)
    assert await known(folder, OTHER)


async def test_a_damaged_file_is_logged_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / file.NAME).write_bytes(b"no cache" * 1000)

    await learn(tmp_path, BLOB)

    assert "will be replaced: its format is unknown" in caplog.text
    assert await known(tmp_path)


async def test_a_file_that_another_process_locks_does_not_block_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file, "_LOCK_TIMEOUT", 0.1)
    await learn(tmp_path, BLOB)

    # It is locked for as long as the pass takes.
    with (tmp_path / file.NAME).with_suffix(".lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        await learn(tmp_path, OTHER)

    assert "locked" in caplog.text
    assert await known(tmp_path)


async def test_a_disk_that_hangs_does_not_block_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_LOAD_TIME", 0.2)
    (tmp_path / "cache").mkdir()
    # Reading from a pipe to which nobody writes is what a dead network file system looks like.
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(file, "_read", lambda *_arguments: (tmp_path / "pipe").read_bytes())

    await learn(tmp_path / "cache", BLOB)

    assert "can't be read within 0.2 s" in caplog.text
    os.close(os.open(tmp_path / "pipe", os.O_WRONLY))


async def test_a_disk_that_hangs_does_not_delay_the_report_of_a_stopped_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").mkdir()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(file, "_append", lambda *_arguments: (tmp_path / "pipe").read_bytes())
    assert store._SAVE_TIME_AFTER_STOP == 2
    monkeypatch.setattr(store, "_SAVE_TIME_AFTER_STOP", 0.2)

    async with CacheStore().open(
        StateLocation(folder=tmp_path / "cache", in_a_hurry=lambda: True), ttl=0.0
    ) as hints:
        hints.learn_blob(HOST, "app", BLOB)

    assert "can't be written within 0.2 s" in caplog.text
    os.close(os.open(tmp_path / "pipe", os.O_WRONLY))


def test_a_full_disk_is_logged_and_fails_nothing(tmp_path: Path) -> None:
    """A limit on the size of files is what a full disk looks like to SQLite."""
    script = f"""
import asyncio, resource, signal
from pathlib import Path
from ocync.cache.store import CacheStore, StateLocation
from ocync.oci.digest import Digest
async def main():
    async with CacheStore().open(StateLocation(folder=Path({str(tmp_path)!r})), ttl=0.0) as hints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
        for number in range(5000):
            hints.learn_blob("a.example", "app", Digest.of(b"%d" % number))
    print("done")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
"""
    # A limit on the size of files would also keep what measures coverage from writing.
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout == "done\n"
    assert done.stderr.count("can't be written") == 1
    # And what is there can still be read.
    assert file.load(tmp_path / file.NAME, time.time()).damage == ""


def test_a_killed_pass_leaves_what_it_has_written(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from ocync.cache import file
from ocync.cache.hints import Hints
from ocync.oci.digest import Digest
number = 0
while True:
    hints = Hints()
    for _ in range(200):
        hints.learn_blob({HOST!r}, "app", Digest.of(b"%d" % number))
        number += 1
    file.save(Path({str(tmp_path)!r}) / file.NAME, hints.take_changes(), time.time(), tidy=number % 1000 == 0)
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = 0
        while last < 2000:
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    last = max([last, *map(int, rest)])

    found = file.load(tmp_path / file.NAME, time.time())

    assert not found.damage
    names = {name for _, _, _, name in found.entries}
    assert all(str(Digest.of(b"%d" % number)) in names for number in range(last))


async def test_what_a_pass_learned_before_it_was_killed_is_known_to_the_next_one(tmp_path: Path) -> None:
    script = f"""
import asyncio
from pathlib import Path
from ocync.cache import store
from ocync.cache.store import CacheStore, StateLocation
from ocync.oci.digest import Digest
store._PAUSE = 0.05
async def main():
    async with CacheStore().open(StateLocation(folder=Path({str(tmp_path)!r})), ttl=0.0) as hints:
        hints.learn_blob({HOST!r}, "app", Digest.of(b"blob"))
        await asyncio.sleep(0.2)
        hints.learn_blob({HOST!r}, "app", Digest.of(b"other"))
        await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            async with asyncio.timeout(20):
                while not await known(tmp_path, OTHER):
                    await asyncio.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    assert await known(tmp_path, BLOB)
    assert await known(tmp_path, OTHER)
