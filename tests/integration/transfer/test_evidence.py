"""
No tag is put on what has not been seen at that repository in that pass, whatever is remembered and lost.

The matrix: what a pass remembers, times what the registry looks for itself, times what the target has lost (before
the pass, or in the middle of it), times how the image differs from the one that the target has. In each of them,
after the pass, the tag is whole at all depths, with all that is attached to it at the source; or the image is told
to have failed, where something was lost while it was brought. No manifest is put whose parts were not seen.

Left out, as they make no sense:

- In an empty repository nothing can be lost, and what is lost from it later has just been seen.
- A config that the moved image does not share is new, and the target never had it.
- What is lost in the middle of a pass after that pass has seen it: no client can know. The same goes for what is
  attached, once its list has been read: it is no part of what is put.
- A garbled file knows nothing, as no memory does; it is tried with what looks for nothing and for everything.
"""

from __future__ import annotations

import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from attached import attach
from chaos.events import listed_by
from clients import Side
from ocync.cache.file import NAME
from ocync.cache.store import CacheStore, StateLocation
from ocync.oci.digest import Digest
from ocync.transfer.result import Status
from scripted import Checks, ScriptedRegistry, build, faults
from scripted.storage import Repository
from share import share

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from ocync.cache.hints import Hints
    from ocync.transfer.result import ImageResult

APP, STATE = "team/app", "team/state"
HOUR = 3600.0
NOW = 1_700_000_000.0
MEMORIES = ("no memory", "an earlier pass", "a state artifact", "another registry", "poisoned", "garbled")
MATRIX = [
    pytest.param(memory, checks, id=f"{memory}-registry checks {checks}")
    for memory in MEMORIES
    for checks in Checks
    if memory != "garbled" or checks in (Checks.NOTHING, Checks.ALL)
]

A, B, C, D, E = (build.layer(300, number) for number in range(5))
LEAF = build.image([A, B], platform="linux/amd64")
INNER = build.index([LEAF, build.image([A], platform="linux/arm64")])
BESIDE = build.image([A, C], platform="linux/s390x")
BEFORE = build.image([A, B, C], label="what the tag was before all that")
OLD = build.index([INNER, BESIDE])
# All blobs and one child stay; what lists the blobs of the other one is new.
ALIKE = build.index([INNER, build.image([A, C], platform="linux/s390x", annotations={"built": "again"})])
OTHER = build.index([INNER, build.image([A, C, D], platform="linux/s390x", label="other")])
SIGNATURE = build.artifact("application/vnd.example.signature", [b"signed"], subject=INNER)
LIST = build.fallback_tag(INNER.digest)

CONFIG, LAYER = BESIDE.root.config[0]["digest"], BESIDE.root.layers[1]["digest"]
INNER_CONFIG, INNER_LAYER = LEAF.root.config[0]["digest"], LEAF.root.layers[1]["digest"]
PAYLOAD = SIGNATURE.root.layers[0]["digest"]

BLOBS = {
    "a config": CONFIG,
    "a layer": LAYER,
    "the config of a grandchild": INNER_CONFIG,
    "a layer of a grandchild": INNER_LAYER,
    "the blob of a signature": PAYLOAD,
}
MANIFESTS = {"a child": INNER.digest, "a grandchild": LEAF.digest, "a signature": SIGNATURE.digest}
EVERYTHING, FALLBACK = "everything", "the fallback list"
ATTACHED = ("a signature", "the blob of a signature", FALLBACK)
"""Losses of what is attached: none of it is a part of what is put."""
SHAPES = {"moved, all blobs shared": ALIKE, "moved, some blobs shared": OTHER, "as it was": OLD}


@dataclass(frozen=True)
class Case:
    """One cell of the matrix, but for what is remembered and checked."""

    shape: str
    loss: str
    api: bool = True
    """Whether the target has the referrers API."""
    after: int | None = None
    """How many requests the target has had when it loses that; None for a loss before the pass."""

    def __str__(self) -> str:
        when = "before the pass" if self.after is None else f"after {self.after} requests"
        return f"{self.shape}{'' if self.api else ', no referrers API'}, {self.loss} lost {when}"


def cases(*, api: bool) -> Iterator[Case]:
    """Give all cases in which the tag has moved, for a target with the referrers API or without."""
    if api:
        yield Case("moved, all blobs shared", "nothing of an empty repository")
    losses = (*BLOBS, *MANIFESTS, EVERYTHING) if api else ("a signature", FALLBACK)
    for shape in ("moved, all blobs shared", "moved, some blobs shared"):
        for number, loss in enumerate(losses):
            if loss == "a config" and shape == "moved, some blobs shared":
                continue
            yield Case(shape, loss, api=api)
            if loss != EVERYTHING:
                yield Case(shape, loss, api=api, after=1 + number % 4)


