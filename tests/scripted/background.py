"""Scripted servers for tests that are not asynchronous: in a thread, or as a process of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Startable(Protocol):
    """ScriptedRegistry and BlobStore."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self) -> None: ...


S = TypeVar("S", bound=Startable)


@contextmanager
def in_thread(server: S) -> Iterator[S]:
    """Run a server in a thread: it can be seeded and inspected from here, and is checked at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        server.check()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


class Running:
    """A registry that runs as `python -m scripted`."""

    def __init__(self, process: subprocess.Popen[str], address: dict[str, Any]) -> None:
        self.process = process
        self.host: str = address["host"]
        self.url: str = address["url"]

    def state(self) -> dict[str, Any]:
        """Return counts, tags, incomplete tags and violations; needs `--control`."""
        return self._control("state")  # type: ignore[no-any-return]

    def requests(self) -> list[dict[str, Any]]:
        """Return every request; needs `--control`."""
        return self._control("requests")  # type: ignore[no-any-return]

    def on(self, method: str, pattern: str, fault: str, **options: Any) -> None:
        """Make a rule with a function of scripted.faults: `on("GET", "/blobs/", "answer", status=503, times=2)`."""
        names = ("times", "after", "every", "authorized")
        rule = {name: options.pop(name) for name in names if name in options}
        self._control("rules", {"method": method, "pattern": pattern, "fault": fault, "with": options, **rule})

    def clear(self) -> None:
        """Remove the rules and forget the requests."""
        self._control("clear", {})

    def stop(self) -> None:
        """End the process with SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)

    def _control(self, verb: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/_scripted/{verb}", data, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def as_process(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run `python -m scripted ARGUMENTS` until the context ends."""
    environment = {**os.environ, **(env or {}), "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", "scripted", *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.communicate(timeout=30)
        raise RuntimeError(f"python -m scripted ended with {process.returncode}")
    running = Running(process, json.loads(line))
    try:
        yield running
    finally:
        running.stop()
