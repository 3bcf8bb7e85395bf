"""What has to hold at every moment, at a registry and in a folder of OCI layouts."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from scripted import faults
from scripted.content import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripted import ScriptedRegistry

    Content = dict[str, bytes | int]
    Known = Callable[[str, str, str], Content | None]
    """From repository, tag and digest to what has to be there; None: no image of that digest ever had the tag."""

_FOREIGN = ("foreign", "nondistributable")
_LIST = re.compile(r":sha256-[0-9a-f]{64}$")


def fault_of(
    host: str, name: str, digest: str, found: Content, whole: Content | None, artifacts: dict[str, Content]
) -> str | None:
    """
    Return what is wrong with what is found under a tag; None for nothing.

    Lists of referrers are written at the target, and by several at once: there is nothing at the source that they
    have to be equal to, but all that they list has to be something that was attached there.
    """
    if found == whole:
        return None
    if whole is None and _LIST.search(name):
        listed = [entry["digest"] for entry in json.loads(bytes(found[digest]))["manifests"]]  # type: ignore[arg-type]
        strange = [each for each in listed if each not in artifacts]
        lacking = [each for each in listed if each in artifacts and not artifacts[each].items() <= found.items()]
        if len(set(listed)) == len(listed) and not strange and not lacking:
            return None
        return f"{name} at {host} lists {listed}; {strange} never were attached, {lacking} are not whole"
    if whole is None:
        return f"{name} at {host} is {digest}, which it never was at the source"
    return f"{name} ({digest}) at {host} is not what it is at the source"


class RegistryWatch:
    """Looks at all tags of a registry after each manifest that was put."""

    def __init__(self, registry: ScriptedRegistry, known: Known, artifacts: dict[str, Content]) -> None:
        self._registry = registry
        self._known = known
        self._artifacts = artifacts
        self._hashed: set[int] = set()
        self.wrong: list[str] = []
        """What was wrong, at whatever moment."""
        self.looks = 0
        registry.on("PUT|DELETE", r"/manifests/", respond=faults.afterwards(self.look))

    def look(self) -> None:
        """Add to `wrong` every tag that points at what is incomplete, or at what the source never had there."""
        self.looks += 1
        self.wrong += self._registry.incomplete_tags()
        for name, repository in self._registry.repositories.items():
            for tag, digest in repository.tags.items():
                whole, found = self._known(name, tag, digest), repository.content_of(tag)
                fault = fault_of(self._registry.host, f"{name}:{tag}", digest, found, whole, self._artifacts)
                if fault is not None:
                    self.wrong.append(fault)
            for digest, content in repository.blobs.items():
                if id(content) not in self._hashed:
                    self._hashed.add(id(content))
                    if digest_of(repository.read(digest), digest.partition(":")[0]) != digest:
                        self.wrong.append(f"{name} holds other bytes under {digest}")


class FolderWatch:
    """Reads a folder of OCI layouts as another program would, at any moment."""

    def __init__(self, folder: Path, known: Known, artifacts: dict[str, Content] | None = None) -> None:
        self.folder = folder
        self._known = known
        self._artifacts = {} if artifacts is None else artifacts
        self.wrong: list[str] = []
        self.looks = 0

    def look(self) -> None:
        """Add to `wrong` every name in an index.json under which something is missing or wrong."""
        self.looks += 1
        for name, tag, digest in self.tags():
            whole = self._known(name, tag, digest)
            try:
                found = self.content_of(name, digest)
            except (OSError, ValueError) as error:
                self.wrong.append(f"{name}:{tag}: {error}")
                continue
            fault = fault_of("the folder", f"{name}:{tag}", digest, found, whole, self._artifacts)
            if fault is not None:
                self.wrong.append(fault)

    def tags(self) -> Iterator[tuple[str, str, str]]:
        """Give repository, tag and digest of all names in the folder."""
        for index in self.folder.glob("**/index.json"):
            for entry in json.loads(index.read_bytes())["manifests"]:
                tag = entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
                if tag is not None:
                    yield str(index.parent.relative_to(self.folder)), tag, entry["digest"]

    def content_of(self, name: str, digest: str) -> dict[str, bytes | int]:
        """Return all under a digest, in the form of `Repository.content_of`; raises OSError and ValueError."""
        found: dict[str, bytes | int] = {}
        waiting = [digest]
        while waiting:
            current = waiting.pop()
            if current in found:
                continue
            raw = self._read(name, current)
            found[current] = raw
            body = json.loads(raw)
            waiting += [entry["digest"] for entry in body.get("manifests") or []]
            for entry in [body.get("config"), *(body.get("layers") or [])]:
                if entry and not any(mark in entry["mediaType"] for mark in _FOREIGN):
                    found[entry["digest"]] = len(self._read(name, entry["digest"]))
        return found

    def _read(self, name: str, digest: str) -> bytes:
        algorithm, _, encoded = digest.partition(":")
        data = (self.folder / name / "blobs" / algorithm / encoded).read_bytes()
        if hashlib.new(algorithm, data).hexdigest() != encoded:
            raise ValueError(f"the file of {digest} holds something else")
        return data
