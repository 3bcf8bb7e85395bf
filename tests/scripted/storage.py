"""What a registry holds: repositories with blobs, manifests and tags, and whether tags are complete."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scripted import media
from scripted.content import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripted.content import Content


@dataclass(frozen=True)
class StoredManifest:
    """A manifest's bytes and the type they were pushed with."""

    raw: bytes = field(repr=False)
    media_type: str
    digest: str

    @classmethod
    def of(cls, raw: bytes, media_type: str, algorithm: str = "sha256") -> StoredManifest:
        """Make one whose digest is right."""
        return cls(raw, media_type, digest_of(raw, algorithm))

    @cached_property
    def body(self) -> dict[str, Any]:
        """The document; empty where it is none."""
        try:
            body = json.loads(self.raw)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def blobs(self) -> list[dict[str, Any]]:
        """The descriptors of config and layers that a registry must hold."""
        return [*self.config, *self.layers]

    @property
    def config(self) -> list[dict[str, Any]]:
        """The descriptor of the config, if there is one."""
        return _held([self.body.get("config")])

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The descriptors of the layers, without foreign ones; of an old artifact, of all that it consists of."""
        return _held(self.body.get("blobs" if self.media_type == media.OCI_ARTIFACT else "layers") or [])

    @property
    def children(self) -> list[dict[str, Any]]:
        """The descriptors of an index."""
        return [entry for entry in self.body.get("manifests") or [] if isinstance(entry, dict)]

    @property
    def subject(self) -> str | None:
        """The digest of what it is attached to."""
        subject = self.body.get("subject")
        return subject.get("digest") if isinstance(subject, dict) else None

    @property
    def artifact_type(self) -> str | None:
        """`artifactType`, else the type of the config (distribution-spec 1.1, "Listing Referrers")."""
        config = self.body.get("config")
        return self.body.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)


def _held(entries: list[Any]) -> list[dict[str, Any]]:
    return [entry for entry in entries if isinstance(entry, dict) and not media.is_foreign(entry)]


@dataclass(slots=True)
class Repository:
    """One repository. Change the dictionaries freely: nothing is derived from them beforehand."""

    name: str
    blobs: dict[str, Content] = field(default_factory=dict)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    """Tag to digest."""

    def find(self, reference: str) -> StoredManifest | None:
        """Return the manifest of a tag or digest."""
        return self.manifests.get(reference if ":" in reference else self.tags.get(reference, ""))

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes."""
        content = self.blobs[digest]
        return b"".join(bytes(piece) for piece in content.pieces(0, content.size))

    def missing_of(self, manifest: StoredManifest) -> list[str]:
        """Return the digests that a manifest itself refers to and that are not here."""
        return self.missing_blobs(manifest.blobs) + self.missing_children(manifest)

    def missing_blobs(self, entries: list[dict[str, Any]]) -> list[str]:
        """Return the digests of these blobs that are not here."""
        return [str(entry.get("digest")) for entry in entries if entry.get("digest") not in self.blobs]

    def missing_children(self, manifest: StoredManifest) -> list[str]:
        """Return the digests that an index lists and that are not here: manifests as manifests, others as blobs."""
        return [
            str(entry.get("digest"))
            for entry in manifest.children
            if entry.get("digest") not in self.manifests
            and (media.is_manifest(entry) or entry.get("digest") not in self.blobs)
        ]

    def tree(self, digest: str) -> Iterator[StoredManifest]:
        """Give a manifest and all manifests below it that are here, each once."""
        seen: set[str] = set()
        waiting = [digest]
        while waiting:
            current = waiting.pop()
            manifest = self.manifests.get(current)
            if manifest is None or current in seen:
                continue
            seen.add(current)
            yield manifest
            waiting += [str(entry.get("digest")) for entry in manifest.children]

    def missing_below(self, digest: str) -> list[str]:
        """Return every digest that something under this one refers to and that is not here."""
        if digest not in self.manifests:
            return [digest]
        return sorted({gone for manifest in self.tree(digest) for gone in self.missing_of(manifest)})

    def content_of(self, reference: str) -> dict[str, bytes | int]:
        """
        Return all there is under a tag or digest: manifests as bytes, blobs as their sizes.

        Blobs are held under their verified digest, so two equal results mean byte-equal images.
        """
        root = self.find(reference)
        if root is None:
            return {}
        found: dict[str, bytes | int] = {}
        for manifest in self.tree(root.digest):
            found[manifest.digest] = manifest.raw
            for entry in manifest.blobs:
                if entry["digest"] in self.blobs:
                    found[entry["digest"]] = self.blobs[entry["digest"]].size
        return found

    def referrers_of(self, digest: str) -> list[StoredManifest]:
        """Return the manifests that have this digest as their subject."""
        return [manifest for manifest in self.manifests.values() if manifest.subject == digest]
