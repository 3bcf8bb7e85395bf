"""`ocync watch` beside a test, with what it has told so far."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from e2e.program import BIN, Done, Started
from e2e.waiting import until
from servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.program import Program

SOON = ("--interval", "1")
"""The shortest interval there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A run of `ocync watch` that goes on; `reports` and what waits for them is for one with `--json`."""

    run: Started
    port: int
    out: Path
    err: Path

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The reports of all passes so far; fails for a line that is no document of its own."""
        whole = self.out.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def codes(self) -> list[int]:
        """The exit code that each pass so far would have had alone."""
        return [report["exit_code"] for report in self.reports]

    @property
    def said(self) -> str:
        """What was logged so far."""
        return self.err.read_text(encoding="utf-8")

    def passes(self, number: int) -> list[dict[str, Any]]:
        """Wait for so many more passes, and return the reports of all that were made then."""
        wanted = len(self.codes) + number
        until(lambda: len(self.codes) >= wanted, of=self.run)
        return self.reports

    def comes(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a pass from now on whose report fulfils the condition, and return that."""
        before = len(self.codes)
        until(lambda: any(map(condition, self.reports[before:])), of=self.run)
        return next(filter(condition, self.reports[before:]))

    def ask(self, path: str) -> httpx.Response:
        """Ask one of the endpoints."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)

    def answers(self) -> bool:
        """Tell whether the endpoints are there."""
        try:
            return self.ask("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def end(self, within: float = 20.0) -> Done:
        """Wait for the end, and return what was left."""
        code = self.run.done(within).code
        return Done(code=code, out=self.out.read_text(encoding="utf-8"), err=self.said)


def _end(process: subprocess.Popen[str]) -> None:
    """End it in order if that can be, so that its coverage is not lost."""
    for _ in range(2):
        if process.poll() is None:
            process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def watching(program: Program, *arguments: str, json_lines: bool = True) -> Iterator[Watching]:
    """Run `ocync watch` with `ocync.yaml`; it is ended with the context."""
    port = free_port()
    out, err = program.folder / "reports.jsonl", program.folder / "watch.log"
    command = [BIN / "ocync", "watch", "-c", "ocync.yaml", "--health-port", str(port), *arguments]
    if json_lines:
        command.append("--json")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=program.folder,
            env=dict(program.environ),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
        )
    with process:
        try:
            yield Watching(run=Started(process), port=port, out=out, err=err)
        finally:
            _end(process)
            print(err.read_text(encoding="utf-8"))
