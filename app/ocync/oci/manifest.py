"""
Manifests: bytes in, frozen values out, the exact bytes kept.

A mirror never writes a manifest anew (but for `platforms`, which says that it changes the digest): what is
pushed is what was fetched.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ocync.lib.errors import ProtocolError
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SIZE = 8 * 1024 * 1024
"""Bytes of a manifest that are read at most; registries take 4 MiB (registries.md 1.3)."""
MAX_CHILDREN = 2000
"""Manifests that an index, or a list of referrers, may list."""
MAX_BLOBS = 2000
"""Blobs that a manifest may list, its config included; file systems take 127 layers."""
MAX_VALUES = 200_000
"""Commas and opening brackets in a manifest: small values take a hundred times their text in memory."""
MAX_PLATFORM = 128
"""Characters of an `os`, `architecture` or `variant`."""
REFERENCE_DIGEST = "vnd.docker.reference.digest"
"""The annotation of an index entry that names the entry which it speaks of (BuildKit, docs/attestations)."""
# All that is read of an entry's annotations; the second tells what a bundle of sigstore's attests.
_KEPT = (REFERENCE_DIGEST, "dev.sigstore.bundle.predicateType")
# Characters of these that are kept, more than a digest has: what is cut equals nothing that is looked for.
_MAX_ANNOTATION = 255
# Platforms that an error names, and characters of each.
_SHOWN, _SHOWN_LENGTH = 12, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """
    A content descriptor (image-spec descriptor.md), with the fields and annotations that are read anywhere.

    All others are left to the bytes they stand in.
    """

    media_type: str
    digest: Digest
    size: int
    artifact_type: str = ""
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    is_foreign: bool = False
    """Whether it is a layer that registries are not expected to hold, as it is fetched from its `urls`."""

    def annotation(self, key: str) -> str | None:
        """Return the value of one of the annotations that are kept, None where there is none."""
        return dict(self.annotations).get(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    A manifest or an index, with the bytes it was read from.

    For a manifest `blobs` are its config and layers (for one of media.ARTIFACTS, what it has for them), each digest
    once and in order, foreign only where nothing lists it otherwise; for an index `children` are its manifests.
    `subject` is what it is attached to, if anything.
    """

    raw: bytes = field(repr=False)
    media_type: str
    digest: Digest
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    artifact_type: str = ""
    subject: Descriptor | None = None

    @property
    def size(self) -> int:
        """Bytes of the manifest itself."""
        return len(self.raw)

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests and not blobs."""
        return self.media_type in media.INDEXES

    @property
    def config(self) -> Digest | None:
        """The digest of an image's config; None for anything else."""
        return self.blobs[0].digest if self.media_type in media.MANIFESTS and self.blobs else None

    @property
    def copied_children(self) -> tuple[Descriptor, ...]:
        """The manifests that an index lists, each digest once: a mirror copies them as manifests."""
        listed = {child.digest: child for child in self.children if media.is_manifest_like(child.media_type)}
        return tuple(listed.values())

    @property
    def copied_blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that have to be where the manifest is put, each digest once: all but foreign ones."""
        others = [child for child in self.children if not media.is_manifest_like(child.media_type)]
        listed = {blob.digest: blob for blob in (*others, *self.blobs) if not blob.is_foreign}
        return tuple(listed.values())

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor that points at this manifest."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)


class Schema1Error(ValueError):
    """It is a Docker schema 1 manifest, whose signatures stand inside of it."""


def parse(raw: bytes, *, content_type: str | None, digest: Digest, where: str, host: str = "") -> Manifest:
    """Read a manifest as `read` does; raises ProtocolError for what can't be mirrored, with what it is `where`."""
    try:
        return read(raw, content_type=content_type, digest=digest)
    except Schema1Error as error:
        failure = ProtocolError(
            f"{where} is {error}",
            host=host,
            hint="schema 1 can't be mirrored by digest: have the image pushed anew by a current client",
        )
    except ValueError as error:
        failure = ProtocolError(f"the manifest of {where} can't be read: {error}", host=host)
    # Not chained: what `read` raises keeps the document for as long as somebody keeps the error.
    del raw
    raise failure


