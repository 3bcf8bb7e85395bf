"""Sources that would fill the memory: each costs its own image, and nobody else's."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from e2e.program import Program
from e2e.waiting import until
from long.measured import MIB, Measured, Run, started
from scripted import ScriptedRegistry, build, faults, media
from scripted.background import in_thread
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LIMIT = 256 * MIB
MESSAGE = 3_000
"""Bytes of one error, at the most."""
TIME = 120.0
"""Seconds in which a pass has to end, on a busy machine."""
PROMPT = 20.0
"""Seconds in which it has to end after a signal or its deadline and a second of grace."""
FAILED = 1
INTERRUPTED = 5


@dataclass(frozen=True)
class World:
    """A source with a repository that does harm and one that does not, and a target for both."""

    program: Program
    source: ScriptedRegistry
    target: ScriptedRegistry
    tell: Callable[[str], None]

    def configure(self, rules: str = "", settings: str = "") -> None:
        """Write the configuration; `rules` are those of the mapping that does harm."""
        self.source.seed("team/good", "1", build.multi_arch(seed=1))
        self.program.write(f"""
global: {{ cache_dir: ./cache, {settings} }}
registries: {{ src: {{ url: "{self.source.url}" }}, dst: {{ url: "{self.target.url}" }} }}
defaults: {{ source: src, targets: dst }}
mappings:
  - {{ from: team/bad, {rules} }}
  - {{ from: team/good }}
