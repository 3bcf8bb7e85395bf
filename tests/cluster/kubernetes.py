"""A namespace of a real cluster, through kubectl and helm as people use them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

Document = dict[str, Any]
T = TypeVar("T")

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}


class CommandError(Exception):
    """A command ended with another exit code than 0; the message is what it wrote to stderr."""


class LateError(Exception):
    """Something did not come true in time."""


async def output(*command: str, given: str | None = None) -> str:
    """Run a command to its end and return its stdout; raises CommandError. It is killed when this is cancelled."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        out, err = await process.communicate((given or "").encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise CommandError(f"{' '.join(command[:4])} ...: {err.decode(errors='replace').strip()}")
    return out.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One namespace of the cluster that KUBECONFIG names."""

    name: str
    kubectl: str = "kubectl"
    helm: str = "helm"

    async def run(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return await output(self.kubectl, "--namespace", self.name, *arguments, given=given)

    async def create(self, labels: Mapping[str, str]) -> None:
        """Create the namespace itself."""
        await output(self.kubectl, "create", "namespace", self.name)
        await output(self.kubectl, "label", "namespace", self.name, *(f"{k}={v}" for k, v in labels.items()))

    async def delete(self) -> None:
        """Delete the namespace and wait until it is gone with all that was in it."""
        await output(self.kubectl, "delete", "namespace", self.name, "--wait", "--timeout=120s")

    async def items(self, kind: str, selector: str = "") -> list[Document]:
        """Return all objects of a kind, the oldest first."""
        options = ["--selector", selector] if selector else []
        text = await self.run("get", kind, "--output", "json", "--sort-by=.metadata.creationTimestamp", *options)
        found: list[Document] = json.loads(text)["items"]
        return found

    async def put_secret(self, name: str, *options: str) -> None:
        """Create a generic Secret, or replace it, from `--from-literal` and `--from-file`."""
        text = await self.run("create", "secret", "generic", name, *options, "--dry-run=client", "--output=yaml")
        await self.run("apply", "--filename=-", given=text)

    async def file_in(self, pod: str, path: str) -> str:
        """Return what a pod has in a file; its image has no shell, but a Python."""
        program = "import sys; sys.stdout.write(open(sys.argv[1]).read())"
        return await self.run("exec", pod, "--", "/usr/bin/python3", "-c", program, path)

    async def install(self, release: str, chart: Path, values: Document, *options: str) -> str:
        """Install the chart, or change the release, with values in a file as people keep them."""
        command = [self.helm, "upgrade", release, str(chart), "--install", "--namespace", self.name]
        return await output(*command, "--values=-", *options, given=json.dumps(values))

    async def rollback(self, release: str, revision: int) -> None:
        """Go back to a revision; the one before the last may be one that failed."""
        await output(self.helm, "rollback", release, str(revision), "--namespace", self.name)

    async def uninstall(self, release: str) -> None:
        """Uninstall a release."""
        await output(self.helm, "uninstall", release, "--namespace", self.name, "--wait", "--timeout=90s")


async def eventually(what: str, look: Callable[[], Awaitable[T]], *, within: float, every: float = 0.3) -> T:
    """Call `look` until what it gives (awaited) is true, and return that; raises LateError."""
    end = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise LateError(f"{what}: not within {within:.0f} s")
        await asyncio.sleep(every)
