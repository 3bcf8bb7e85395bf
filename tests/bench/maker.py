"""Puts images and artifacts into repositories without a request: manifests in memory, blobs as files."""

from __future__ import annotations

import hashlib
import json
import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench.holdings import Manifest, Repository, digest_of
from scripted import media

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.holdings import Repositories

Descriptor = dict[str, Any]

SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
SBOM = "application/spdx+json"
ATTESTATION = "application/vnd.in-toto+json"
# cosign before there were referrers: tags named after digests (sigstore/cosign, specs/SIGNATURE_SPEC.md).
TAGGED = {
    "sig": "application/vnd.dev.cosign.simplesigning.v1+json",
    "att": "application/vnd.dsse.envelope.v1+json",
}
_BLOCK = 16 << 20


@lru_cache(maxsize=1)
def _block() -> bytes:
    return random.Random("block").randbytes(_BLOCK)


def _noise(label: str, size: int) -> Iterator[bytes]:
    """Give bytes that depend on label and size alone, and that no compression makes smaller."""
    head = hashlib.sha256(f"{label}/{size}".encode()).digest()
    start = int.from_bytes(head[:3], "big")
    block = memoryview(_block())
    yield head[:size]
    left = size - len(head)
    while left > 0:
        piece = block[start : start + left]
        yield bytes(piece)
        left -= len(piece)
        start = 0


class Maker:
    """Makes things in repositories; `folder` is where the registry has its blobs."""

    def __init__(self, folder: Path) -> None:
        self.repositories: Repositories = {}
        self._folder = folder
        self._layers: dict[str, Descriptor] = {}

    def layer(self, repository: str, label: str, size: int) -> Descriptor:
        """Put a layer into a repository; the same label means the same layer. Returns its descriptor."""
        if label not in self._layers:
            self._layers[label] = self._write(_noise(label, size), media.OCI_LAYER)
        made = self._layers[label]
        self._of(repository).blobs.add(made["digest"])
        return made

    def image(
        self,
        repository: str,
        layers: Sequence[Descriptor],
        *,
        platform: str,
        note: str,
        tag: str | None = None,
        annotation: str | None = None,
    ) -> Manifest:
        """Put an image of one platform there; other notes or annotations make other images."""
        system, architecture, *_ = platform.split("/")
        config = {
            "os": system,
            "architecture": architecture,
            "config": {"Labels": {"note": note, "text": "x" * 1200}},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        body: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": self._blob(repository, json.dumps(config).encode(), media.OCI_CONFIG),
            "layers": list(layers),
        }
        if annotation is not None:
            body["annotations"] = {"org.opencontainers.image.version": annotation}
        return self._put(repository, body, tag)

    def index(self, repository: str, images: Mapping[str, Manifest], tag: str) -> Manifest:
        """Put an index of images by platform there."""
        names = ("os", "architecture", "variant")
        listed = [
            {**image.descriptor, "platform": dict(zip(names, platform.split("/"), strict=False))}
            for platform, image in images.items()
        ]
        return self._put(repository, {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}, tag)

    def sign(self, repository: str, root: Manifest) -> None:
        """
        Attach what a supply chain attaches to an image.

        A signature, an SBOM, a signature of the SBOM, and an attestation to each child of an index, all as
        referrers; and cosign's older tags.
        """
        self._attach(repository, root, SIGNATURE, 400)
        sbom = self._attach(repository, root, SBOM, random.Random(root.digest).randint(20_000, 200_000))
        self._attach(repository, sbom, SIGNATURE, 400)
        for child in root.children:
            self._attach(repository, self._of(repository).manifests[child], ATTESTATION, 8_000)
        for suffix, kind in TAGGED.items():
            config = json.dumps({"of": root.digest, "kind": suffix}).encode()
            body = {
                "schemaVersion": 2,
                "mediaType": media.OCI_MANIFEST,
                "config": self._blob(repository, config, media.OCI_CONFIG),
                "layers": [self._noise(repository, f"{suffix}/{root.digest}", 600, kind)],
            }
            self._put(repository, body, f"{root.digest.replace(':', '-')}.{suffix}")

    def _attach(self, repository: str, subject: Manifest, kind: str, size: int) -> Manifest:
        body = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "artifactType": kind,
            "config": self._blob(repository, b"{}", media.OCI_EMPTY),
            "layers": [self._noise(repository, f"{kind}/{subject.digest}", size, kind)],
            "subject": subject.descriptor,
        }
        return self._put(repository, body, None)

    def _of(self, repository: str) -> Repository:
        return self.repositories.setdefault(repository, Repository())

    def _put(self, repository: str, body: dict[str, Any], tag: str | None) -> Manifest:
        manifest = Manifest.parse(json.dumps(body, separators=(",", ":")).encode(), body["mediaType"])
        self._of(repository).add(manifest, tag)
        return manifest

    def _blob(self, repository: str, data: bytes, media_type: str) -> Descriptor:
        file = self._folder / digest_of(data).partition(":")[2]
        if not file.exists():
            file.write_bytes(data)
        self._of(repository).blobs.add(digest_of(data))
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def _noise(self, repository: str, label: str, size: int, media_type: str) -> Descriptor:
        return self._blob(repository, b"".join(_noise(label, size)), media_type)

    def _write(self, pieces: Iterator[bytes], media_type: str) -> Descriptor:
        sha, size = hashlib.sha256(), 0
        file = self._folder / "being-made"
        with file.open("wb") as output:
            for piece in pieces:
                sha.update(piece)
                output.write(piece)
                size += len(piece)
        file.rename(self._folder / sha.hexdigest())
        return {"mediaType": media_type, "digest": f"sha256:{sha.hexdigest()}", "size": size}
