"""The program with the most memory that it had."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e2e.program import BIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.program import Program

MIB = 1024 * 1024
# A process counts the memory of the one that started it as its own peak (getrusage(2), after a fork), so this small
# one starts it, and not the tests.
_LAUNCHER = """
import json, os, sys
to_file = (os.POSIX_SPAWN_OPEN, 1, "report.json", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[to_file])
print(pid, flush=True)
_, status, usage = os.wait4(pid, 0)
code, cpu = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
with open("usage.json", "w") as file:
    json.dump({"code": code, "peak": usage.ru_maxrss * 1024, "cpu": cpu}, file)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run left and took."""

    code: int
    peak: int
    """Bytes of its resident memory, at the most."""
    cpu: float
    """Seconds."""
    log: str
    """What it wrote on standard error."""
    report: dict[str, Any]
    """The JSON document on standard output; empty where it wrote none."""

    @property
    def errors(self) -> dict[str, str]:
        """The messages of the images that failed, by source."""
        return {each["source"]: each["error"]["message"] for each in self.report["images"] if each["error"]}


class Run:
    """A run that goes on."""

    def __init__(self, program: Program, process: subprocess.Popen[str], pid: int) -> None:
        self._program = program
        self._process = process
        self.pid = pid

    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        os.kill(self.pid, number)

    def done(self, within: float | None = None) -> Measured:
        """Wait for its end, so many seconds where a number is given."""
        _, err = self._process.communicate(timeout=within)
        folder = self._program.folder
        report = json.loads((folder / "report.json").read_text() or "{}")
        return Measured(log=err, report=report, **json.loads((folder / "usage.json").read_text()))


@contextmanager
def started(program: Program, *arguments: str) -> Iterator[Run]:
    """Run `ocync ARGUMENTS` beside the test; it is killed where it has not ended with the context."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, str(BIN / "ocync"), *arguments],
        cwd=program.folder,
        # What measures coverage takes memory too.
        env={name: value for name, value in program.environ.items() if not name.startswith("COVERAGE")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdout is not None
        run = Run(program, process, int(process.stdout.readline()))
        try:
            yield run
        finally:
            if run.running():
                run.send(signal.SIGKILL)


def measured(program: Program, *arguments: str) -> Measured:
    """Run `ocync ARGUMENTS` to its end."""
    with started(program, *arguments) as run:
        return run.done()
