"""Forecasts of small worlds put together by chance: in whatever order, a pass keeps within their bounds."""

from __future__ import annotations

import os
import random
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from attached import attach, list_by_tag
from clients import Side
from forecasts import analyzed, misses, passed
from ocync.cache.store import CacheStore, StateLocation
from ocync.config.model import TagRules
from ocync.oci.platform import Platform
from ocync.transfer.staging import Staging
from scripted import ScriptedRegistry, build

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocync.config.model import MappingConfig
    from scripted.build import Image

IDLE = 20.0
"""Seconds: a busy machine must not make a request that is counted time out and be made again."""
SEEDS = range(int(os.environ.get("OCYNC_TEST_WORLDS", "5")))
"""The variable makes it more of them, for an hour to spare."""

NOW = time.time()
"""Of all passes of a world: which sample is looked at of what they remember depends on the time."""


class Chance:
    """Images, repositories and mappings by chance; equal seeds give equal worlds."""

    def __init__(self, seed: int, sources: Sequence[ScriptedRegistry], targets: Sequence[ScriptedRegistry]) -> None:
        self.random = random.Random(seed)
        self.sources, self.targets = sources, targets[: self.random.randint(1, len(targets))]
        self.remembers = False
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

    def attached(self, image: Image) -> list[tuple[str, Image]]:
        """Make artifacts of an image's manifests, and of some of these: what each belongs to, and the artifact."""
        made = []
        for number in range(len(image.manifests)):
            subject = replace(image, manifests=image.manifests[: number + 1])
            for _ in range(self.random.choice((0, 0, 1, 2))):
                kind = self.random.choice(("application/vnd.example.sbom", "application/vnd.example.signature"))
                refers = None if self.happens(0.1) else subject
                artifact = build.artifact(kind, [b"%d" % self.random.randint(0, 3)], subject=refers)
                made.append((subject.digest, artifact))
                if self.happens(0.3):
                    made.append((artifact.digest, build.artifact(kind, [b"nested"], subject=artifact)))
        return made

    def may_attach(self, mapping: MappingConfig) -> bool:
        """Tell whether artifacts may go there: memory keeps one set where several sources attach to a manifest."""
        return not self.remembers or all(to.path != "all/apps" for _, to in mapping.targets)

    def attach(self, registry: ScriptedRegistry, repository: str, what: Sequence[tuple[str, Image]]) -> None:
        for subject, artifact in what:
            attach(registry, repository, subject, artifact)
            if artifact.root.subject is None:
                list_by_tag(registry, repository, subject, artifact)

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
            mapping = replace(
                mapping,
                targets=tuple((each, each.repository(f"mirror/{repository}")) for each, _ in mapping.targets),
            )
        if self.happens(0.3):
            mapping = replace(
                mapping, targets=tuple((each, each.repository("all/apps")) for each, _ in mapping.targets)
            )
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
            attached = self.attached(image) if self.happens(0.5) and self.may_attach(mapping) else []
            self.attach(source, repository, attached)
            for target, (_, to) in zip(at_targets, mapping.targets, strict=True):
                if self.happens(0.25):
                    target.seed(to.path, tag, image if self.happens(0.5) else self.random.choice(self.images))
                    self.attach(target, to.path, [each for each in attached if self.happens(0.5)])
        return mapping


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_pass_keeps_within_the_bounds_of_its_forecast(seed: int, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        registries = [await stack.enter_async_context(ScriptedRegistry()) for _ in range(4)]
        # The last one is both a source and a target.
        for number, registry in enumerate(registries):
            registry.behaviour.referrers = (seed // 3 + number) % 3 != 0
        chance = Chance(seed, sources=(registries[0], registries[3]), targets=registries[1:])
        work, at_once = chance.mappings(), chance.random.choice([1, 3, 10])
        for number, registry in enumerate(registries):
            registry.behaviour.single_post = (seed + number) % 2 == 0
        async with Side(idle=IDLE) as side:
            analysis = await analyzed(side, work, at_once=at_once)
        for registry in registries:
            registry.requests.clear()

        async with Side(idle=IDLE, staging=Staging(tmp_path, None)) as side:
            results = await passed(side, work, at_once=at_once)

        assert misses(analysis, registries, results) == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_pass_that_remembers_keeps_within_the_bounds_of_its_forecast(seed: int, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        registries = [await stack.enter_async_context(ScriptedRegistry()) for _ in range(4)]
        for number, registry in enumerate(registries):
            registry.behaviour.referrers = (seed // 3 + number) % 4 != 0
            registry.behaviour.check_references = (seed // 5 + number) % 4 != 0
        chance = Chance(seed, sources=registries[:1], targets=registries[1:])
        chance.remembers = True
        work, at_once = chance.mappings(), chance.random.choice([1, 3, 10])
        async with (
            CacheStore(lambda: NOW).open(StateLocation(folder=tmp_path), ttl=3600) as memory,
            Side(idle=IDLE, memory=memory) as side,
        ):
            await passed(side, work[: chance.random.randint(1, len(work))])
        for mapping in work:
            repository = mapping.source_repository.path
            for tag in list(registries[0].repository(repository).tags):
                if "-v" in tag and chance.happens(0.4):
                    image = chance.random.choice(chance.singles if mapping.platforms else chance.images)
                    registries[0].seed(repository, tag, image)
                    if chance.may_attach(mapping):
                        chance.attach(registries[0], repository, chance.attached(image))
        async with (
            CacheStore(lambda: NOW).open(StateLocation(folder=tmp_path, keep=False), ttl=3600) as memory,
            Side(idle=IDLE, memory=memory) as side,
        ):
            analysis = await analyzed(side, work, at_once=at_once)
        for registry in registries:
            registry.requests.clear()

        async with (
            CacheStore(lambda: NOW).open(StateLocation(folder=tmp_path), ttl=3600) as memory,
            Side(idle=IDLE, memory=memory, staging=Staging(tmp_path / "staged", None)) as side,
        ):
            results = await passed(side, work, at_once=at_once)

        assert misses(analysis, registries, results) == []
