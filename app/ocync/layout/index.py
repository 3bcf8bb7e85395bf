"""
The index.json of a layout, parsed and changed without I/O.

Unknown fields, annotations and kinds of entries are kept.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.oci.reference import is_tag

MAX_SIZE = 16 * 1024 * 1024
"""Most bytes of an index.json that are read: some fifty thousand tags."""
REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds a tag (image-spec annotations.md)."""
EMPTY = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}\n'
"""The index.json of a layout without images."""
_POINTER = ("mediaType", "digest", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image of a layout; `name` is its ref.name."""

    name: str | None
    descriptor: Descriptor

    @property
    def tag(self) -> str | None:
        """The tag in the name, which is a tag or a full reference (`host/repo:tag`)."""
        if self.name is None or is_tag(self.name):
            return self.name
        head, colon, tag = self.name.partition("@")[0].rpartition(":")
        return tag if head and colon and is_tag(tag) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The images of a layout, in their order."""

    entries: tuple[Entry, ...]
    body: dict[str, Any] = field(repr=False)

    def tags(self) -> tuple[str, ...]:
        """Return all tags, each once."""
        tags = dict.fromkeys(entry.tag for entry in self.entries if entry.tag is not None)
        return ("latest",) if not tags and self._only_nameless() else tuple(tags)

    def find(self, tag: str) -> Descriptor | None:
        """
        Return the descriptor of a tag, None if there is no such tag; raises ValueError if it is ambiguous.

        A name that equals the tag precedes full references that end with it. The only image of a layout is `latest`
        if it has no name: many builders leave the name out.
        """
        found = [entry for entry in self.entries if entry.name == tag]
        found = found or [entry for entry in self.entries if entry.tag == tag]
        if not found and tag == "latest":
            found = self._only_nameless()
        if len({entry.descriptor.digest for entry in found}) > 1:
            several = ", ".join(f"{entry.name!r:.160} {entry.descriptor.digest}" for entry in found[:5])
            raise ValueError(f"{len(found)} images are called {tag}: {several}")
        return found[0].descriptor if found else None

    def describe(self, digest: Digest) -> Descriptor | None:
        """Return the descriptor of a listed image by its digest."""
        return next((entry.descriptor for entry in self.entries if entry.descriptor.digest == digest), None)

    def pointing(self, tag: str, descriptor: Descriptor) -> bytes | None:
        """Return the index.json in which the tag points to the descriptor; None if it does already."""
        entries = _list(self.body)
        positions = [position for position, entry in enumerate(entries) if _name(entry) == tag]
        new = _new_entry(tag, descriptor)
        if len(positions) == 1 and all(entries[positions[0]].get(key) == new[key] for key in _POINTER):
            return None
        changed = [entry for position, entry in enumerate(entries) if position not in positions[1:]]
        if positions:
            changed[positions[0]] = new
        else:
            changed.append(new)
        try:
            text = json.dumps({**self.body, "manifests": changed}, separators=(",", ":"), allow_nan=False)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return text.encode() + b"\n"

    def _only_nameless(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.name is None] if len(self.entries) == 1 else []


def parse(raw: bytes) -> Index:
    """Return the parsed index.json; raises ValueError that says what is wrong with it."""
    if not raw.strip():
        raise ValueError("it is empty")
    try:
        body = json.loads(raw, parse_constant=_not_a_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise ValueError("it is not a JSON object")
    if "manifests" not in body:
        raise ValueError("it has no field manifests")
    entries = (_entry(f"manifests[{position}]", entry) for position, entry in enumerate(_list(body)))
    return Index(entries=tuple(entry for entry in entries if entry is not None), body=body)


def _list(body: dict[str, Any]) -> list[Any]:
    value = body["manifests"]
    # Go writes an empty list as null.
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("manifests is not a list")
    return value


def _entry(where: str, entry: Any) -> Entry | None:
    """Return an entry, None for one that is not an image (image-layout.md allows any media type)."""
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is not an object")
    media_type = entry.get("mediaType", "")
    if not isinstance(media_type, str):
        raise ValueError(f"{where}.mediaType is not a string")
    if media_type and not media.is_manifest_like(media_type):
        return None
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{where}.size is not a number of bytes")
    digest = entry.get("digest")
    if not isinstance(digest, str):
        raise ValueError(f"{where}.digest is not a string")
    try:
        parsed = Digest.parse(digest)
    except ValueError as error:
        raise ValueError(f"{where}.digest: {error}") from error
    return Entry(name=_name(entry), descriptor=Descriptor(media_type=media_type, digest=parsed, size=size))


def _name(entry: Any) -> str | None:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _new_entry(tag: str, descriptor: Descriptor) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.artifact_type:
        entry["artifactType"] = descriptor.artifact_type
    return {**entry, "annotations": {REF_NAME: tag}}


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value
