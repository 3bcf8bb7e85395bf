"""One world: a source, two to four registries and a folder as targets, and passes between them."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

from chaos.corpus import Corpus
from chaos.events import Source, befall, clean, listed_by, meanwhile
from chaos.hazards import Hazards
from chaos.recall import Remembrance
from chaos.watch import FolderWatch, RegistryWatch
from clients import Side
from ocync.config.model import AuthType, MappingConfig, RegistryConfig, Secret
from ocync.lib.errors import ErrorKind
from ocync.lib.shutdown import Stop
from ocync.oci.reference import Registry
from ocync.registry.limits import host
from ocync.transfer.result import Status
from scripted import Anonymous, Basic, Bearer, BlobStore, Checks, ScriptedRegistry, User, build, faults

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.transfer.result import ImageResult
    from scripted.access import Auth
    from scripted.record import Record

IDLE = 0.25
"""Seconds without a byte after which our side gives up, while there are faults."""
PATIENCE = 2.0
"""Seconds for which a registry may refuse everything before our side makes few requests more; usually minutes."""
LONGEST = 60.0
"""Seconds that a pass may take: it waits for a byte, or as it is asked to, as often as it tries."""
PACES = (0.0, 0.0, 0.001, 0.01)
"""Seconds that a target takes for each request: some are slower than others."""
LOCATIONS = ("absolute", "path", "relative", "no-scheme", "other-host")
READER, WRITER = User(name="reader", password="of the source", push=()), User(name="writer", password="of targets")


@dataclass
class Counts:
    """What was done so far."""

    passes: int = 0
    requests: int = 0
    looks: int = 0
    artifacts: int = 0
    results: dict[str, int] = field(default_factory=dict)


class World:
    """Made for a seed: equal seeds give the same images, faults and events."""

    def __init__(self, seed: int, folder: Path) -> None:
        chance = self._chance = random.Random(seed)
        self.seed = seed
        self.counts = Counts()
        uploads = random.Random(f"uploads {seed}")
        kinds = random.Random(f"targets {seed}")
        # What says that it has stored what it has not is found out by who looks for all parts of a manifest.
        self._source_lies = chance.random() < 0.5
        self.registry = ScriptedRegistry(
            auth=self._auth(READER), page_size=chance.choice([None, 1, 3]), referrers=chance.random() < 0.6
        )
        self.targets = [
            ScriptedRegistry(
                auth=self._auth(WRITER),
                location=chance.choice(LOCATIONS),
                location_query=chance.choice(["none", "state", "exact"]),
                mount=chance.random() < 0.7,
                single_post=uploads.random() < 0.6,
                location_latest_only=uploads.random() < 0.3,
                check_references=kinds.choice([*Checks, Checks.ALL, Checks.ALL]),
                page_size=chance.choice([None, 2]),
                ranges=chance.random() < 0.8,
                referrers=chance.random() < 0.5,
            )
            for _ in range(kinds.choice([2, 2, 2, 3, 4]))
        ]
        self._liars = [
            target
            for target in self.targets
            if target.behaviour.check_references is Checks.ALL and kinds.random() < 0.6
        ]
        self._paces = [kinds.choice(PACES) for _ in self.targets]
        self.store = BlobStore(lifetime=chance.choice([0.02, 0.2, 60]))
        self.elsewhere = ScriptedRegistry(bind="127.0.0.2")
        self.source = Source(self.registry, Corpus(chance), chance)
        self.folder = FolderWatch(folder / "layouts", self.source.known, self.source.artifacts)
        self._remembrance = Remembrance(folder / "memory", chance)
        self._names = ["team/app", "team/db", "team/tool"][: chance.randint(1, 3)]
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._closing.enter_context(patch.object(host, "PATIENCE", PATIENCE))
        for server in (self.registry, *self.targets, self.store, self.elsewhere):
            await self._closing.enter_async_context(server)
        self.watches = [RegistryWatch(target, self.source.known, self.source.artifacts) for target in self.targets]
        self._hazards = Hazards(self._chance, store=self.store, elsewhere=self.elsewhere.url)
        for target, seconds in zip(self.targets, self._paces, strict=True):
            if seconds:
                target.on("*", "", respond=faults.stall(seconds))
        self.source.fill(self._names)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._closing.__aexit__(*exception)

    def _auth(self, user: User) -> Auth | None:
        chance = self._chance
        bearer = Bearer(
            users=(user,),
            anonymous=None if chance.random() < 0.5 else Anonymous(),
            own_port=chance.random() < 0.5,
            expires_in=chance.choice([1, 60, 300]),
            lifetime=chance.choice([None, None, 0.2]),
        )
        return chance.choice([None, Basic(users=(user,)), bearer, bearer])

    async def pass_under_faults(self) -> None:
        """Let faults loose, make a pass (or two at once, or one that is cut off), and look at everything."""
        chance = self._chance
        if chance.random() < 0.3:
            self._remembrance.befall()
        if chance.random() < 0.2:
            await self._pass_of_strangers()
        if chance.random() < 0.5:
            # Between two passes every registry may clean up.
            for repository in chance.choice(self.targets).repositories.values():
                clean(repository)
        rules = []
        if chance.random() < 0.9:
            rules += self._hazards.let_loose(
                self.registry, writes=False, lies=self._source_lies, count=chance.randint(0, 4)
            )
        for target in self.targets:
            rules += self._hazards.let_loose(
                target, writes=True, lies=target in self._liars, count=chance.randint(0, 4)
            )
        rules.append(meanwhile(self.registry, chance, self.source.happen))
        rules += [
            meanwhile(target, chance, lambda each=target: befall(each, chance, cleans=_looks_for_all(each)))
            for target in self.targets
        ]
        if chance.random() < 0.2:
            await asyncio.gather(self._pass(), self._pass())
        else:
            await self._pass(cut_off=chance.random() if chance.random() < 0.2 else None)
        for rule in rules:
            rule.end()
        left = [_place(task) for task in asyncio.all_tasks() if "/ocync/" in _place(task)]
        assert not left, self._tell(["tasks were left behind:", *left])
        # What was begun and given up meanwhile must not come later: a server may still be at it.
        await self._quiet()
        self.check()

    async def _pass_of_strangers(self) -> None:
        """
        Fill the memory by a pass to other registries of the same names, which hold nothing and look for all parts.

        After that the targets are as they were, and what is remembered of them was never true.
        """
        held = [(dict(target.repositories), target.behaviour.check_references) for target in self.targets]
        for target in self.targets:
            target.repositories.clear()
            target.behaviour.check_references = Checks.ALL
        try:
            await self._pass()
            await self._quiet()
        finally:
            for target, (repositories, checks) in zip(self.targets, held, strict=True):
                target.repositories.clear()
                target.repositories.update(repositories)
                target.behaviour.check_references = checks
                target.uploads.forget_all()

    async def settle(self) -> None:
        """Make one pass without faults, and find all targets equal to the source."""
        self.source.repair()
        if self._chance.random() < 0.5:
            # Something is gone that earlier passes have put there, and remember.
            for target in self.targets:
                for _ in range(3):
                    befall(target, self._chance, cleans=True)
        for registry in (self.registry, *self.targets):
            if isinstance(registry.auth, Bearer):
                registry.auth.lifetime = 300
        # What a target had of artifacts is believed for a time, and they may have been cleaned up there since.
        results = await self._pass(idle=5.0, ttl=0.0)
        self.check()
        failed = [f"{result.target}: {result.error}" for result in results if result.status is Status.FAILED]
        assert not failed, self._tell(failed)
        self._compare()
        self.counts.artifacts = len(self.source.artifacts)

    def check(self) -> None:
        """Raise AssertionError for anything that was ever wrong."""
        self.folder.look()
        for watch in (*self.watches, self.folder):
            self.counts.looks += watch.looks
            watch.looks = 0
            assert not watch.wrong, self._tell(watch.wrong)
        for server in (self.registry, *self.targets, self.store):
            server.check()
        strangers = [str(request) for request in self.elsewhere.requests if request.scheme is not None]
        assert not strangers, self._tell(["credentials came to another host:", *strangers])

    def _compare(self) -> None:
        unequal = []
        for name in self._names:
            in_folder = {tag: digest for each, tag, digest in self.folder.tags() if each == name}
            for tag, digest in self.registry.repository(name).tags.items():
                if self._is_apart(name, tag):
                    continue
                whole = self.source.known(name, tag, digest)
                unequal += [
                    f"{name}:{tag} at {target.host}"
                    for target in self.targets
                    if target.content_of(name, tag) != whole
                ]
                if in_folder.get(tag) != digest or self.folder.content_of(name, digest) != whole:
                    unequal.append(f"{name}:{tag} in the folder")
            unequal += self._unattached(name, in_folder)
        assert not unequal, self._tell(unequal)

    def _images(self, name: str) -> list[str]:
        """Return the digests of all manifests below the tags that are mirrored as such."""
        repository = self.registry.repository(name)
        roots = [digest for tag, digest in repository.tags.items() if not tag.startswith("sha256-")]
        return [manifest.digest for digest in roots for manifest in repository.tree(digest)]

    def _is_apart(self, name: str, tag: str) -> bool:
        """Tell whether a digest-named tag belongs to no image that has a tag, or is a list that targets keep."""
        if not tag.startswith("sha256-"):
            return False
        marks = {digest.replace(":", "-") for digest in self._images(name)}
        return "." not in tag or tag.partition(".")[0] not in marks

    def _unattached(self, name: str, in_folder: dict[str, str]) -> list[str]:
        """Return what is attached at the source and not, or not wholly, at a target."""
        lacking = []
        for artifact in self.source.attached_to(name, list(dict.fromkeys(self._images(name)))):
            assert artifact.subject is not None
            whole = self.source.artifacts[artifact.digest]
            what = f"{artifact.digest} of {artifact.subject} in {name}"
            lacking += [
                f"{what} at {target.host}"
                for target in self.targets
                if artifact.digest not in listed_by(target, name, artifact.subject)
                or target.content_of(name, artifact.digest) != whole
            ]
            index = in_folder.get(build.fallback_tag(artifact.subject))
            if index is None or not whole.items() <= self.folder.content_of(name, index).items():
                lacking.append(f"{what} in the folder")
        return lacking

    async def _pass(
        self, *, idle: float = IDLE, cut_off: float | None = None, ttl: float | None = None
    ) -> tuple[ImageResult, ...]:
        """Make a pass; with `cut_off`, end it after so many seconds: by a stop, or without a word."""
        before = self._asked()
        attempts = self._chance.choice([1, 2, 3])
        results: dict[str, ImageResult] = {}
        stop = Stop(grace=self._chance.choice([0.0, 0.1]))
        gently = cut_off is None or self._chance.random() < 0.5
        timer = asyncio.get_running_loop().call_later(cut_off or LONGEST * 2, stop.request, "a test")
        try:
            async with (
                asyncio.timeout(None if gently else cut_off),
                self._remembrance.memory(ttl=ttl) as memory,
                Side(idle=idle, attempts=attempts, sleep=_briefly, stop=stop, memory=memory) as side,
            ):
                work = [self._mapping(name) for name in self._names]
                at_once = self._chance.choice([1, 4, 20])
                results = await side.sync(*work, within=LONGEST, at_once=at_once, sink=self._saw)
        except TimeoutError:
            if gently:
                raise
        finally:
            timer.cancel()
        internal = [r for r in results.values() if r.error is not None and r.error.kind is ErrorKind.INTERNAL]
        assert not internal, self._tell([f"{result.target}: {result.error!r}" for result in internal])
        self._count(results, self._asked() - before, attempts)
        return tuple(results.values())

    def _count(self, results: dict[str, ImageResult], asked: int, attempts: int) -> None:
        self.counts.passes += 1
        self.counts.requests += asked
        for result in results.values():
            kind = str(result.error.kind) if result.error is not None else str(result.status)
            self.counts.results[kind] = self.counts.results.get(kind, 0) + 1
        allowed = self._allowed(attempts)
        assert asked <= allowed, self._tell([f"{asked} requests in a pass; {allowed} were allowed"])

    def _allowed(self, attempts: int) -> int:
        """
        Return a bound for the requests of a pass, or two at once.

        Each part is asked for at the source, and looked for, opened and sent at each target and in the folder, in
        two rounds of so many attempts; each of these may be redirected, and refused for its credentials once.
        """
        parts = 10
        for name in self._names:
            repository = self.registry.repository(name)
            parts += 10 + 3 * len(repository.tags) + len(repository.manifests) + len(repository.blobs)
        return parts * (1 + 3 * (len(self.targets) + 1)) * 2 * attempts * 2

    def _saw(self, event: object) -> None:
        if type(event).__name__ == "ImageFinished":
            self.folder.look()

    async def _quiet(self) -> None:
        async with asyncio.timeout(5):
            while any(record.active for record in self._records()):
                await asyncio.sleep(0.01)

    def _records(self) -> list[Record]:
        return [server.requests for server in (self.registry, *self.targets, self.store, self.elsewhere)]

    def _asked(self) -> int:
        return sum(len(record) for record in self._records())

    def _mapping(self, name: str) -> MappingConfig:
        at_targets = [self._config(target, WRITER) for target in self.targets]
        folder = RegistryConfig(name="folder", layout=self.folder.folder)
        source = self._config(self.registry, READER)
        return MappingConfig(
            name=name,
            source=source,
            source_repository=source.repository(name),
            targets=tuple((each, each.repository(name)) for each in (*at_targets, folder)),
        )

    def _config(self, registry: ScriptedRegistry, user: User) -> RegistryConfig:
        return RegistryConfig(
            name=registry.host,
            registry=Registry.parse(registry.url),
            auth_type=AuthType.BASIC,
            username=Secret(user.name, origin="a test"),
            password=Secret(user.password, origin="a test"),
        )

    def _tell(self, lines: list[str]) -> str:
        return "\n  ".join([f"seed {self.seed}, pass {self.counts.passes}:", *map(str, lines[:10])])


def _looks_for_all(target: ScriptedRegistry) -> bool:
    """Tell whether a target may clean up while it is pushed to: what is gone by then would be taken unseen."""
    return target.behaviour.check_references is Checks.ALL


async def _briefly(seconds: float) -> None:
    """Wait a thousandth of the time that is waited for between two attempts."""
    await asyncio.sleep(min(seconds / 1000, 0.02))


def _place(task: asyncio.Task[object]) -> str:
    code = getattr(task.get_coro(), "cr_code", None)
    return f"{code.co_filename}:{code.co_name}" if code is not None else ""