def unmoved(*, api: bool) -> Iterator[Case]:
    """Give the cases in which the tag stays and something has been lost below it."""
    for loss in (*BLOBS, *MANIFESTS) if api else ("a signature", FALLBACK):
        yield Case("as it was", loss, api=api)


@dataclass
class World:
    """A source and a target that are filled once, and put back to that for each case."""

    source: ScriptedRegistry
    target: ScriptedRegistry
    state: ScriptedRegistry
    folder: Path
    kind: str
    """What is remembered: one of MEMORIES."""
    checks: Checks
    held: dict[str, Repository] = field(default_factory=dict)
    remembered: tuple[bytes | None, dict[str, Repository]] = (None, {})

    @property
    def file(self) -> Path:
        return self.folder / NAME

    @asynccontextmanager
    async def memory(self) -> AsyncIterator[Hints]:
        async with Side(idle=5.0) as side:
            location = StateLocation(folder=self.folder)
            if self.kind == "a state artifact":
                location = StateLocation(repository=side.repository(self.state.url, STATE), tag="state")
            async with CacheStore(lambda: NOW).open(location, ttl=12 * HOUR) as memory:
                yield memory

    async def sync(self, *, audit: float | None = None) -> ImageResult:
        """Make a pass, as a program of its own."""
        async with AsyncExitStack() as stack:
            forgets = self.kind == "no memory"
            memory = None if forgets else await stack.enter_async_context(self.memory())
            side = await stack.enter_async_context(Side(idle=5.0, memory=memory))
            mapping = side.mapping(self.source.url, self.target.url, repository=APP)
            (result,) = (await side.sync(mapping, audit=audit)).values()
            return result

    def show(self, image: build.Image) -> None:
        """Let the source's tag be an image."""
        self.source.repositories.clear()
        self.source.seed(APP, "1", image)
        attach(self.source, APP, INNER.digest, SIGNATURE)

    async def fill(self, *, api: bool) -> None:
        """Bring the old image with two passes, of which the second one moves the tag, and keep what is then."""
        self.target.repositories.clear()
        self.target.rules.clear()
        self.state.repositories.clear()
        self.file.unlink(missing_ok=True)
        self.target.behaviour.referrers = api
        self.target.behaviour.check_references = Checks.ALL if self.kind == "another registry" else self.checks
        for image in (BEFORE, OLD):
            self.show(image)
            assert (await self.sync()).error is None
            assert self.lacking() == []
        self.target.behaviour.check_references = self.checks
        if self.kind == "poisoned":
            await self.poison()
        if self.kind == "garbled":
            self.garble()
        self.held = copied(self.target)
        self.remembered = (self.file.read_bytes() if self.file.exists() else None, copied(self.state))

    async def poison(self) -> None:
        """Let the file claim, through the names of `Hints`, that the target holds all there is, and checks it."""
        host = self.target.host
        async with self.memory() as memory:
            for image in (OLD, ALIKE, OTHER, SIGNATURE):
                for digest in (*image.blobs, *(manifest.digest for manifest in image.manifests)):
                    for repository in (APP, "team/nowhere"):
                        memory.learn_blob(host, repository, Digest.parse(digest))
            memory.learn_hint("mounts", host, "granted")
            memory.learn_hint("checks-references", host, "yes")

    def garble(self) -> None:
        """Change bytes of the file anywhere behind its first line."""
        data, chance = bytearray(self.file.read_bytes()), random.Random(7)
        for _ in range(200):
            data[chance.randrange(data.index(b"\n") + 1, len(data))] ^= 1 << chance.randrange(8)
        self.file.write_bytes(data)

    async def outcome(self, case: Case, *, audit: float | None = None) -> list[str]:
        """Play one case, and return what was wrong."""
        self.show(SHAPES[case.shape])
        put_back(self.target, self.held)
        data, state = self.remembered
        put_back(self.state, state)
        self.file.unlink(missing_ok=True)
        if data is not None:
            self.file.write_bytes(data)
        self.target.rules.clear()
        self.target.requests.clear()
        self.target.violations.clear()
        self.target.unseen.clear()
        late: list[bool] = []
        if case.after is None:
            lose(self.target, case.loss)
        else:
            event = faults.first(lambda: late.append(lose(self.target, case.loss)))
            self.target.on("*", "", after=case.after, times=1, respond=event)

        result = await self.sync(audit=audit)

        if case.after is not None and (not late or late[0]):
            # It was not lost, or after it was seen: then nothing but the rule itself is left to be kept to.
            return list(self.target.unseen)
        wrong = [*self.target.unseen, *self.target.violations]
        if result.status is not Status.FAILED:
            wrong += self.lacking()
        elif case.after is None:
            wrong.append(f"it failed, though nothing happened in the pass: {result.error}")
        return wrong

    def lacking(self) -> list[str]:
        """Return what is below the tag at the source, or attached there, and is not at the target."""
        tree = list(self.source.repository(APP).tree(self.source.resolve(APP, "1") or ""))
        lacking = differences("the tag", self.source, self.target, "1")
        for manifest in tree:
            for digest in listed_by(self.source, APP, manifest.digest):
                if digest not in listed_by(self.target, APP, manifest.digest):
                    lacking.append("a signature is not listed")
                lacking += differences("a signature", self.source, self.target, digest)
        return lacking


