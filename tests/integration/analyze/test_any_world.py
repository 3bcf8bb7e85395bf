"""Forecasts of small worlds put together by chance: in whatever order, a pass keeps within their bounds."""

from __future__ import annotations

import os
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clients import Side
from forecasts import analyzed, misses, passed
from ocync.config.model import TagRules
from ocync.oci.platform import Platform
from scripted import ScriptedRegistry, build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.config.model import MappingConfig
    from scripted.build import Image

IDLE = 20.0
"""Seconds: a busy machine must not make a request that is counted time out and be made again."""
SEEDS = range(int(os.environ.get("OCYNC_TEST_WORLDS", "40")))
"""The variable makes it more of them, for an hour to spare."""


class Chance:
    """Images, repositories and mappings by chance; equal seeds give equal worlds."""

    def __init__(self, seed: int, sources: Sequence[ScriptedRegistry], targets: Sequence[ScriptedRegistry]) -> None:
        self.random = random.Random(seed)
        self.sources, self.targets = sources, targets[: self.random.randint(1, len(targets))]
        self.layers = [build.layer(self.random.randint(50, 400), number) for number in range(6)]
        self.singles = [self.single() for _ in range(4)]
        self.images = [*self.singles, *(self.index() for _ in range(4))]

    def happens(self, share: float) -> bool:
        return self.random.random() < share

    def single(self, platform: str = "linux/amd64") -> Image:
        layers = self.random.sample(self.layers, self.random.randint(0, 3))
        return build.image(layers, platform=platform, label=str(self.random.randint(0, 2)))

    def index(self) -> Image:
        children = [
            self.single(f"linux/p{number}") if self.happens(0.6) else self.random.choice(self.singles)
            for number in range(self.random.randint(0, 3))
        ]
        made = build.index(children)
        return build.index([made, self.single()]) if self.happens(0.25) else made

    def mappings(self) -> list[MappingConfig]:
        """Fill the sources, and some of the targets, with what mappings then bring from the one to the other."""
        made: list[MappingConfig] = []
        for number in range(self.random.randint(1, 4)):
            mapping = self.mapping(f"team/app{number}", prefix=f"{number}-")
            made.append(mapping)
            if self.happens(0.1):
                made.append(replace(mapping, tags=TagRules(glob=(f"{number}-v1*", f"{number}-v2*"))))
        return made

    def mapping(self, repository: str, *, prefix: str) -> MappingConfig:
        source = self.sources[0 if self.happens(0.7) else -1]
        at_targets = self.random.sample(self.targets, self.random.randint(1, len(self.targets)))
        mapping = Side().mapping(source.url, *(target.url for target in at_targets), repository=repository)
        if source in at_targets:
            mapping = replace(mapping, targets=tuple((each, f"mirror/{path}") for each, path in mapping.targets))
        if self.happens(0.3):
            mapping = replace(mapping, targets=tuple((each, "all/apps") for each, _ in mapping.targets))
        if self.happens(0.1):
            mapping = replace(mapping, platforms=(Platform("linux", "amd64", ""), Platform("linux", "p0", "")))
        for number in range(self.random.randint(1, 4)):
            tag, image = (
                f"{prefix}v{number}",
                self.random.choice(self.singles if mapping.platforms else self.images),
            )
            source.seed(repository, tag, image)
            if self.happens(0.2):
                source.seed(repository, build.cosign_tag(image.digest), build.cosign_signature(image))
            for target, (_, path) in zip(at_targets, mapping.targets, strict=True):
                if self.happens(0.25):
                    target.seed(path, tag, image if self.happens(0.5) else self.random.choice(self.images))
        return mapping


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_pass_keeps_within_the_bounds_of_its_forecast(seed: int) -> None:
    async with AsyncExitStack() as stack:
        registries = [await stack.enter_async_context(ScriptedRegistry()) for _ in range(4)]
        # The last one is both a source and a target.
        chance = Chance(seed, sources=(registries[0], registries[3]), targets=registries[1:])
        work = chance.mappings()
        for number, registry in enumerate(registries):
            registry.behaviour.single_post = (seed + number) % 2 == 0
        async with Side(idle=IDLE) as side:
            analysis = await analyzed(side, work)
        for registry in registries:
            registry.requests.clear()

        async with Side(idle=IDLE) as side:
            results = await passed(side, work, at_once=chance.random.choice([1, 3, 10]))

        assert misses(analysis, registries, results) == []
