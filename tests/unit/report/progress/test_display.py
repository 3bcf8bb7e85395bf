import asyncio
import fcntl
import io
import logging
import os
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest
from rich.console import Console

from ocync.lib import log
from ocync.lib.redaction import Redactor
from ocync.report.progress.bars import Frame
from ocync.report.progress.display import progress
from ocync.transfer.events import (
    BytesExpected,
    BytesMoved,
    Event,
    ImageFinished,
    ImageStarted,
    MappingResolved,
    MappingsCounted,
)
from reports import copied, failed

KEY = copied().target
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Screen:
    """A pseudo-terminal: what was written to it, and the stream to write to."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.pieces: list[bytes] = []

    @property
    def shown(self) -> str:
        return b"".join(self.pieces).decode(errors="replace")

    @property
    def words(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown)


@contextmanager
def terminal(columns: int = 100) -> Iterator[Screen]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    screen = Screen(os.fdopen(theirs, "w", buffering=1, encoding="utf-8"))

    def read() -> None:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            screen.pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield screen
    finally:
        screen.stream.close()
        reader.join()
        os.close(ours)


def begin(sink: Callable[[Event], None]) -> None:
    sink(MappingsCounted(2))
    sink(MappingResolved("chainguard/static", 3))
    sink(ImageStarted(KEY))
    sink(BytesExpected(KEY, 100_000_000))
    sink(BytesMoved(KEY, 25_000_000))
    sink(ImageFinished(failed()))


async def test_a_terminal_shows_the_pass_and_each_image_and_is_left_clean() -> None:
    with terminal() as screen, progress(quiet=False, environ={"TERM": "xterm"}, stream=screen.stream) as sink:
        begin(sink)
        await asyncio.sleep(0.3)
    assert "1 of 3 images  1 failed" in screen.words
    assert "25.0 MB sent" in screen.words
    assert "75.0 MB to go" in screen.words
    assert "1 mapping to list" in screen.words
    assert f"{KEY} " in screen.words
    assert "25.0 MB of 100.0 MB" in screen.words
    assert screen.shown.rindex(SHOW_CURSOR) > screen.shown.rindex(HIDE_CURSOR)
    # What was drawn last is wiped: nothing but control sequences follows the last frame.
    last = screen.shown[screen.shown.rindex("MB of 100.0 MB") :]
    assert last.count("\x1b[1A\x1b[2K") >= 3


async def test_a_cancelled_pass_gives_the_terminal_back() -> None:
    async def work(stream: TextIO) -> None:
        with progress(quiet=False, environ={}, stream=stream) as sink:
            begin(sink)
            await asyncio.sleep(60)

    stderr = sys.stderr
    with terminal() as screen:
        task = asyncio.create_task(work(screen.stream))
        await asyncio.sleep(0.1)
        assert sys.stderr is not stderr
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert sys.stderr is stderr
    assert screen.shown.rindex(SHOW_CURSOR) > screen.shown.rindex(HIDE_CURSOR)


async def test_a_pass_that_fails_gives_the_terminal_back() -> None:
    with terminal() as screen, pytest.raises(KeyError), progress(quiet=False, environ={}, stream=screen.stream):
        raise KeyError
    assert screen.shown.rindex(SHOW_CURSOR) > screen.shown.rindex(HIDE_CURSOR)


async def test_what_is_logged_meanwhile_appears_above_the_bars_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = " ".join(["a warning that is longer than the terminal is wide"] * 3)
    with terminal(columns=60) as screen:
        monkeypatch.setattr(sys, "stderr", screen.stream)
        logging_as_usual = log.configured(level=logging.INFO, form="text", redactor=Redactor(), environ={})
        with logging_as_usual, progress(quiet=False, environ={}) as sink:
            begin(sink)
            await asyncio.sleep(0.05)
            logging.getLogger("ocync.test").warning("%s", message)
            await asyncio.sleep(0.05)
    assert f"WARNING {message}\r\n" in screen.words


async def test_without_colours_there_are_none() -> None:
    with terminal() as screen, progress(quiet=False, environ={"NO_COLOR": "1"}, stream=screen.stream) as sink:
        begin(sink)
        await asyncio.sleep(0.05)
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m|\x1b\[9[0-9]m", screen.shown) is None
    assert "1 of 3 images" in screen.words


async def test_a_name_can_not_command_the_terminal() -> None:
    with terminal() as screen, progress(quiet=False, environ={}, stream=screen.stream) as sink:
        sink(ImageStarted("host/[red]a\x1b]0;owned\x07:1"))
        await asyncio.sleep(0.05)
    assert "\x1b]0;" not in screen.shown
    assert r"host/[red]a\x1b]0;owned\x07:1" in screen.words


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    frame = Frame(started=0.0)
    frame.tally.take(MappingsCounted(1000))
    for number in range(20):
        key = f"registry.example.com/a/long/path/of/myorg/image-{number}:1.2.3"
        frame.tally.take(ImageStarted(key))
        frame.tally.take(BytesExpected(key, 999_999_999_999))
        frame.tally.take(BytesMoved(key, 999_999))
    written = io.StringIO()
    Console(file=written, width=width, soft_wrap=True).print(frame.at(100.0, width))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 9


def test_images_that_move_are_shown_before_idle_ones() -> None:
    frame = Frame(started=0.0)
    for number in range(10):
        frame.tally.take(ImageStarted(f"image-{number}"))
    for second in range(0, 20, 2):
        frame.tally.take(BytesMoved("image-9", 1))
        frame.at(float(second), 100)
    written = io.StringIO()
    Console(file=written, width=100).print(frame.at(20.0, 100))
    assert re.findall(r"image-\d", written.getvalue())[0] == "image-9"
    assert "and 4 more in flight" in written.getvalue()


@pytest.mark.parametrize(
    ("stream", "environ"),
    [(io.StringIO(), {}), (None, {"TERM": "dumb"})],
    ids=["no terminal", "a dumb terminal"],
)
async def test_without_a_terminal_the_log_has_a_line_now_and_then(
    stream: TextIO | None, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with (
        terminal() as screen,
        progress(quiet=False, environ=environ, stream=stream or screen.stream, interval=0.05) as sink,
    ):
        begin(sink)
        async with asyncio.timeout(10):
            while len(caplog.records) < 2:
                await asyncio.sleep(0.01)
    assert screen.shown == ""
    message = caplog.messages[0]
    assert message.startswith(
        "1 of 3 images done, 1 failed, 1 mapping to list, 1 in flight with 75.0 MB to go, 25.0 MB sent, "
    )
    record = caplog.records[0].__dict__
    assert (record["images_done"], record["images_known"], record["bytes_sent"]) == (1, 3, 25_000_000)


async def test_a_short_pass_has_no_heartbeat(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress(quiet=False, environ={}, stream=io.StringIO(), interval=0.05) as sink:
        begin(sink)
    await asyncio.sleep(0.1)
    assert caplog.records == []


async def test_the_end_is_estimated_in_heartbeats_too(caplog: pytest.LogCaptureFixture) -> None:
    from ocync.report.progress.display import line
    from ocync.report.progress.tally import Tally

    tally = Tally()
    for number in range(4):
        tally.take(MappingResolved(f"m{number}", 1))
    tally.take(ImageFinished(failed()))
    assert (
        line(tally, 0.0, 60.0)
        == "1 of 4 images done, 1 failed, 0 in flight with 0 B to go, 0 B sent, 0 B/s, about 3m00s left"
    )


async def test_quiet_shows_nothing_even_on_a_terminal() -> None:
    with terminal() as screen, progress(quiet=True, environ={}, stream=screen.stream, interval=0.01) as sink:
        begin(sink)
        await asyncio.sleep(0.05)
    assert screen.shown == ""
