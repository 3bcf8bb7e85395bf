"""What passes learn, kept in a repository: read before a pass, written after it, and never its failure."""

from __future__ import annotations

import gzip
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.cache import entries, state_artifact, store
from ocync.cache.store import CacheStore, StateLocation
from ocync.oci.digest import Digest
from scripted import Basic, ScriptedRegistry, User, build, faults
from scripted.build import Image
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocync.cache.hints import Hints

BLOB, OTHER = Digest.of(b"blob"), Digest.of(b"other")
PLACE = "registry.example"
REPOSITORY, TAG = "acme/state", "ocync-state"


@dataclass
class World:
    """A registry for the state, and programs that know nothing but it."""

    registry: ScriptedRegistry
    idle: float = 5.0
    account: tuple[str, str] | None = None
    ttl: float = 3600.0

    @asynccontextmanager
    async def memory(
        self, *, keep: bool = True, in_a_hurry: bool = False, by: CacheStore | None = None
    ) -> AsyncIterator[Hints]:
        async with Side(idle=self.idle, account=self.account, attempts=2) as side:
            location = StateLocation(
                repository=side.repository(self.registry.url, REPOSITORY),
                tag=TAG,
                keep=keep,
                in_a_hurry=lambda: in_a_hurry,
            )
            async with (by or CacheStore()).open(location, ttl=self.ttl) as memory:
                yield memory

    async def learn(self, *digests: Digest, keep: bool = True) -> None:
        async with self.memory(keep=keep) as memory:
            for digest in digests:
                memory.learn_blob(PLACE, "app", digest)

    async def knows(self, digest: Digest = BLOB) -> bool:
        async with self.memory() as memory:
            return memory.holders(PLACE, digest) == ["app"]

    @property
    def pushes(self) -> int:
        return self.registry.count("PUT", r"/manifests/")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(await stack.enter_async_context(ScriptedRegistry()))


async def test_the_next_job_knows_what_the_last_one_learned(world: World) -> None:
    await world.learn(BLOB)

    assert await world.knows()
    assert not await world.knows(OTHER)


async def test_the_state_is_an_artifact_of_its_own_type_with_one_layer(world: World) -> None:
    await world.learn(BLOB)

    manifest = world.registry.manifest(REPOSITORY, TAG)
    assert manifest.artifact_type == "application/vnd.ocync.state.v2"
    assert [blob["mediaType"] for blob in manifest.blobs] == [
        "application/vnd.oci.empty.v1+json",
        "application/vnd.ocync.state.v2+gzip",
    ]
    assert gzip.decompress(world.registry.repository(REPOSITORY).read(manifest.blobs[1]["digest"]))


async def test_a_pass_that_learned_nothing_writes_nothing(world: World) -> None:
    await world.learn(BLOB)
    assert world.pushes == 1
    world.registry.requests.clear()

    await world.learn(BLOB)
    await world.learn()

    assert world.registry.count("POST", r"/blobs/") == 0
    assert world.pushes == 0
    # The tag and its layer, for each.
    assert world.registry.count("GET", r"/(manifests|blobs)/") == 4


async def test_what_is_only_seen_again_is_no_reason_to_write(world: World) -> None:
    for _ in range(3):
        async with world.memory() as memory:
            memory.learn_blob(PLACE, "app", BLOB)
            memory.learn_seen(PLACE, "app", "v1", BLOB)
            memory.learn_moved(PLACE, "app", "v1", BLOB)
            memory.learn_looked_below(PLACE, "app", "v1", BLOB)

    assert world.pushes == 1


async def test_a_dry_run_reads_the_state_and_does_not_write_it(world: World) -> None:
    await world.learn(BLOB)

    async with world.memory(keep=False) as memory:
        assert memory.holders(PLACE, BLOB) == ["app"]
        memory.learn_blob(PLACE, "app", OTHER)

    assert world.pushes == 1
    assert not await world.knows(OTHER)


async def test_a_pass_that_failed_or_was_stopped_keeps_what_it_learned(world: World) -> None:
    async with world.memory(in_a_hurry=True) as memory:
        memory.learn_blob(PLACE, "app", BLOB)

    assert await world.knows()


