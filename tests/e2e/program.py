"""The program as its users run it: a process of its own, in an environment that holds nothing of the machine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ocync

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping

BIN = Path(sys.executable).parent
"""Where `ocync` is installed."""
APP = Path(ocync.__file__).parents[1]
"""Where the tests have the package from: processes take the same one, wherever the installed script would look."""
TIME = 40.0
"""Seconds after which a run is ended, and the test with it."""
MEASURED = {name: value for name, value in os.environ.items() if name == "COVERAGE_PROCESS_CONFIG"}
"""What tells a process that its coverage is wanted: all that comes from the environment of the tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a run left."""

    code: int
    """The exit code; negative for a signal."""
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        return json.loads(self.out)  # type: ignore[no-any-return]

    @property
    def said(self) -> str:
        """All that was written."""
        return self.out + self.err

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Runs `ocync` in a folder, with a home of its own and these variables."""

    folder: Path
    environ: Mapping[str, str]

    @classmethod
    def within(cls, folder: Path, **variables: str) -> Program:
        """Return the program for a new folder."""
        home = folder / "home"
        home.mkdir(parents=True)
        return cls(
            folder=folder,
            environ={
                "PATH": f"{BIN}:/usr/bin:/bin",
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(APP),
                **MEASURED,
                **variables,
            },
        )

    @property
    def home(self) -> Path:
        """The user's home."""
        return Path(self.environ["HOME"])

    def knowing(self, **variables: str) -> Program:
        """Return the program with more variables."""
        return Program(folder=self.folder, environ={**self.environ, **variables})

    def write(self, text: str | bytes, name: str = "ocync.yaml") -> Path:
        """Write a file into the folder; by default the configuration."""
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def docker_config(self, document: object) -> Path:
        """Write `~/.docker/config.json`."""
        path = self.home / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def helper(self, name: str, script: str) -> Program:
        """Install `docker-credential-NAME`, a shell script; returns the program with it in its PATH."""
        folder = self.folder / "helpers"
        folder.mkdir(exist_ok=True)
        path = folder / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return self.knowing(PATH=f"{folder}:{self.environ['PATH']}")

    def __call__(self, *arguments: str, text: str = "") -> Done:
        """Run `ocync ARGUMENTS` to its end; `text` is its standard input."""
        return self._run([str(BIN / "ocync"), *arguments], text)

    def shell(self, script: str) -> Done:
        """Run the commands of a page as people do who copy them to a shell."""
        return self._run(["/bin/sh", "-c", script], "")

    def _run(self, command: list[str], text: str) -> Done:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=dict(self.environ),
            input=text,
            capture_output=True,
            encoding="utf-8",
            timeout=TIME,
            check=False,
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[Started]:
        """Run `ocync ARGUMENTS` beside the test; it is killed where it has not ended with the context."""
        process = subprocess.Popen(
            [BIN / "ocync", *arguments],
            cwd=self.folder,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        with process:
            try:
                yield Started(process)
            finally:
                if process.poll() is None:
                    process.kill()


class Started:
    """A run that goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as nothing can refuse."""
        self._process.kill()

    def done(self, within: float = TIME) -> Done:
        """Wait for its end, so many seconds."""
        out, err = self._process.communicate(timeout=within)
        return Done(code=self._process.returncode, out=out, err=err)