""")

    def started(self) -> Iterator[Run]:
        """Run a pass beside the test."""
        return started(self.program, "sync", "-c", "ocync.yaml", "--json", "--grace-period", "1")  # type: ignore[return-value]

    def put(self, tag: str | None, body: object) -> dict[str, object]:
        """Put an index into the repository that does harm, and return its descriptor."""
        raw = json.dumps(body, separators=(",", ":")).encode()
        stored = StoredManifest.of(raw, media.OCI_INDEX)
        repository = self.source.repository("team/bad")
        repository.manifests[stored.digest] = stored
        if tag is not None:
            repository.tags[tag] = stored.digest
        return {"mediaType": media.OCI_INDEX, "digest": stored.digest, "size": len(raw)}

    def check(self, done: Measured, *, code: int = FAILED) -> None:
        """Check what holds whatever a source does."""
        self.tell(
            f"{done.peak / MIB:.0f} MiB of memory, {done.cpu:.1f} CPU-s, {len(done.errors)} errors, "
            f"{len(self.source.requests)} + {len(self.target.requests)} requests"
        )
        assert done.code == code, done.log[-5000:]
        assert "Traceback" not in done.log
        assert "defect of ocync" not in done.log
        assert done.peak < LIMIT
        assert self.target.content_of("team/good", "1") == self.source.content_of("team/good", "1") != {}
        assert all(len(message) < MESSAGE for message in done.errors.values())
        assert all(len(line.encode()) < MESSAGE for line in done.log.splitlines())


@pytest.fixture
def world(tmp_path: Path, tell: Callable[[str], None]) -> Iterator[World]:
    with (
        in_thread(ScriptedRegistry()) as source,
        in_thread(ScriptedRegistry(manifest_limit=16 * MIB)) as target,
    ):
        yield World(Program.within(tmp_path / "run"), source, target, tell)


def index_of(children: Sequence[object]) -> dict[str, object]:
    return {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": children}


def absent(number: int) -> dict[str, object]:
    """Return the descriptor of an image that is nowhere."""
    return {"mediaType": media.OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 500}


def run(world: World) -> Measured:
    with world.started() as one:  # type: ignore[attr-defined]
        return one.done(TIME)  # type: ignore[no-any-return]


def test_a_tree_of_seventy_thousand_indexes_ends_with_an_error(world: World) -> None:
    size, number = 0, 0
    level: list[dict[str, object]] = [
        world.put(None, index_of([absent(n), absent(-n % 2**256)])) for n in range(1, 35_001)
    ]
    while len(level) > 1:
        size, number = size + sum(int(str(each["size"])) for each in level), number + len(level)
        level = [world.put(None, index_of(level[at : at + 2])) for at in range(0, len(level), 2)]
    world.source.repository("team/bad").tags["1"] = str(level[0]["digest"])
    assert number > 65_000
    assert size > 20 * MIB
    world.configure()

    done = run(world)

    world.check(done)
    [message] = done.errors.values()
    assert "more than 2,000 manifests belong to it" in message
    assert world.source.count("GET", "/bad/manifests/") < 2_200


@pytest.mark.parametrize("is_whole", [False, True], ids=["of images that are not there", "of one image"])
def test_sixty_indexes_as_large_as_the_reader_takes_do_not_add_up(world: World, is_whole: bool) -> None:
    child = build.image()
    if is_whole:
        world.source.seed("team/bad", None, child)
    for tag in range(60):
        entries = [child.entry if is_whole else absent(tag * 10_000 + n) for n in range(1_500)]
        padded = [{**entry, "annotations": {"note": f"{tag}-{n}-{'x' * 4_750}"}} for n, entry in enumerate(entries)]
        assert 7 * MIB < int(str(world.put(f"1.{tag}", index_of(padded))["size"])) < 8 * MIB
    world.configure()

    done = run(world)

    world.check(done, code=0 if is_whole else FAILED)
    assert len(done.errors) == (0 if is_whole else 60)
    assert all("sha256:" in message for message in done.errors.values())


@pytest.mark.parametrize("depth", [1, 2])
def test_an_index_of_five_thousand_images_ends_with_an_error_and_few_requests(world: World, depth: int) -> None:
    images = [build.image([build.layer(100, seed=1)], label=str(number)) for number in range(5_000)]
    for image in images:
        world.source.seed("team/bad", None, image)
        world.source.seed("team/bad", None, build.artifact("application/spdx+json", subject=image))
    entries: list[dict[str, object]] = [image.entry for image in images]
    if depth == 2:
        entries = [world.put(None, index_of(entries[at : at + 1_000])) for at in range(0, 5_000, 1_000)]
    world.put("1", index_of(entries))
    world.configure()

    done = run(world)

    world.check(done)
    [message] = done.errors.values()
    assert ("more than 2,000 manifests" if depth == 2 else "lists 5000 entries, more than 2000") in message
    assert world.source.count("GET", "/bad/referrers/") <= 2_000


@pytest.mark.parametrize("length", [60, 100_000])
def test_platforms_that_are_long_texts_do_not_fill_the_log(world: World, length: int) -> None:
    for tag in range(10):
        entries = [
            {**absent(n), "platform": {"os": f"{n}{'o' * length}", "architecture": "a" * length}}
            for n in range(1_900 if length < 1_000 else 35)
        ]
        world.put(f"1.{tag}", index_of(entries))
    world.configure("platforms: [linux/riscv64]")

    done = run(world)

    world.check(done)
    assert len(done.errors) == 10
    if length < 1_000:
        assert all("no entry for linux/riscv64" in message for message in done.errors.values())


@pytest.mark.parametrize("ends_by", ["nothing", "SIGTERM", "deadline"])
def test_types_that_are_long_texts_hold_up_neither_a_signal_nor_the_deadline(world: World, ends_by: str) -> None:
    image = build.image()
    world.source.seed("team/bad", "1", image)
    kind = "application/" + "spdx-j" * (160_000 // 6)
    for number in range(40):
        world.source.seed("team/bad", None, build.artifact(kind, [b"%d" % number], subject=image))
    world.configure('artifacts: { exclude: ["*spdx*json"] }', "deadline: 5s" if ends_by == "deadline" else "")
    if ends_by != "nothing":
        # Something that is never done, so that it is the signal that ends the pass.
        world.source.seed("team/bad", "2", build.image(label="2"))
        world.source.on("GET", f"/bad/referrers/(?!{image.digest})", respond=faults.stall(3600))

    with world.started() as one:  # type: ignore[attr-defined]
        if ends_by == "SIGTERM":
            until(lambda: world.source.count("GET", f"/bad/referrers/{image.digest}"), within=TIME)
            one.send(signal.SIGTERM)
        done = one.done(TIME if ends_by == "nothing" else PROMPT)

    world.check(done, code=FAILED if ends_by == "nothing" else INTERRUPTED)
    assert done.errors