async def test_of_two_passes_at_once_the_last_one_to_write_wins_and_none_fails(world: World) -> None:
    async with world.memory() as one, world.memory() as other:
        one.learn_blob(PLACE, "app", BLOB)
        other.learn_blob(PLACE, "app", OTHER)

    assert await world.knows(BLOB)
    assert not await world.knows(OTHER)


async def test_the_file_and_the_state_are_known_together(world: World, tmp_path: Path) -> None:
    async with CacheStore().open(StateLocation(folder=tmp_path), ttl=0.0) as memory:
        memory.learn_blob(PLACE, "app", OTHER)
    await world.learn(BLOB)

    async with Side() as side:
        location = StateLocation(
            folder=tmp_path, repository=side.repository(world.registry.url, REPOSITORY), tag=TAG
        )
        async with CacheStore().open(location, ttl=0.0) as memory:
            assert memory.holders(PLACE, BLOB) == ["app"]
            assert memory.holders(PLACE, OTHER) == ["app"]


def stored(
    layer: bytes, *, kind: str = state_artifact.ARTIFACT_TYPE, media_type: str = state_artifact.LAYER_TYPE
) -> Image:
    """Return an artifact with such a layer."""
    config = build.blob(b"{}", "application/vnd.oci.empty.v1+json")
    blob = build.blob(layer, media_type)
    body = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": config.descriptor,
        "layers": [blob.descriptor],
    }
    root = StoredManifest.of(json.dumps(body).encode(), "application/vnd.oci.image.manifest.v1+json")
    return Image(manifests=(root,), blobs={each.digest: each.content for each in (config, blob)})


DAMAGED = {
    "no gzip": stored(b"something else"),
    "cut": stored(gzip.compress(entries.HEADER)[:-12]),
    "of another format": stored(gzip.compress(b"ocync-memory-99\n")),
    "a bomb": stored(gzip.compress(entries.HEADER + bytes(100_000_000))),
    "another artifact": stored(b"x", kind="application/vnd.other"),
    "another layer": stored(b"x", media_type="application/vnd.other"),
    "an image": build.image(),
    "an index": build.multi_arch(),
}


@pytest.mark.parametrize("what", DAMAGED)
async def test_what_is_no_state_is_said_and_taken_for_none(
    world: World, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.registry.seed(REPOSITORY, TAG, DAMAGED[what])

    await world.learn(BLOB)

    (record,) = caplog.records
    assert f"{world.registry.host}/{REPOSITORY}:{TAG}" in record.getMessage()
    assert "makes more requests" in record.getMessage()
    assert await world.knows()


async def test_bytes_that_are_not_those_of_the_digest_are_not_believed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.learn(BLOB)
    world.registry.on("GET", r"/blobs/", respond=faults.flip_bit(at=20), times=1)

    assert not await world.knows()
    assert "hashes to" in caplog.text


@pytest.mark.parametrize("status", [401, 403, 500, 503])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_registry_that_refuses_the_state_fails_no_pass(
    world: World, method: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.registry.on(method, r"/manifests/", respond=faults.answer(status), times=9)

    await world.learn(BLOB)

    assert "can't be " in caplog.text


async def test_a_registry_that_is_silent_does_not_hold_the_pass(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_FETCH_TIME", 0.3)
    monkeypatch.setattr(store, "_PUSH_TIME_AFTER_STOP", 0.3)
    world.registry.on("*", REPOSITORY, respond=faults.stall(30))

    async with world.memory(in_a_hurry=True) as memory:
        memory.learn_blob(PLACE, "app", BLOB)

    assert "can't be read within 0.3 s" in caplog.text
    assert "can't be written within 0.3 s" in caplog.text


async def test_what_is_wrong_is_said_once_by_a_program_of_many_passes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.registry.on("GET", r"/manifests/", respond=faults.answer(403))
    program = CacheStore()
    for _ in range(3):
        async with world.memory(by=program):
            pass

    assert len(caplog.records) == 1


async def test_no_secret_is_in_the_state() -> None:
    user = User(name="robot", password="correct-horse-battery")
    async with ScriptedRegistry(auth=Basic(users=(user,))) as registry:
        world = World(registry, account=("robot", "correct-horse-battery"))

        await world.learn(BLOB)

        manifest = registry.manifest(REPOSITORY, TAG)
        text = gzip.decompress(registry.repository(REPOSITORY).read(manifest.blobs[1]["digest"]))
    assert b"robot" not in text
    assert b"correct-horse" not in text
