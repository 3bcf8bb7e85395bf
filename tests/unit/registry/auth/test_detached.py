"""Calls that block do not block the loop, and nobody waits for one that is not wanted any more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from ocync.registry.auth.detached import away


async def test_the_loop_goes_on_while_a_call_blocks() -> None:
    event = threading.Event()
    waiting = asyncio.ensure_future(away(lambda: event.wait(10), name="test"))
    await asyncio.sleep(0.01)

    assert not waiting.done()
    event.set()
    assert await waiting is True


async def test_what_a_call_raises_is_raised() -> None:
    def fails() -> None:
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        await away(fails, name="test")


async def test_who_is_cancelled_does_not_wait_for_the_call() -> None:
    event = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await away(event.wait, name="test")

    event.set()
    await asyncio.sleep(0.05)  # its end is nobody's business any more


def test_the_process_does_not_wait_for_a_call_that_was_left_behind() -> None:
    code = (
        "import asyncio, time; from ocync.registry.auth.detached import away\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.05): await away(lambda: time.sleep(60), name='t')\n"
        "    except TimeoutError: print('left')\n"
        "asyncio.run(main())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
