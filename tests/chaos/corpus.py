"""Images of all kinds by chance, and what each of them is when it is whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scripted import build, media

if TYPE_CHECKING:
    import random

    from scripted.build import Blob, Image

_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


class Corpus:
    """Makes images that share layers; equal chance gives equal images."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._layers = [build.layer(chance.choice([60, 900, 9_000, 90_000]), number) for number in range(7)]
        self._layers.append(build.empty_layer())
        self._layers.append(build.blob(b"", media.OCI_LAYER))
        self._made = 0

    def image(self) -> Image:
        """Make an image, an index, an index of indexes, or an artifact."""
        return self._chance.choice(
            [self._single, self._single, self._multi_arch, self._multi_arch, self._nested, self._artifact]
        )()

    def signature(self, image: Image) -> Image:
        """Make one more signature of an image, as it is found under its cosign tag."""
        return build.cosign_signature(image, text=f"signature {self._number()}")

    def attachment(self, subject: Image) -> Image:
        """Make an artifact that is attached to a manifest: a single one, or an index of some."""
        chance = self._chance
        kind = chance.choice(["application/spdx+json", "application/vnd.example.signature"])
        annotations = {"number": str(self._number())} if chance.random() < 0.5 else None
        contents = [b"attached %d" % self._number()]
        if chance.random() < 0.8:
            return build.artifact(kind, contents, subject=subject, annotations=annotations)
        children = [build.artifact(kind, contents), self._artifact()]
        return build.index(children, artifact_type=kind, subject=subject, annotations=annotations)

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _some_layers(self) -> list[Blob]:
        chance = self._chance
        layers = chance.sample(self._layers, chance.randint(0, 3))
        if chance.random() < 0.5:
            layers.append(build.layer(chance.choice([200, 20_000]), 100 + self._number()))
        if layers and chance.random() < 0.15:
            layers.append(layers[0])
        return layers

    def _single(self, platform: str = "linux/amd64") -> Image:
        chance = self._chance
        layers = self._some_layers()
        docker = chance.random() < 0.3
        if chance.random() < 0.1:
            layers.append(build.foreign_layer(docker=docker))
        return build.image(layers, platform=platform, docker=docker, label=str(self._number()))

    def _multi_arch(self) -> Image:
        children = [self._single(platform) for platform in _PLATFORMS[: self._chance.randint(1, 3)]]
        if self._chance.random() < 0.4:
            children += [build.attestation(child) for child in children]
        return build.index(children)

    def _nested(self) -> Image:
        return build.index([self._multi_arch(), self._single(), self._artifact()])

    def _artifact(self) -> Image:
        made = build.artifact("application/vnd.example.thing", [b"thing %d" % self._number(), b"{}"])
        return replace(made, platform=None)


def content_of(image: Image) -> dict[str, bytes | int]:
    """Return all that belongs to an image, in the form of `Repository.content_of`."""
    whole: dict[str, bytes | int] = {digest: content.size for digest, content in image.blobs.items()}
    return whole | {manifest.digest: manifest.raw for manifest in image.manifests}
