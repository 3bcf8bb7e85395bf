"""First fills of a target by passes that are killed, one after the other, and what is sent in vain meanwhile."""

from __future__ import annotations

import math
import os
import shutil
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e2e.waiting import until
from scripted import build

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from e2e.program import Program
    from scripted import ScriptedRegistry
    from scripted.build import Blob, Image
    from scripted.wire import Body, Request, Response

LARGE = 1024 * 1024
"""Bytes of a blob that is looked for before it is sent."""
SMALLEST, LARGEST = 50_000, 4 * 1024 * 1024
_PLATFORMS = ("linux/amd64", "linux/arm64")
_SYNC = ("sync", "-c", "ocync.yaml", "-q")
_UPLOADS = r"/uploads/"


def seed(source: ScriptedRegistry, *, repositories: int, tags: int, chance: random.Random) -> None:
    """
    Put images into a registry: repositories share base layers, half of the tags are indexes, a third are signed.

    Layers have between SMALLEST and LARGEST bytes, as many small ones as large ones.
    """
    made = 0

    def layer() -> Blob:
        nonlocal made
        made += 1
        size = math.exp(chance.uniform(math.log(SMALLEST), math.log(LARGEST)))
        return build.big_layer(int(size), made)

    bases = [layer() for _ in range(repositories)]
    bases.append(build.big_layer(LARGEST, 0))
    for number in range(repositories):
        shared = [*chance.sample(bases, 2), layer()]
        for version in range(tags):
            platforms = _PLATFORMS if version % 2 else _PLATFORMS[:1]
            children = [build.image([*shared, layer()], platform=platform) for platform in platforms]
            image = build.index(children) if len(children) > 1 else children[0]
            name = f"team/app-{number}"
            source.seed(name, f"1.{version}", image)
            if version % 3 == 0:
                _sign(source, name, image)


def _sign(source: ScriptedRegistry, name: str, image: Image) -> None:
    source.seed(name, build.cosign_tag(image.digest), build.cosign_signature(image))
    source.seed(name, None, build.artifact("application/spdx+json", [image.digest.encode() * 1000], subject=image))


@dataclass(frozen=True, slots=True)
class Moment:
    """When a pass is killed."""

    received: int | None = None
    """When the target has so many bytes of blobs of this pass, or"""
    asked: int | None = None
    """when so many requests have come to both sides, before the last one is handled, or"""
    taken: int | None = None
    """when the target has so many blobs of this pass, before it says so of the last one."""

    @classmethod
    def by(cls, chance: random.Random, *, span: int) -> Moment:
        """Choose one; passes get `span` bytes further at the most."""
        match chance.randrange(4):
            case 0:
                return cls(asked=chance.randint(1, 150))
            case 1:
                return cls(taken=chance.randint(1, 15))
            case _:
                return cls(received=chance.randint(1, span))


@dataclass(slots=True, kw_only=True)
class Toll:
    """What a pass has sent."""

    code: int
    received: int = 0
    """Bytes of blobs that the target got of it."""
    in_flight: int = 0
    """Of these, those of uploads that had no answer when it ended."""
    fresh: int = 0
    """Bytes of blobs that it took and that the repository did not hold before."""
    taken: int = 0
    """Bytes of large blobs that the target has said it took."""
    again: list[str] = field(default_factory=list)
    """Large blobs that were sent though the repository held them."""
    elsewhere: list[str] = field(default_factory=list)
    """Large blobs that were sent though another repository of the target held them."""
    small: int = 0
    """Bytes of small blobs that were sent though the repository held them."""


@dataclass(slots=True)
class _Count:
    received: int = 0
    asked: int = 0
    taken: int = 0


