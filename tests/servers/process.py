"""
Servers of others as child processes: started on a free port of loopback, waited for, ended by their id.

A server that can't be started fails the test that asked for it, with the server's own words. What it logged
afterwards is printed when it ends, so pytest shows it with a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

LOOPBACK = "127.0.0.1"
_POLL = 0.02
_SHOWN = 8000


class ServerFailedError(Exception):
    """A server did not start, did not answer in time, or ended by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers on `port`."""

    name: str
    port: int
    pid: int
    log: Path

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    def said(self) -> str:
        """Return the end of what the server wrote to stdout and stderr."""
        return self.log.read_text(errors="replace")[-_SHOWN:]

    def suspend(self) -> None:
        """Stop the server's clock: it accepts connections and answers nothing, until it is ended or resumed."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server go on."""
        os.kill(self.pid, signal.SIGCONT)


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Tell whether something takes connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def program(name: str, package: str) -> str:
    """Return the path of an installed program; fails naming the Debian package where it is missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ServerFailedError(f"{name} is not installed: apt-get install {package}")
    return path


@contextmanager
def running(
    command: Callable[[int], Sequence[str]],
    *,
    folder: Path,
    ready: Callable[[int], bool] = accepts,
    environ: Mapping[str, str] | None = None,
    within: float = 20.0,
) -> Iterator[Server]:
    """
    Run a server while the context lasts; `command` gives its arguments for a port.

    `folder` is its working directory and holds its log. `environ` is added to the environment. Somebody else may
    take the port between choosing and binding it, so a server that ends at once is started again on another one.
    """
    for attempt in range(3):
        port = free_port()
        arguments = list(command(port))
        name = os.path.basename(arguments[0])  # noqa: PTH119
        log = folder / f"{name}-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
            )
        server = Server(name=name, port=port, pid=process.pid, log=log)
        try:
            if not _answers(process, port, ready, within):
                if process.poll() is not None and attempt < 2:
                    continue
                why = f"ended with {process.returncode}" if process.poll() is not None else f"silent for {within} s"
                raise ServerFailedError(f"{name} on port {port}: {why}; it said:\n{server.said()}")
            yield server
            if process.poll() is not None:
                raise ServerFailedError(
                    f"{name} ended by itself with {process.returncode}; it said:\n{server.said()}"
                )
            return
        finally:
            _end(process)
            print(f"--- {name} on port {port} ---\n{server.said()}")


def _answers(process: subprocess.Popen[bytes], port: int, ready: Callable[[int], bool], within: float) -> bool:
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        if process.poll() is not None:
            return False
        if ready(port):
            return True
        time.sleep(_POLL)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    # A suspended process gets its SIGTERM only when it goes on.
    process.terminate()
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
