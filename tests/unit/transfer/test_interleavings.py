"""
Whole passes in orders that a seed draws, with calls that fail by the same seed: all end, and leave nothing behind.

It is the program itself that runs, between places in memory. Who is next is drawn anew whenever somebody has given
way (`scheduling`); a pass in which everybody waits for somebody is found at once.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from memory import Place, put_image, put_index
from ocync.config.model import TagRules
from ocync.lib import tasks
from ocync.lib.errors import AuthError, NetworkError, NotFoundError, OcyncError, ServerError
from ocync.lib.shutdown import Stop
from ocync.transfer.mounts import Mounts
from ocync.transfer.result import Status
from ocync.transfer.staging import Staging
from passes import MemoryPlaces, assert_at_rest, made, mapping
from scheduling import StuckError, run

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.config.model import MappingConfig
    from ocync.oci.digest import Digest
    from ocync.transfer.mounts import Unit
    from ocync.transfer.result import ImageResult

# Shorter than a config: each image begins with one of its layers.
LAYERS = [bytes([number]) * 6 for number in range(3)]
SEEDS = settings().max_examples // 4
ONLY_IMAGES = TagRules(glob=("v*",))


@dataclass(frozen=True, slots=True)
class Image:
    """An image of these layers (an index of several) in a repository; `signature` is a layer of its signature."""

    path: str
    layers: tuple[int | tuple[int, ...], ...]
    signature: int | None = None


CASES = {
    "three repositories, two blobs": [Image("a", (0, 1)), Image("b", (0, 1)), Image("c", (0, 1))],
    "the other way round": [Image("a", (0, 1)), Image("b", (1, 0)), Image("c", (0,))],
    "three blobs in a ring": [Image("a", (0, 1)), Image("b", (1, 2)), Image("c", (2, 0))],
    "two images in one of two repositories": [Image("a", (0,)), Image("a", (0, 1)), Image("b", (1, 0))],
    "an image and what is attached to it, twice": [Image("a", (0,), signature=1), Image("b", (1,), signature=0)],
    "indexes that share their children": [
        Image("a", ((0,), (1,))),
        Image("a", ((1,), (2,))),
        Image("b", ((1,), (0, 2)), signature=0),
    ],
}
MOUNTS = {
    "mounts at once": {"mounts": True, "mounts_after_commit": False},
    "mounts after a commit": {"mounts": True, "mounts_after_commit": True},
    "never, and says so": {"mounts": False, "mounts_after_commit": False},
    "never, after a commit": {"mounts": False, "mounts_after_commit": True},
}


@dataclass
class World:
    """Two sources, two targets and a pass between them; everything but the images is drawn."""

    images: list[Image]
    mounts: dict[str, bool]
    seed: int
    failing: float | None = None
    at_once: int | None = None
    folder: Path | None = None
    failures: int = 0
    calls: int = 0
    stop: Stop = field(init=False)
    repositories: dict[str, Place] = field(init=False)
    work: list[MappingConfig] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.stop = Stop(grace=self.chance.choice([0.0, 0.0, 30.0]))
        self._stops_at = self.chance.randint(1, 150) if self.chance.random() < 0.15 else None
        if self.failing is None:
            self.failing = self.chance.choice([0.0, 0.0, 0.02, 0.1])
        if self.at_once is None:
            self.at_once = self.chance.choice([1, 1, 16])
        self.hosts = {
            name: Place(name, slots=self.chance.choice([1, 2, 8]), step=self._step, **self.mounts)
            for name in ("source", "other", "a", "b")
        }
        whence: dict[str, str] = {}
        for number, image in enumerate(self.images):
            source = whence.setdefault(image.path, self.chance.choice(["source", "source", "other"]))
            self._put(self.hosts[source], image, f"v{number}")
        for path, source in whence.items():
            targets = self.chance.choice([("a", "b"), ("b", "a"), ("a",)])
            self.work.append(mapping(path, *targets, tags=ONLY_IMAGES, source=source))

    def _put(self, source: Place, image: Image, tag: str) -> None:
        repository = source.repository(image.path)
        contents = [
            tuple(LAYERS[number] for number in ((each,) if isinstance(each, int) else each))
            for each in image.layers
        ]
        if isinstance(image.layers[0], tuple):
            manifest = put_index(repository, tag, *contents)
        else:
            manifest = put_image(repository, tag, *(layer for layers in contents for layer in layers))
        if image.signature is not None:
            put_image(repository, f"sha256-{manifest.digest.encoded}.sig", LAYERS[image.signature])

    def _step(self, _called: str, _path: str, _subject: str) -> tuple[int, OcyncError | None]:
        assert self.failing is not None
        self.calls += 1
        if self.calls == self._stops_at:
            self.stop.request("signal SIGTERM")
        error: OcyncError | None = None
        if self.chance.random() < self.failing:
            self.failures += 1
            kinds = [NetworkError("reset"), NetworkError("reset"), ServerError("down"), AuthError("no")]
            error = self.chance.choice([*kinds, NotFoundError("gone")])
        return self.chance.randint(0, 4), error

    @property
    def targets(self) -> list[Place]:
        return [self.hosts["a"], self.hosts["b"]]

    async def play(self) -> tuple[ImageResult, ...]:
        staging = Staging(self.folder, None) if self.folder is not None else None
        workers = self.chance.choice([1, 2, 10])
        repositories = MemoryPlaces(*self.hosts.values())
        engine = made(repositories, at_once=workers, stop=self.stop, staging=staging)
        results = await engine.run(self.work)
        assert_at_rest(engine, *self.hosts.values())
        assert staging is None or (staging.used, staging.open_files) == (0, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return results

    def check(self, results: tuple[ImageResult, ...]) -> None:
        """What is said to be there is there, and whole."""
        for host in self.targets:
            assert host.incomplete == []
        synced = [result.target for result in results if result.status is Status.SYNCED]
        assert len(set(synced)) == len(synced)
        for name in synced:
            host, _, rest = name.partition("/")
            path, _, tag = rest.partition(":")
            assert tag in self.hosts[host].tagged[path]
        if self.failures or self.stop.requested():
            return
        assert {result.status for result in results} == {Status.SYNCED}
        for each in self.work:
            wanted = self.hosts[each.source.name].tagged[each.source_repository.path]
            for registry, to in each.targets:
                assert self.hosts[registry.name].tagged[to.path] == wanted


@pytest.mark.parametrize("mounts", MOUNTS.values(), ids=MOUNTS)
@pytest.mark.parametrize("images", CASES.values(), ids=CASES)
def test_in_whatever_order_and_with_whatever_failures_a_pass_ends_and_leaves_nothing_behind(
    images: list[Image], mounts: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(SEEDS):
        world = World(images, mounts, seed, folder=tmp_path if seed % 2 else None)
        # One after the other, or all at once: who has only one task waits for more.
        monkeypatch.setattr(tasks, "_AT_ONCE", world.at_once)
        try:
            world.check(run(world.play(), seed=seed))
        except (Exception, StuckError) as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_draw_finds_a_circle_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were all allowed to wait for any manifest, two images that need each other's blobs would wait for ever."""

    def reckless(self: Mounts, holder: str, digest: Digest, unit: Unit | None) -> asyncio.Future[None] | None:
        others = self._units.get((holder, digest), ()) if not self.is_committed(holder, digest) else ()
        return next((other.ended for other in others if other is not unit), None)

    monkeypatch.setattr(Mounts, "until", reckless)
    monkeypatch.setattr(tasks, "_AT_ONCE", 1)
    stuck = 0
    for seed in range(40):
        world = World(CASES["the other way round"], MOUNTS["mounts after a commit"], seed, failing=0.0)
        try:
            run(world.play(), seed=seed)
        except StuckError:
            stuck += 1

    assert stuck
