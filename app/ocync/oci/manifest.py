"""
Manifests as frozen values that keep the exact bytes.

A manifest is pushed as it was fetched, except with `platforms`, which changes the digest.
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
"""Most bytes of a manifest that are read; registries accept 4 MiB."""
MAX_CHILDREN = 2000
"""Most manifests in an index or a list of referrers."""
MAX_BLOBS = 2000
"""Most blobs in a manifest, including its config; file systems support 127 layers."""
MAX_VALUES = 200_000
"""Most commas and opening brackets in a manifest: small values take a hundred times their text in memory."""
MAX_PLATFORM = 128
"""Most characters of an `os`, `architecture` or `variant`."""
REFERENCE_DIGEST = "vnd.docker.reference.digest"
"""The annotation of an index entry that names the entry it describes (BuildKit, docs/attestations)."""
# The annotations that are read; the second says what a Sigstore bundle attests.
_KEPT = (REFERENCE_DIGEST, "dev.sigstore.bundle.predicateType")
# Characters of these that are kept: more than any value that they are compared with.
_MAX_ANNOTATION = 255
# Platforms that an error names, and characters of each.
_SHOWN, _SHOWN_LENGTH = 12, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """
    A content descriptor (image-spec descriptor.md), with the fields and annotations that are used.
    """

    media_type: str
    digest: Digest
    size: int
    artifact_type: str = ""
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    is_foreign: bool = False
    """Whether it is a layer that is fetched from its `urls` and not stored in registries."""

    def annotation(self, key: str) -> str | None:
        """Return the value of a kept annotation, None if there is none."""
        return dict(self.annotations).get(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    A manifest or an index, with the bytes it was read from.

    `blobs` are the config and layers of a manifest (the blobs of one of media.ARTIFACTS), each digest once and in
    order, and foreign only if no entry lists it otherwise. `children` are the manifests of an index.
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
        """The bytes of the manifest itself."""
        return len(self.raw)

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests instead of blobs."""
        return self.media_type in media.INDEXES

    @property
    def config(self) -> Digest | None:
        """The digest of an image's config; None for anything else."""
        return self.blobs[0].digest if self.media_type in media.MANIFESTS and self.blobs else None

    @property
    def copied_children(self) -> tuple[Descriptor, ...]:
        """The children that are copied as manifests, each digest once."""
        listed = {child.digest: child for child in self.children if media.is_manifest_like(child.media_type)}
        return tuple(listed.values())

    @property
    def copied_blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that a repository needs before the manifest, each digest once, without foreign ones."""
        others = [child for child in self.children if not media.is_manifest_like(child.media_type)]
        listed = {blob.digest: blob for blob in (*others, *self.blobs) if not blob.is_foreign}
        return tuple(listed.values())

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor that points at this manifest."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)


class Schema1Error(ValueError):
    """The document is a Docker schema 1 manifest, which contains its signatures."""


def parse(raw: bytes, *, content_type: str | None, digest: Digest, where: str, host: str = "") -> Manifest:
    """Return a manifest as `read` does; raises ProtocolError, which names the image `where`, for unusable ones."""
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
    # Not chained: the errors of `read` hold the whole document.
    del raw
    raise failure


def read(raw: bytes, *, content_type: str | None, digest: Digest) -> Manifest:
    """
    Return the manifest in a document whose digest has been verified.

    The body's `mediaType` precedes the Content-Type, which may be text/plain or application/json. If both are
    missing, the fields decide. Raises ValueError for documents that can't be copied or exceed the bounds of this
    module and of `media`.
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
                # Otherwise it would be copied as an image without platforms; null is Go's empty list.
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
    Return the index with only the entries of the wanted platforms and their attestations.

    It is the same object if nothing is left out. Raises ValueError if no entry matches.
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
        # BuildKit stores attestations as entries unknown/unknown that name the entry they describe.
        if position in selected or child.annotation(REFERENCE_DIGEST) in named
    ]
    if len(kept) == len(index.children):
        return index
    body = _load(index.raw)
    body["manifests"] = [body["manifests"][position] for position in kept]
    # ASCII, because lone surrogates in annotations have no UTF-8.
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
    Return JSON that all parsers understand alike; raises ValueError for anything else.

    Stricter than `json.loads`: UTF-8 only, no duplicate keys, no NaN, no huge numbers, at most MAX_VALUES values.
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
    # Not chained: the errors of decoders hold the whole document.
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
    """Return whether parsers may take the document for different kinds (CVE-2021-41190, as containerd)."""
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
    """Return the descriptor of a layer, the only kind that may be foreign (image-spec layer.md)."""
    layer = _descriptor(entry)
    return replace(layer, is_foreign=True) if media.is_foreign(layer.media_type) else layer


def _platform(entry: Any) -> Platform | None:
    if not isinstance(entry, dict):
        return None
    system, architecture, variant = (_text(entry, key, MAX_PLATFORM) for key in ("os", "architecture", "variant"))
    return Platform(system, architecture, variant)


def _text(body: dict[str, Any], key: str, most: int) -> str:
    """Return a string field, empty if missing; raises ValueError for more than `most` characters."""
    value = body.get(key)
    if not isinstance(value, str):
        return ""
    if len(value) > most:
        raise ValueError(f"{key} has {len(value)} characters, more than {most}")
    return value


def _list(body: dict[str, Any], key: str, most: int) -> list[Any]:
    """Return a list field, empty for null; raises ValueError for more than `most` entries."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{key} is not a list")
    if len(value) > most:
        raise ValueError(f"{key} lists {len(value)} entries, more than {most}")
    return value


def _once(descriptors: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Return one descriptor of each digest, preferring those that are not foreign; layers may repeat."""
    unique: dict[Digest, Descriptor] = {}
    for descriptor in descriptors:
        known = unique.get(descriptor.digest)
        if known is None or (known.is_foreign and not descriptor.is_foreign):
            unique[descriptor.digest] = descriptor
    return tuple(unique.values())
