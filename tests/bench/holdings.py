"""What a registry of the benchmark holds: manifests and tags in memory; the blobs are files beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def digest_of(data: bytes) -> str:
    """Return `sha256:hex`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest's bytes, and what a registry must know of them."""

    raw: bytes = field(repr=False)
    media_type: str
    digest: str
    blobs: tuple[str, ...]
    """Digests of config and layers."""
    children: tuple[str, ...]
    """Digests of the manifests that an index lists."""
    subject: str | None
    artifact_type: str | None

    @classmethod
    def parse(cls, raw: bytes, media_type: str) -> Manifest:
        """Read a manifest; raises ValueError where it is no JSON object."""
        body = json.loads(raw)
        if not isinstance(body, dict):
            raise ValueError("a manifest is an object")
        config = body.get("config") or {}
        listed = [*body.get("layers", ()), *([config] if config else [])]
        return cls(
            raw=raw,
            media_type=media_type,
            digest=digest_of(raw),
            blobs=tuple(entry["digest"] for entry in listed),
            children=tuple(entry["digest"] for entry in body.get("manifests", ())),
            subject=(body.get("subject") or {}).get("digest"),
            artifact_type=body.get("artifactType") or config.get("mediaType"),
        )

    @property
    def descriptor(self) -> dict[str, Any]:
        """Its descriptor, as an index lists it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.raw)}

    @property
    def listing(self) -> dict[str, Any]:
        """Its descriptor, as the referrers API lists it (distribution-spec 1.1, "Listing Referrers")."""
        annotations = json.loads(self.raw).get("annotations")
        return {
            **self.descriptor,
            **({"artifactType": self.artifact_type} if self.artifact_type else {}),
            **({"annotations": annotations} if annotations else {}),
        }


@dataclass(slots=True)
class Repository:
    """One repository: it sees only the blobs that were pushed to it or mounted into it."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    """Tag to digest."""
    blobs: set[str] = field(default_factory=set)
    referrers: dict[str, dict[str, Manifest]] = field(default_factory=dict)
    """Digest of a subject to the manifests that are attached to it, by digest."""

    def copy(self) -> Repository:
        """Return one that changes on its own."""
        attached = {subject: dict(listed) for subject, listed in self.referrers.items()}
        return Repository(dict(self.manifests), dict(self.tags), set(self.blobs), attached)

    def add(self, manifest: Manifest, tag: str | None = None) -> None:
        """Hold a manifest, and let a tag point at it."""
        self.manifests[manifest.digest] = manifest
        if manifest.subject is not None:
            self.referrers.setdefault(manifest.subject, {})[manifest.digest] = manifest
        if tag is not None:
            self.tags[tag] = manifest.digest

    def find(self, reference: str) -> Manifest | None:
        """Return the manifest of a tag or digest."""
        return self.manifests.get(reference if ":" in reference else self.tags.get(reference, ""))

    def missing(self, manifest: Manifest) -> list[str]:
        """Return what the manifest itself refers to and what is not here."""
        gone = [digest for digest in manifest.blobs if digest not in self.blobs]
        return gone + [digest for digest in manifest.children if digest not in self.manifests]

    def below(self, digest: str) -> Iterator[str]:
        """Give a digest and those of all manifests below it, whether they are here or not."""
        yield digest
        manifest = self.manifests.get(digest)
        for child in manifest.children if manifest else ():
            yield from self.below(child)

    def is_whole(self, digest: str) -> bool:
        """Tell whether a manifest and everything below it are here."""
        found = [self.manifests.get(below) for below in self.below(digest)]
        return all(manifest is not None and not self.missing(manifest) for manifest in found)


Repositories = dict[str, Repository]
"""By name."""


def copy_of(repositories: Repositories) -> Repositories:
    """Return repositories that change on their own."""
    return {name: repository.copy() for name, repository in repositories.items()}
