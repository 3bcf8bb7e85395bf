"""
The index.json of a layout: bytes in, frozen values out, and the bytes of a changed one.

Pure. What is not understood (fields, annotations, entries of other kinds) is kept as it is.
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
"""Bytes of an index.json that are read at most: some fifty thousand tags."""
REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds a tag (image-spec annotations.md)."""
EMPTY = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}\n'
"""The index.json of a layout without images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image of a layout; `name` is its ref.name."""

    name: str | None
    descriptor: Descriptor

    @property
    def tag(self) -> str | None:
        """The tag that the name is, or that it ends with where it is a full reference (`host/repo:tag`)."""
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
        return ("latest",) if not tags and self._lone() else tuple(tags)

    def find(self, tag: str) -> Descriptor | None:
        """
        Return what a tag points to, None when there is no such tag; raises ValueError where it points to several.

        A name that equals the tag goes before full references that end with it. An image without a name that has
        the layout for itself is `latest`: many builders leave the name out.
        """
        found = [entry for entry in self.entries if entry.name == tag]
        found = found or [entry for entry in self.entries if entry.tag == tag]
        if not found and tag == "latest":
            found = self._lone()
        if len({entry.descriptor.digest for entry in found}) > 1:
            several = ", ".join(f"{entry.name!r:.160} {entry.descriptor.digest}" for entry in found[:5])
            raise ValueError(f"{len(found)} images are called {tag}: {several}")
        return found[0].descriptor if found else None

    def describe(self, digest: Digest) -> Descriptor | None:
        """Return the descriptor of an image that is listed, by its digest."""
        return next((entry.descriptor for entry in self.entries if entry.descriptor.digest == digest), None)

    def pointing(self, tag: str, descriptor: Descriptor) -> bytes | None:
        """Return the index.json in which the tag points to the descriptor; None when it does so already."""
        entries = _list(self.body)
        places = [place for place, entry in enumerate(entries) if _name(entry) == tag]
        new = _written(tag, descriptor)
        if len(places) == 1 and _same(entries[places[0]], new):
            return None
        changed = [entry for place, entry in enumerate(entries) if place not in places[1:]]
        if places:
            changed[places[0]] = new
        else:
            changed.append(new)
        try:
            text = json.dumps({**self.body, "manifests": changed}, separators=(",", ":"), allow_nan=False)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return text.encode() + b"\n"

    def _lone(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.name is None] if len(self.entries) == 1 else []


def parse(raw: bytes) -> Index:
    """Read an index.json; raises ValueError that says what is wrong with it."""
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
    entries = (_entry(f"manifests[{place}]", entry) for place, entry in enumerate(_list(body)))
    return Index(entries=tuple(entry for entry in entries if entry is not None), body=body)


def _list(body: dict[str, Any]) -> list[Any]:
    value = body["manifests"]
    # Go writes an empty list that was never filled as null.
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("manifests is not a list")
    return value


def _entry(where: str, entry: Any) -> Entry | None:
    """Read one entry; None for one that is no image (image-layout.md: any media type may be listed)."""
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


def _written(tag: str, descriptor: Descriptor) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.artifact_type:
        entry["artifactType"] = descriptor.artifact_type
    return {**entry, "annotations": {REF_NAME: tag}}


def _same(entry: dict[str, Any], new: dict[str, Any]) -> bool:
    return all(entry.get(key) == new[key] for key in ("mediaType", "digest", "size"))


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value
