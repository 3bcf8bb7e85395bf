"""
What a registry has shown ocync in the pass that is under way, and manifests that were put without that.

The rule: a manifest is put only when each of its parts (config, layers that registries hold, children that are
manifests) has been seen in that repository in this pass: the registry has taken it (201 to an upload, a mount, a
manifest) or has answered a HEAD or GET for it with success. Whoever puts one otherwise relies on what may be gone
by now. Only requests whose User-Agent begins with `ocync/` count: what skopeo, oras and others write is no claim
of ours, and what they are shown is not shown to us.

When a pass begins:

- Tests mark the passes of their own process (`PASSES.one`); `clients.Side` does so. What was seen before the
  beginning of a marked pass does not count in it, unless another one is running then: nothing on the wire tells
  two clients of one process apart, so passes that overlap share what either has seen.
- In other passes (of a program that a test runs, of `run.run_pass`) the first request to each registry is
  `GET /v2/`, once in each pass. What was seen before it is forgotten, unless another connection of ocync is open
  at that moment: that of a pass that runs at the same time. The connections of a pass that is over, or of a
  process that was killed, are closed.
- What a test does with a client by hand, while a `Side` is open and no marked pass runs, is no pass, and is not
  judged.

Lists under fallback tags: entries of the list that stands under the tag already are exempt. Others may have put
them there, the list is not ours to shorten for want of a look, and a list that lists what is gone is found anyway,
as any tag is (`ScriptedRegistry.violations`). Entries that are added are parts like all others.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scripted import media
from scripted.content import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripted.record import Record
    from scripted.storage import Repository, StoredManifest
    from scripted.wire import Request, Response

CLIENT = "ocync/"
"""How the User-Agent of those begins for whom the rule holds."""
_RAW_HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_LIST = re.compile(r"sha\d+-[0-9a-f]{64}")


class Passes:
    """The passes of this process that tests have marked; registries of all tests look at the same one."""

    def __init__(self) -> None:
        self.begun = 0
        """How often a pass began while no other was running."""
        self.running = 0
        self._clients = 0

    @property
    def are_judged(self) -> bool:
        """Whether what is put now is put by a pass, as far as this process can tell."""
        return self.running > 0 or self._clients == 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Mark a pass from its first request to its last."""
        self.begun += self.running == 0
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Mark the life of a client with which a test may do what it likes between passes."""
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1


PASSES = Passes()


class Evidence:
    """Kept by one registry."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._connections: set[int] = set()
        self._begun = PASSES.begun
        self._seen: set[tuple[str, str, str]] = set()
        self.lacks: list[str] = []
        """Manifests that were put with parts that had not been seen."""

    def has(self, name: str, digest: str) -> bool:
        """Tell whether a blob or manifest of a repository has been seen in this pass."""
        self._turn()
        return any((name, kind, digest) in self._seen for kind in ("blobs", "manifests"))

    def arrive(self, request: Request, name: str | None, path: str) -> None:
        """Take note of a request before anything is done about it: it may be the first one of a pass."""
        if not is_ours(request):
            return
        is_first = name is None and path.rstrip("/") == "/v2" and not PASSES.running
        if is_first and not (self._connections & self._record.open) - {request.connection}:
            self._seen.clear()
        self._connections.add(request.connection)

    def answered(self, request: Request, name: str | None, kind: str, rest: str, response: Response) -> None:
        """Take note of what the client is told, which may not be what the registry has done."""
        if name is None or not is_ours(request) or response.delivery.lose:
            return
        status = response.status
        if response.delivery.raw is not None:
            # A lie in raw bytes is told like any other, where its head is all that the client reads.
            head = _RAW_HEAD.match(response.delivery.raw)
            status = int(head[1]) if head and request.method != "GET" else 0
        self._turn()
        if kind == "blobs" and rest.startswith("uploads/"):
            digest = request.parameter("mount") or request.parameter("digest")
            if status == 201 and digest is not None:
                self._seen.add((name, kind, digest))
        elif kind == "blobs" and request.method in ("GET", "HEAD"):
            # A registry redirects to where it has put a blob, and to nothing that it does not hold.
            if status in (200, 206, 302, 303, 307, 308):
                self._seen.add((name, kind, rest))
        elif kind == "manifests" and status in (200, 201) and request.method in ("GET", "HEAD", "PUT"):
            told = response.headers.get("docker-content-digest")
            digests = {rest} if ":" in rest else {told} if told else set()
            if request.method != "PUT":
                digests.add(digest_of(response.whole()))
            self._seen |= {(name, kind, digest) for digest in digests}

    def judge(self, request: Request, repository: Repository, reference: str, manifest: StoredManifest) -> None:
        """Add to `lacks` if a manifest that is put now has parts that were not seen."""
        if not is_ours(request) or not PASSES.are_judged:
            return
        self._turn()
        name = repository.name
        listed = repository.find(reference) if _LIST.fullmatch(reference) else None
        exempt = {entry.get("digest") for entry in listed.children} if listed is not None else set()
        children = [entry for entry in manifest.children if media.is_manifest(entry)]
        unseen = [
            *(entry["digest"] for entry in manifest.blobs if (name, "blobs", entry["digest"]) not in self._seen),
            *(
                entry["digest"]
                for entry in children
                if (name, "manifests", entry["digest"]) not in self._seen and entry["digest"] not in exempt
            ),
        ]
        if unseen:
            parts = ", ".join(dict.fromkeys(unseen))
            self.lacks.append(f"{name}:{reference} was put and {parts} not seen in this pass")

    def _turn(self) -> None:
        """Forget what was seen before the marked pass that is the latest to have begun alone."""
        if self._begun != PASSES.begun:
            self._begun = PASSES.begun
            self._seen.clear()


def is_ours(request: Request) -> bool:
    """Tell whether ocync has sent a request."""
    return (request.headers.get("user-agent") or "").startswith(CLIENT)
