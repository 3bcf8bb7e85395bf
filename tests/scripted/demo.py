"""A small corpus like Chainguard's public one: images of several platforms that share layers, a few MiB in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripted import build

if TYPE_CHECKING:
    from scripted.registry import ScriptedRegistry

PLATFORMS = ("linux/amd64", "linux/arm64")

# Repository: the tags of each image, the oldest first.
IMAGES: dict[str, list[tuple[str, ...]]] = {
    "chainguard/static": [("20240101",), ("latest",), ("latest-dev",)],
    "chainguard/python": [
        ("3.11", "3.11.11"),
        ("3.12", "3.12.8"),
        ("3.12-dev", "3.12.8-dev"),
        ("latest", "3.13", "3.13.1", "3"),
        ("latest-dev", "3.13-dev", "3.13.1-dev"),
    ],
    "chainguard/nginx": [("1.26",), ("latest", "1.27", "1.27.3"), ("latest-dev", "1.27-dev")],
}


def seed(registry: ScriptedRegistry) -> None:
    """Put the corpus into a registry."""
    base = {platform: build.layer(160_000, seed=number) for number, platform in enumerate(PLATFORMS, 1)}
    tools = {platform: build.layer(400_000, seed=number) for number, platform in enumerate(PLATFORMS, 11)}
    number = 1000
    for repository, images in IMAGES.items():
        for tags in images:
            children = []
            for platform in PLATFORMS:
                number += 1
                layers = [base[platform], build.layer(80_000, seed=number)]
                if any(tag.endswith("-dev") for tag in tags):
                    layers.insert(1, tools[platform])
                children.append(build.image(layers, platform=platform, label=repository))
            image = build.index(children)
            for tag in tags:
                registry.seed(repository, tag, image)
            if "latest" in tags:
                _sign(registry, repository, image, children)


def _sign(registry: ScriptedRegistry, repository: str, image: build.Image, children: list[build.Image]) -> None:
    """Attach what Chainguard's images have: by reference, and by cosign's older tags."""
    signature = build.artifact(
        "application/vnd.dev.sigstore.bundle.v0.3+json", [b'{"of": "the index"}'], subject=image
    )
    sboms = [
        build.artifact("application/spdx+json", [f'{{"of": "{child.digest}"}}'.encode()], subject=child)
        for child in children
    ]
    for artifact in (signature, *sboms):
        registry.seed(repository, None, artifact)
    registry.seed(repository, build.cosign_tag(image.digest), build.cosign_signature(image))
