from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from ocync.lib.threads import in_thread, run_detached


async def test_the_result_comes_back_from_another_thread() -> None:
    assert await in_thread(threading.get_ident) != threading.get_ident()


async def test_an_error_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_a_cancellation_is_raised_once_the_function_has_ended() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)
        ended.set()
        raise ValueError("nobody hears it")

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_the_loop_goes_on_while_a_call_blocks() -> None:
    event = threading.Event()
    waiting = run_detached(lambda: event.wait(10), name="test")
    await asyncio.sleep(0.01)

    assert not waiting.done()
    event.set()
    assert await waiting is True


async def test_what_a_call_raises_is_raised() -> None:
    def fails() -> None:
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        await run_detached(fails, name="test")


async def test_who_is_cancelled_does_not_wait_for_the_call() -> None:
    event = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run_detached(event.wait, name="test")

    event.set()
    await asyncio.sleep(0.05)  # its end is nobody's business any more


def test_the_process_does_not_wait_for_a_call_that_was_left_behind() -> None:
    code = (
        "import asyncio, time; from ocync.lib.threads import run_detached\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.05): await run_detached(lambda: time.sleep(60), name='t')\n"
        "    except TimeoutError: print('left')\n"
        "asyncio.run(main())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
