from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from ocync.layout.lock import FileLock
from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


async def other_process(lock: Path) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, lock, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    return process


async def test_one_task_at_a_time_holds_it(tmp_path: Path) -> None:
    holders = most = rounds = 0

    shared = FileLock(tmp_path / "lock")

    async def work(lock: FileLock) -> None:
        nonlocal holders, most, rounds
        async with lock.hold():
            holders += 1
            most = max(most, holders)
            await asyncio.sleep(0.001)
            holders -= 1
            rounds += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(work(shared))
            group.create_task(work(FileLock(tmp_path / "lock")))

    assert (most, rounds) == (1, 20)


async def test_waiting_for_another_process_has_an_end_and_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    process = await other_process(lock)
    with pytest.raises(
        StorageError, match=r"another process holds the lock .*/lock, for 0\.05 s at least; find it with `fuser"
    ):
        async with FileLock(lock, wait=0.05).hold():
            pytest.fail("two hold the lock")
    await process.communicate(b"\n")


async def test_tasks_that_wait_in_vain_fail_together(tmp_path: Path) -> None:
    process = await other_process(tmp_path / "lock")
    lock = FileLock(tmp_path / "lock", wait=0.3)

    async def wait_in_vain() -> None:
        async with lock.hold():
            pytest.fail("two hold the lock")

    async with asyncio.timeout(1.5):
        outcomes = await asyncio.gather(*(wait_in_vain() for _ in range(10)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageError}
    await process.communicate(b"\n")


async def test_the_lock_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    process = await other_process(lock)
    process.kill()
    await process.wait()

    async with FileLock(lock, wait=5).hold():
        pass


async def test_the_loop_runs_on_while_waiting_and_waiting_can_be_cancelled(tmp_path: Path) -> None:
    lock = tmp_path / "lock"

    async def wait_in_vain() -> None:
        async with FileLock(lock).hold():
            pytest.fail("two hold the lock")

    async with FileLock(lock).hold():
        waiting = asyncio.create_task(wait_in_vain())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 1)
    async with FileLock(lock, wait=1).hold():
        pass


async def test_a_lock_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"can't open the lock .*: a part of this path is a file"):
        async with FileLock(tmp_path / "file" / "lock").hold():
            pytest.fail("there is no such lock")
