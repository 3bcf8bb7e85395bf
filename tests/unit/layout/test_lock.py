from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from ocync.errors import StorageError
from ocync.layout.lock import locked

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

    async def work() -> None:
        nonlocal holders, most, rounds
        async with locked(tmp_path / "lock"):
            holders += 1
            most = max(most, holders)
            await asyncio.sleep(0.001)
            holders -= 1
            rounds += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(work())

    assert (most, rounds) == (1, 20)


async def test_waiting_for_another_process_has_an_end_and_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    process = await other_process(lock)
    with pytest.raises(StorageError, match="another process has held the lock .*/lock for 0 s; find it with `fuser"):
        async with locked(lock, wait=0.05):
            pytest.fail("two hold the lock")
    await process.communicate(b"\n")


async def test_the_lock_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    process = await other_process(lock)
    process.kill()
    await process.wait()

    async with locked(lock, wait=5):
        pass


async def test_the_loop_runs_on_while_waiting_and_waiting_can_be_cancelled(tmp_path: Path) -> None:
    lock = tmp_path / "lock"

    async def wait_in_vain() -> None:
        async with locked(lock):
            pytest.fail("two hold the lock")

    async with locked(lock):
        waiting = asyncio.create_task(wait_in_vain())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 1)
    async with locked(lock, wait=1):
        pass


async def test_a_lock_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="can't open the lock .*: a part of this path is a file"):
        async with locked(tmp_path / "file" / "lock"):
            pytest.fail("there is no such lock")