@dataclass(slots=True)
class Fill:
    """A mirror of a source to a target that is filled by passes which are killed."""

    program: Program
    source: ScriptedRegistry
    target: ScriptedRegistry
    keeps_cache: bool
    """Whether passes find what earlier ones have kept; killed ones may have kept nothing."""
    tolls: list[Toll] = field(default_factory=list)
    """Of the passes so far."""

    def configure(self) -> None:
        """Write the configuration."""
        mappings = "".join(f"  - {{from: {name}}}\n" for name in self.source.repositories)
        self.program.write(f"""
global: {{cache_dir: ./cache}}
registries: {{src: {{url: "{self.source.url}"}}, dst: {{url: "{self.target.url}"}}}}
defaults: {{source: src, targets: dst}}
mappings:
{mappings}""")

    def pass_until(self, moment: Moment | None) -> Toll:
        """Run a pass that is killed at a moment, or never, and check what it leaves."""
        if not self.keeps_cache:
            shutil.rmtree(self.program.folder / "cache", ignore_errors=True)
        before = self.held()
        toll = Toll(code=0)
        pid: list[int] = []
        started = threading.Event()

        def kill() -> None:
            assert started.wait(10)
            os.kill(pid[0], signal.SIGKILL)

        self._watch(moment, toll, kill)
        try:
            with self.program.started(*_SYNC) as run:
                pid.append(run.pid)
                started.set()
                done = run.done()
            # What the kernel still holds of a process that is gone reaches the target all the same.
            until(lambda: not self.target.requests.active and not self.source.requests.active)
        finally:
            for registry in (self.source, self.target):
                registry.rules.clear()
        assert "Traceback" not in done.said, done
        toll.code = done.code
        self._count(toll, before)
        self.tolls.append(toll)
        for registry in (self.source, self.target):
            registry.requests.clear()
        return toll

    def held(self) -> dict[tuple[str, str], int]:
        """Return the sizes of what the target holds, by repository and digest."""
        return {
            (name, digest): content.size
            for name, repository in self.target.repositories.items()
            for digest, content in repository.blobs.items()
        }

    def _count(self, toll: Toll, before: dict[tuple[str, str], int]) -> None:
        assert before.keys() <= self.held().keys(), "the target has lost something"
        uploads = self.target.requests.matching("POST|PATCH|PUT", _UPLOADS)
        toll.received = sum(upload.received for upload in uploads)
        toll.in_flight = sum(upload.received for upload in uploads if upload.status is None)
        sessions = self.target.uploads.sessions
        toll.in_flight += sum(session.offset for session in sessions.values() if not session.busy)
        self.target.uploads.forget_all()
        assert self.target.incomplete_tags() == []
        assert self.target.violations == []

    def assert_equal(self) -> None:
        """Check that the target holds all of the source, and every byte of it."""
        assert self.target.incomplete_tags() == []
        for name, repository in self.source.repositories.items():
            there = self.target.repositories[name]
            assert there.tags == repository.tags
            assert there.manifests.keys() == repository.manifests.keys()
            for tag in repository.tags:
                assert self.target.content_of(name, tag) == self.source.content_of(name, tag) != {}
            for digest, manifest in repository.manifests.items():
                assert not there.missing_of(manifest), (name, digest)

    # At the registries

    def _watch(self, moment: Moment | None, toll: Toll, kill: Callable[[], None]) -> None:
        lock, count, held = threading.Lock(), _Count(), set(self.held())

        def add(name: str, number: int) -> None:
            with lock:
                before = getattr(count, name)
                setattr(count, name, before + number)
                limit = None if moment is None else getattr(moment, name)
                is_time = limit is not None and before < limit <= before + number
            if is_time:
                kill()

        async def ask(_request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
            add("asked", 1)
            return await proceed()

        async def upload(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
            digest, length = request.parameter("digest"), request.body.length or 0
            name = request.path.removeprefix("/v2/").partition("/blobs/")[0]
            if digest is not None and length:
                self._judge(toll, name, digest, length)
            request.body.pieces = _told(request.body, lambda size: add("received", size))  # type: ignore[method-assign]
            response = await proceed()
            if response.status == 201 and length:
                toll.fresh += 0 if (name, digest) in held else length
                held.add((name, str(digest)))
                toll.taken += length if length >= LARGE else 0
                add("taken", 1)
            return response

        for registry in (self.source, self.target):
            registry.on("*", "", respond=ask)
        self.target.on("POST|PATCH|PUT", _UPLOADS, respond=upload)

    def _judge(self, toll: Toll, name: str, digest: str, size: int) -> None:
        holders = [each.name for each in self.target.repositories.values() if digest in each.blobs]
        if size < LARGE:
            toll.small += size if name in holders else 0
        elif name in holders:
            toll.again.append(f"{name}: {digest}")
        elif holders:
            toll.elsewhere.append(f"{name}: {digest}, held by {', '.join(holders)}")


def _told(body: Body, tell: Callable[[int], None]) -> Callable[[], AsyncIterator[bytes]]:
    original = body.pieces

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in original():
            tell(len(piece))
            yield piece

    return pieces


def carry_out(fill: Fill, moments: Iterable[Moment]) -> int:
    """
    Run passes that are killed at these moments, and one that is not where they did not fill the target.

    Checks after each that it got further and sent nothing in vain but what it must; returns how many were killed.
    """
    fill.configure()
    killed = 0
    for moment in (*moments, None):
        toll = fill.pass_until(moment)
        what = f"pass {len(fill.tolls)}, killed at {moment}: {toll}"
        assert toll.code in (0, -signal.SIGKILL), what
        assert toll.again == [], what
        assert toll.received - toll.fresh <= toll.in_flight + toll.small, what
        assert toll.fresh > 0 or not toll.taken, what
        if toll.code == 0:
            break
        killed += 1
    fill.assert_equal()
    return killed
