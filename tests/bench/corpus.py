"""
What the source holds: images, artifacts and signatures with real digests; equal shapes give equal bytes.

Layers are incompressible and of log-normal sizes; repositories of a family share their base layers, versions of a
repository their dependencies. Half of the tags are multi-arch, a third are signed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.holdings import copy_of
from bench.maker import Maker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bench.holdings import Manifest, Repositories

FAMILIES = ("static", "python", "jdk", "node", "go", "nginx", "postgres", "dotnet")
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")
LATEST = 10
"""How many of the newest tags are wanted of the repository with many."""
_MIB = 1 << 20
# So much larger base layers are than others: it makes sharing between repositories save some 40 % of the bytes.
_BASES = 2.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large the corpus is."""

    repositories: int
    tags: int
    size: int
    """MiB of all layers, each counted once."""
    big: int
    """MiB of the one big layer."""
    many: int
    """Tags of the repository of which only the newest are wanted."""
    growth: int
    """Repositories of twenty tags each; the larger state has ten times as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An image to be made: the labels of its layers by platform, base first."""

    repository: str
    tag: str
    layers: dict[str, tuple[str, ...]]
    signed: bool


def ordinary(folder: Path, shape: Shape) -> dict[str, Repositories]:
    """
    Make the source of a usual mirror in three states, whose blobs are files of the folder.

    `cold` is the first; in `moved`, 5 % of the tags point at new images that share all but the last layers; in
    `signed`, images of another 10 % have got signatures and SBOMs.
    """
    rng = random.Random("ordinary")
    images = _images(rng, shape)
    sizes = _sizes(rng, images, shape.size * _MIB)
    maker = Maker(folder)
    for image in images:
        _make(maker, image, sizes)
    states = {"cold": copy_of(maker.repositories)}
    for number, image in enumerate(rng.sample(images, max(1, len(images) // 20))):
        moved = {
            platform: (*labels[:-1], f"moved/{number}/{platform}") for platform, labels in image.layers.items()
        }
        sizes |= {labels[-1]: sizes[image.layers[platform][-1]] for platform, labels in moved.items()}
        new = _Image(repository=image.repository, tag=image.tag, layers=moved, signed=image.signed)
        images[images.index(image)] = new
        _make(maker, new, sizes)
    states["moved"] = copy_of(maker.repositories)
    bare = [image for image in images if not image.signed]
    for image in rng.sample(bare, max(1, len(images) // 10)):
        maker.sign(image.repository, _manifest(maker.repositories, image))
    states["signed"] = maker.repositories
    return states


def _manifest(repositories: Repositories, image: _Image) -> Manifest:
    repository = repositories[image.repository]
    return repository.manifests[repository.tags[image.tag]]


def _images(rng: random.Random, shape: Shape) -> list[_Image]:
    families = FAMILIES[: max(1, shape.repositories // 5)]
    names = [f"{families[n % len(families)]}/service-{n:02d}" for n in range(shape.repositories)]
    popular = [rng.lognormvariate(0, 0.6) for _ in names]
    versions = [1] * len(names)
    for chosen in rng.choices(range(len(names)), popular, k=max(0, shape.tags - len(names))):
        versions[chosen] += 1
    bases = {family: rng.randint(2, 4) for family in FAMILIES}
    images: list[_Image] = []
    for name, count in zip(names, versions, strict=True):
        family = name.partition("/")[0]
        for version in range(count):
            number = len(images)
            platforms = PLATFORMS[: rng.choice((2, 2, 3, 4)) if number % 2 else 1]
            layers = {
                platform: _layers(rng, family, bases[family], name, version, platform) for platform in platforms
            }
            images.append(_Image(repository=name, tag=f"1.{version}.0", layers=layers, signed=number % 3 == 0))
    return images


def _layers(rng: random.Random, family: str, bases: int, name: str, version: int, platform: str) -> tuple[str, ...]:
    base = [f"base/{family}/{platform}/{n}" for n in range(bases)]
    dependencies = [f"dependencies/{name}/{platform}/{version // 2}/{n}" for n in range(rng.randint(1, 2))]
    code = [f"code/{name}/{platform}/{version}/{n}" for n in range(rng.randint(1, 3))]
    return (*base, *dependencies, *code)


def _sizes(rng: random.Random, images: Iterable[_Image], total: int) -> dict[str, int]:
    labels = dict.fromkeys(label for image in images for layers in image.layers.values() for label in layers)
    drawn = {
        label: rng.lognormvariate(0, 1.2) * _BASES if label.startswith("base/") else rng.lognormvariate(-0.5, 1.4)
        for label in labels
    }
    scale = total / sum(drawn.values())
    return {label: max(256, int(size * scale)) for label, size in drawn.items()}


def _make(maker: Maker, image: _Image, sizes: dict[str, int]) -> None:
    made = {
        platform: maker.image(
            image.repository,
            [maker.layer(image.repository, label, sizes[label]) for label in labels],
            platform=platform,
            note=f"{image.repository}:{labels[-1]}",
        )
        for platform, labels in image.layers.items()
    }
    if len(made) > 1:
        root = maker.index(image.repository, made, image.tag)
    else:
        (root,) = made.values()
        maker.repositories[image.repository].add(root, image.tag)
    if image.signed:
        maker.sign(image.repository, root)


def many(folder: Path, shape: Shape) -> tuple[Repositories, Repositories]:
    """Make one repository with many versions; returns it, and it with only the newest of them as tags."""
    maker = Maker(folder)
    name = "many/versions"
    shared = maker.layer(name, "many/base", 4 * _MIB)
    for number in range(shape.many):
        tag = f"1.{number // 10}.{number % 10}"
        own = maker.layer(name, f"many/{number}", 20_000)
        maker.image(name, [shared, own], platform=PLATFORMS[0], note=tag, tag=tag)
    wanted = copy_of(maker.repositories)
    wanted[name].tags = dict(list(wanted[name].tags.items())[-LATEST:])
    return maker.repositories, wanted


def big(folder: Path, shape: Shape) -> Repositories:
    """Make one image with one big layer."""
    maker = Maker(folder)
    layer = maker.layer("big/layer", "big", shape.big * _MIB)
    maker.image("big/layer", [layer], platform=PLATFORMS[0], note="big", tag="1.0.0")
    return maker.repositories


def growth(folder: Path, repositories: int) -> Repositories:
    """Make so many repositories of twenty small images each, all with one layer."""
    maker = Maker(folder)
    for number in range(repositories):
        name = f"growth/service-{number:03d}"
        layer = maker.layer(name, "growth", 4096)
        for tag in range(20):
            maker.image(name, [layer], platform=PLATFORMS[0], note=name, tag=f"1.{tag}.0", annotation=str(tag))
    return maker.repositories