def read(raw: bytes, *, content_type: str | None, digest: Digest) -> Manifest:
    """
    Read a document whose digest has been verified.

    The body's `mediaType` wins over the Content-Type (text/plain and application/json are seen in the wild); where
    it has none the header counts, then the shape. Raises ValueError, which tells why, for what can't be mirrored,
    and for what lists more, or names it longer, than the bounds of this module and of `media` allow.
    """
    body = _load(raw)
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    media_type = _media_type(body, media.essence(content_type))
    if media_type in media.SCHEMA1 or (body.get("schemaVersion") == 1 and "fsLayers" in body):
        raise Schema1Error("a Docker schema 1 manifest")
    if media_type not in media.MANIFESTS | media.INDEXES | media.ARTIFACTS:
        raise ValueError(f"unknown media type {media_type!r:.120}")
    if _is_ambiguous(body, media_type):
        raise ValueError("it is two kinds of manifest at once")
    try:
        subject = _descriptor(body["subject"]) if body.get("subject") is not None else None
        if media_type in media.INDEXES:
            if "manifests" not in body:
                # An image without platforms would be mirrored as that; null is what Go's tools write for none.
                raise KeyError("manifests")
            children = tuple(_descriptor(entry) for entry in _list(body, "manifests", MAX_CHILDREN))
            blobs: tuple[Descriptor, ...] = ()
        elif media_type in media.ARTIFACTS:
            children, blobs = (), _once(map(_layer, _list(body, "blobs", MAX_BLOBS)))
        else:
            layers = map(_layer, _list(body, "layers", MAX_BLOBS - 1))
            children, blobs = (), _once((_descriptor(body["config"]), *layers))
    except KeyError as error:
        raise ValueError(f"field {error} is missing") from error
    except TypeError as error:
        raise ValueError(str(error)) from error
    return Manifest(
        raw=raw,
        media_type=media_type,
        digest=digest,
        blobs=blobs,
        children=children,
        artifact_type=_text(body, "artifactType", media.MAX_TYPE),
        subject=subject,
    )


def select_platforms(index: Manifest, wanted: tuple[Platform, ...]) -> Manifest:
    """
    Return the index with only the entries of the wanted platforms, and what is attached to those.

    The same index comes back when nothing is left out. Raises ValueError when no entry matches.
    """
    selected = {
        position
        for position, child in enumerate(index.children)
        if child.platform is not None and any(platform.selects(child.platform) for platform in wanted)
    }
    if not selected:
        present = sorted({str(child.platform) for child in index.children if child.platform})
        shown = ", ".join(ascii(platform)[1:-1][:_SHOWN_LENGTH] for platform in present[:_SHOWN])
        more = f" and {len(present) - _SHOWN} more" if len(present) > _SHOWN else ""
        raise ValueError(
            f"no entry for {', '.join(map(str, wanted))}; the index has {shown or 'no platforms'}{more}"
        )
    named = {str(index.children[position].digest) for position in selected}
    kept = [
        position
        for position, child in enumerate(index.children)
        # BuildKit keeps attestations as entries unknown/unknown which name the entry that they speak of.
        if position in selected or child.annotation(REFERENCE_DIGEST) in named
    ]
    if len(kept) == len(index.children):
        return index
    body = _load(index.raw)
    body["manifests"] = [body["manifests"][position] for position in kept]
    # ASCII, because a lone surrogate in an annotation has no UTF-8.
    raw = json.dumps(body, indent=2).encode()
    return Manifest(
        raw=raw,
        media_type=index.media_type,
        digest=Digest.of(raw),
        children=tuple(index.children[position] for position in kept),
        artifact_type=index.artifact_type,
        subject=index.subject,
    )


