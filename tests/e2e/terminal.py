"""The program on a terminal, as a person runs it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.program import BIN, TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came to the terminal."""

    code: int
    text: str
    restored: bool
    """Whether the terminal's settings are what they were."""


def on_terminal(
    program: Program, *arguments: str, when: Callable[[], bool] = lambda: False, send: int = 0, columns: int = 100
) -> Seen:
    """Run `ocync ARGUMENTS` with all of its streams on a terminal; a signal is sent once `when` holds."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [BIN / "ocync", *arguments],
        cwd=program.folder,
        env={"TERM": "xterm-256color", **program.environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    data = b""
    limit = time.monotonic() + TIME
    try:
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            assert time.monotonic() < limit, data.decode(errors="replace")
            if select.select([ours], [], [], 0.05)[0]:
                data += os.read(ours, 64 * 1024)
            if send and when():
                process.send_signal(send)
                send = 0
        restored = termios.tcgetattr(theirs) == before
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
        os.close(theirs)
    return Seen(code=process.returncode, text=data.decode(errors="replace"), restored=restored)
