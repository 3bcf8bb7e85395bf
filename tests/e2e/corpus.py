"""What is at the source: few images, but of several platforms, with layers in common, and tags of equal digests."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from scripted import build

if TYPE_CHECKING:
    from scripted import ScriptedRegistry
    from scripted.build import Image

TAGS = {
    "chainguard/static": {"latest": 1, "latest-dev": 2, "1.0": 1},
    "chainguard/python": {"latest": 3, "3.12": 4, "3.13": 3},
}
"""Repositories, their tags, and which image a tag points at."""
COUNT = 6
"""How many tags there are."""
TO = {"chainguard/static": "myorg/static", "chainguard/python": "myorg/python"}
"""Where the configuration of the README puts them."""


@cache
def image(number: int) -> Image:
    """Return one of the images."""
    return build.multi_arch(
        seed=number, shared=[build.layer(60_000, seed=1)], size=20_000, attestations=number == 4
    )


def seed(registry: ScriptedRegistry) -> None:
    """Put everything into a registry."""
    for repository, tags in TAGS.items():
        for tag, number in tags.items():
            registry.seed(repository, tag, image(number))


def assert_mirrored(source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    """Check that every tag is at the target, with every byte below it, and nothing else."""
    expected = {TO[repository]: set(tags) for repository, tags in TAGS.items()}
    assert {name: set(repository.tags) for name, repository in target.repositories.items()} == expected
    for repository, tags in TAGS.items():
        for tag in tags:
            copied = target.content_of(TO[repository], tag)
            assert copied == source.content_of(repository, tag) != {}
    assert target.incomplete_tags() == []