def _load(raw: bytes) -> Any:
    """
    Read JSON that all readers understand alike; raises ValueError for anything else.

    Stricter than `json.loads`: UTF-8 only, no key twice, no NaN, no number beyond what others can hold, and not
    more than MAX_VALUES values.
    """
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        why = "not UTF-8"
    except json.JSONDecodeError as error:
        why = f"not JSON (line {error.lineno} column {error.colno})"
    except RecursionError:
        why = "nested too deeply"
    # Not chained: the errors of the decoders hold all of what they could not read.
    raise ValueError(why)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("a key stands twice in an object, and readers differ in which one they take")
    return body


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError("a number is too large")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _media_type(body: dict[str, Any], header: str) -> str:
    declared = body.get("mediaType")
    if isinstance(declared, str) and declared:
        return declared
    if header in media.MANIFESTS | media.INDEXES | media.ARTIFACTS | media.SCHEMA1:
        return header
    if isinstance(body.get("manifests"), list):
        return media.OCI_INDEX
    if "layers" in body and "config" in body:
        return media.OCI_MANIFEST
    return header


def _is_ambiguous(body: dict[str, Any], media_type: str) -> bool:
    """Return whether readers may differ in what the document is (CVE-2021-41190; containerd refuses the same)."""
    if media_type in media.INDEXES:
        return bool(body.get("config") or body.get("layers"))
    if media_type in media.ARTIFACTS:
        return bool(body.get("config") or body.get("layers") or body.get("manifests"))
    return bool(body.get("manifests"))


def _descriptor(entry: Any) -> Descriptor:
    if not isinstance(entry, dict):
        raise TypeError("a descriptor is not an object")
    size = entry["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise ValueError(f"a descriptor has the size {size!r:.40}")
    digest = entry["digest"]
    if not isinstance(digest, str):
        raise TypeError("a descriptor's digest is not a string")
    annotations = entry.get("annotations") or {}
    if not isinstance(entry.get("urls") or [], list) or not isinstance(annotations, dict):
        raise TypeError("a descriptor's urls or annotations have the wrong type")
    kept = ((key, annotations.get(key)) for key in _KEPT)
    return Descriptor(
        media_type=_text(entry, "mediaType", media.MAX_TYPE),
        digest=Digest.parse(digest),
        size=size,
        artifact_type=_text(entry, "artifactType", media.MAX_TYPE),
        platform=_platform(entry.get("platform")),
        annotations=tuple((key, value[:_MAX_ANNOTATION]) for key, value in kept if isinstance(value, str)),
    )


def _layer(entry: Any) -> Descriptor:
    """Read a descriptor that may be foreign by its type, as nothing but a layer may be (image-spec layer.md)."""
    layer = _descriptor(entry)
    return replace(layer, is_foreign=True) if media.is_foreign(layer.media_type) else layer


def _platform(entry: Any) -> Platform | None:
    if not isinstance(entry, dict):
        return None
    system, architecture, variant = (_text(entry, key, MAX_PLATFORM) for key in ("os", "architecture", "variant"))
    return Platform(system, architecture, variant)


def _text(body: dict[str, Any], key: str, most: int) -> str:
    """Return a text, empty where there is none; raises ValueError for one of more than `most` characters."""
    value = body.get(key)
    if not isinstance(value, str):
        return ""
    if len(value) > most:
        raise ValueError(f"{key} has {len(value)} characters, more than {most}")
    return value


def _list(body: dict[str, Any], key: str, most: int) -> list[Any]:
    """Return the entries of a field, none for null; raises ValueError for more than `most`."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{key} is not a list")
    if len(value) > most:
        raise ValueError(f"{key} lists {len(value)} entries, more than {most}")
    return value


def _once(descriptors: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Keep one of those with the same digest (layers repeat, a config may equal one), rather one not foreign."""
    unique: dict[Digest, Descriptor] = {}
    for descriptor in descriptors:
        known = unique.get(descriptor.digest)
        if known is None or (known.is_foreign and not descriptor.is_foreign):
            unique[descriptor.digest] = descriptor
    return tuple(unique.values())