def differences(what: str, source: ScriptedRegistry, target: ScriptedRegistry, reference: str) -> list[str]:
    here, there = source.content_of(APP, reference), target.content_of(APP, reference)
    gone = [NAMES.get(digest, digest) for digest in here if digest not in there]
    return [f"{what} lacks {', '.join(gone)}"] if gone else []


NAMES = {digest: name for name, digest in [*BLOBS.items(), *MANIFESTS.items()]}


def lose(target: ScriptedRegistry, loss: str) -> bool:
    """Let a target lose something; tell whether the pass that runs has seen it before."""
    repository = target.repositories.get(APP)
    if loss in (EVERYTHING, "nothing of an empty repository") or repository is None:
        target.repositories.clear()
        return False
    digest = repository.tags.get(LIST, "") if loss == FALLBACK else (BLOBS | MANIFESTS)[loss]
    was_seen = target.evidence.has(APP, digest)
    if loss in ATTACHED:
        was_seen |= target.count("GET", rf"/referrers/|/manifests/{LIST}") > 0
    if loss in BLOBS:
        repository.blobs.pop(digest, None)
    else:
        repository.manifests.pop(digest, None)
        repository.tags = {tag: to for tag, to in repository.tags.items() if to != digest}
    return was_seen


def copied(registry: ScriptedRegistry) -> dict[str, Repository]:
    return {
        name: Repository(name, dict(each.blobs), dict(each.manifests), dict(each.tags))
        for name, each in registry.repositories.items()
    }


def put_back(registry: ScriptedRegistry, held: dict[str, Repository]) -> None:
    registry.repositories.clear()
    for name, each in held.items():
        registry.repositories[name] = Repository(name, dict(each.blobs), dict(each.manifests), dict(each.tags))


@asynccontextmanager
async def world(folder: Path, kind: str, checks: Checks) -> AsyncIterator[World]:
    """Give a world whose target is looked at case by case, and not when it is left."""
    async with ScriptedRegistry() as source, ScriptedRegistry() as state, ScriptedRegistry(watch=False) as target:
        yield World(source, target, state, folder, kind, checks)


async def play(
    folder: Path, kind: str, checks: Checks, of: Callable[..., Iterator[Case]], audit: float | None
) -> None:
    """Play all cases and raise AssertionError that tells of each one that went wrong."""
    wrong: list[str] = []
    played = 0
    async with world(folder, kind, checks) as at:
        for api in (True, False):
            await at.fill(api=api)
            for case in of(api=api):
                played += 1
                wrong += [f"{case}: {each}" for each in await at.outcome(case, audit=audit)]
    assert not wrong, "\n".join([f"{len(wrong)} things are wrong in {played} cases:", *wrong])


@pytest.mark.parametrize(("memory", "checks"), share(MATRIX, of=2))
async def test_a_moved_image_ends_whole_or_is_told_to_have_failed(
    tmp_path: Path, memory: str, checks: Checks
) -> None:
    await play(tmp_path, memory, checks, cases, None)


@pytest.mark.parametrize(("memory", "checks"), share(MATRIX, of=2))
async def test_an_audit_brings_back_what_was_lost_below_a_tag_that_stays(
    tmp_path: Path, memory: str, checks: Checks
) -> None:
    await play(tmp_path, memory, checks, unmoved, 0.0)
