"""Passes from and to Docker's own registry, with skopeo as an independent reader of what arrived."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor, repository_of, write
from ocync.cache.store import CacheStore, StateLocation
from ocync.lib.errors import ErrorKind, NetworkError, ProtocolError
from ocync.plan.model import Reason
from ocync.transfer.result import BlobStats, Status
from scripted import ScriptedRegistry, build
from scripted.certificates import make_authority
from servers.docker_registry import DockerRegistry, docker_registry
from servers.nginx import blob_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SHARED = build.layer(300_000, 1)
ACCOUNT = ("robot", "secret")
# Without it the registry refuses manifests with layers that are fetched from elsewhere.
FOREIGN_ALLOWED = {"validation": {"manifests": {"urls": {"allow": ["^https://example\\.com/"]}}}}
IMAGES = {
    "image": build.image([SHARED, build.layer(20_000, 2)]),
    "index": build.multi_arch(shared=[SHARED], attestations=True),
    "docker": build.image([SHARED], docker=True),
    "docker-list": build.multi_arch(docker=True, seed=3),
    "nested": build.index([build.index([build.multi_arch(seed=4)]), build.image()]),
    "artifact": build.artifact("application/spdx+json", [b'{"a": 1}']),
    "chart": build.chart(),
    "empty": build.image([build.empty_layer(), build.empty_layer()]),
    "foreign": build.image([build.foreign_layer(), SHARED]),
    "large": build.image([build.big_layer(30_000_000, 5)]),
}


@pytest.fixture
async def source() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        for tag, image in IMAGES.items():
            registry.seed("team/app", tag, image)
        yield registry


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path / "registry", account=ACCOUNT, settings=FOREIGN_ALLOWED) as registry:
        yield registry


def differing(source: ScriptedRegistry, target: DockerRegistry, repository: str = "team/app") -> list[str]:
    """Return the tags under which the target's disk does not hold what the source does, byte for byte."""
    return [
        tag
        for tag, digest in source.repository(repository).tags.items()
        if target.tag(repository, tag) != digest
        or any(
            target.blob(part) != (raw if isinstance(raw, bytes) else source.repository(repository).read(part))
            for part, raw in source.content_of(repository, tag).items()
        )
    ]


async def skopeo(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "skopeo", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return out


async def test_all_kinds_of_images_arrive_and_the_next_pass_moves_nothing(
    source: ScriptedRegistry, target: DockerRegistry
) -> None:
    async with Side(account=ACCOUNT, idle=5) as side:
        first = await side.sync(side.mapping(source.url, target.url))
        second = await side.sync(side.mapping(source.url, target.url))

    assert {(r.status, r.reason) for r in first.values()} == {(Status.SYNCED, Reason.NEW)}
    assert {(r.status, r.reason) for r in second.values()} == {(Status.SKIPPED, Reason.UP_TO_DATE)}
    assert differing(source, target) == []
    assert target.uploads("team/app") == []


async def test_what_was_mirrored_there_is_mirrored_on_as_it_is(
    source: ScriptedRegistry, target: DockerRegistry
) -> None:
    async with Side(account=ACCOUNT, idle=5) as side, ScriptedRegistry() as end:
        await side.sync(side.mapping(source.url, target.url))
        results = await side.sync(side.mapping(target.url, end.url))

        assert {r.status for r in results.values()} == {Status.SYNCED}
        for tag in IMAGES:
            assert end.content_of("team/app", tag) == source.content_of("team/app", tag)
        assert not end.incomplete_tags()


async def test_skopeo_reads_every_tag_and_all_of_an_image(
    source: ScriptedRegistry, target: DockerRegistry, tmp_path: Path
) -> None:
    async with Side(account=ACCOUNT, idle=5) as side:
        await side.sync(side.mapping(source.url, target.url))

    login = ("--tls-verify=false", "--creds", ":".join(ACCOUNT))
    listed = json.loads(await skopeo("list-tags", *login, f"docker://{target.host}/team/app"))
    assert set(listed["Tags"]) == set(IMAGES)
    for tag, image in IMAGES.items():
        assert await skopeo("inspect", "--raw", *login, f"docker://{target.host}/team/app:{tag}") == image.root.raw
    options = ("--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--src-creds", ":".join(ACCOUNT))
    await skopeo(*options, f"docker://{target.host}/team/app:index", f"dir:{tmp_path}/index")
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert {digest.partition(":")[2] for digest in IMAGES["index"].blobs} <= names


async def test_blobs_are_mounted_between_its_repositories(source: ScriptedRegistry, target: DockerRegistry) -> None:
    for name in ("team/one", "team/two", "team/three"):
        source.seed(name, "1", build.image([SHARED], label=name))

    async with Side(account=ACCOUNT, idle=5) as side:
        names = ("team/one", "team/two", "team/three")
        work = [side.mapping(source.url, target.url, repository=name) for name in names]
        results = await side.sync(*work)

    assert source.count("GET", SHARED.digest) == 1
    assert sum((r.blobs for r in results.values()), start=BlobStats()) == BlobStats(transferred=4, mounted=2)
    assert all(differing(source, target, name) == [] for name in names)


async def test_blobs_that_it_redirects_to_a_store_are_fetched_there_without_the_credentials(
    source: ScriptedRegistry, tmp_path: Path
) -> None:
    store_folder = tmp_path / "registry" / "storage"
    with blob_store(tmp_path / "nginx", root=store_folder) as store:
        redirect = {"name": "redirect", "options": {"baseurl": f"{store.url}/"}}
        settings = {"middleware": {"storage": [redirect]}, **FOREIGN_ALLOWED}
        with docker_registry(tmp_path / "registry", account=ACCOUNT, settings=settings) as middle:
            async with Side(account=ACCOUNT, idle=5) as side, ScriptedRegistry() as end:
                await side.sync(side.mapping(source.url, middle.url))
                results = await side.sync(side.mapping(middle.url, end.url))

                assert {r.status for r in results.values()} == {Status.SYNCED}
                assert all(end.content_of("team/app", tag) == source.content_of("team/app", tag) for tag in IMAGES)
        fetched = [line for line in store.said().splitlines() if line.startswith("GET ")]

    assert len(fetched) == len({digest for image in IMAGES.values() for digest in image.blobs})
    assert all(line.endswith("authorization=-") for line in fetched)


async def test_relative_locations_are_followed(source: ScriptedRegistry, tmp_path: Path) -> None:
    with docker_registry(tmp_path, settings=FOREIGN_ALLOWED | {"http": {"relativeurls": True}}) as target:
        async with Side(idle=5) as side:
            results = await side.sync(side.mapping(source.url, target.url))

        assert {r.status for r in results.values()} == {Status.SYNCED}
        assert differing(source, target) == []


async def test_a_private_authority_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "ca")
    pair = authority.issue()
    with docker_registry(tmp_path / "registry", certificate=(pair.cert_file, pair.key_file)) as target:
        url = target.url.replace("http://", "https://")
        async with repository_of(url, idle=5, ca_file=authority.ca_file) as repository:
            await write(repository, b"through TLS")
            assert await repository.has_blob(descriptor(b"through TLS"))
        async with repository_of(url, idle=5, attempts=2) as repository:
            with pytest.raises(NetworkError, match="certificate"):
                await repository.tags()


async def test_a_registry_that_is_read_only_says_so_and_is_not_pressed(
    source: ScriptedRegistry, tmp_path: Path
) -> None:
    settings = {"storage": {"maintenance": {"readonly": {"enabled": True}}}}
    with docker_registry(tmp_path, settings=settings) as target:
        async with Side(idle=5) as side:
            results = await side.sync(side.mapping(source.url, target.url))
        tried = target.server.said().count("http.request.method=POST")

    assert {r.status for r in results.values()} == {Status.FAILED}
    assert {r.error.kind for r in results.values() if r.error} == {ErrorKind.PROTOCOL}
    assert all("405" in r.error.message for r in results.values() if r.error)
    # No second try for what was refused for good; several images and blobs ask before they know.
    assert tried <= 4 * len(IMAGES)


async def test_a_manifest_that_is_too_large_for_it_fails_with_its_words(
    source: ScriptedRegistry, target: DockerRegistry
) -> None:
    source.seed("team/huge", "1", build.image(annotations={"x": "y" * 4_300_000}))
    source.seed("team/huge", "2", build.image())

    async with Side(account=ACCOUNT, idle=5) as side:
        results = await side.sync(side.mapping(source.url, target.url, repository="team/huge"))

    assert target.tag("team/huge", "1") is None
    assert target.tag("team/huge", "2") == source.resolve("team/huge", "2")
    failed = results[f"{target.host}/team/huge:1"].error
    assert failed is not None
    assert failed.kind is ErrorKind.PROTOCOL
    assert "MANIFEST_INVALID" in failed.message


async def test_a_long_tag_list_is_read_whole(source: ScriptedRegistry, target: DockerRegistry) -> None:
    async with Side(account=ACCOUNT, idle=5) as side:
        await side.sync(side.mapping(source.url, target.url))
        tags = target.storage / "docker/registry/v2/repositories/team/app/_manifests/tags"
        digest = IMAGES["image"].digest
        for number in range(1000, 2500):
            link = tags / f"v{number}" / "current" / "link"
            link.parent.mkdir(parents=True)
            link.write_text(digest)
        found = await side.repository(target.url).tags()

    assert set(found) == {*IMAGES, *(f"v{number}" for number in range(1000, 2500))}


async def test_blobs_by_sha512_are_kept_under_that_name(target: DockerRegistry) -> None:
    data = b"named by a longer digest"
    blob = descriptor(data, "sha512")

    async with repository_of(target.url, account=ACCOUNT, idle=5) as repository:
        await write(repository, data, blob=blob)
        assert await repository.has_blob(blob)


async def test_a_blob_takes_two_requests_there_and_finding_that_out_takes_none(target: DockerRegistry) -> None:
    async with Side(account=ACCOUNT) as side:
        repository = side.repository(target.url)
        for data in (b"a config", b"{}", b"x" * 100_000):
            await write(repository, data)
            assert target.blob(str(descriptor(data).digest)) == data
        assert repository.single_post is False

    # The first look at /v2/ is answered by 401.
    assert dict(side.tally.requests[target.host]) == {"2xx": 3 * 2, "4xx": 1}
    assert target.uploads("team/app") == []


async def test_parts_are_put_together_there_too(target: DockerRegistry) -> None:
    data = bytes(range(256)) * 40_000
    async with repository_of(target.url, account=ACCOUNT) as repository:
        assert repository._client.upload_strategy.too_large(len(data))
        await write(repository, data)

    assert target.blob(str(descriptor(data).digest)) == data
    assert target.uploads("team/app") == []


async def test_a_blob_that_is_not_what_its_digest_says_is_refused_by_it_too(target: DockerRegistry) -> None:
    async with repository_of(target.url, account=ACCOUNT, idle=5) as repository:
        with pytest.raises(ProtocolError, match="DIGEST_INVALID") as caught:
            await write(repository, b"one", blob=descriptor(b"two"))

    assert caught.value.retryable


async def test_layers_from_elsewhere_that_the_target_refuses_are_told_with_what_to_do(
    source: ScriptedRegistry, tmp_path: Path
) -> None:
    with docker_registry(tmp_path) as target:
        async with Side(idle=5) as side:
            results = await side.sync(side.mapping(source.url, target.url))
        failed = {r.target.rpartition(":")[2]: r.error for r in results.values() if r.error}

    assert set(failed) == {"foreign"}
    assert failed["foreign"].kind is ErrorKind.NOT_FOUND
    assert "validation.manifests.urls" in str(failed["foreign"].hint)
    assert side.waits.seconds == []


async def test_a_target_that_stops_answering_in_the_middle_fails_in_time_and_is_completed_later(
    source: ScriptedRegistry, target: DockerRegistry
) -> None:
    moved = 0
    source.repository("team/app").tags = {tag: IMAGES[tag].digest for tag in ("index", "large")}

    def freeze(event: object) -> None:
        nonlocal moved
        moved += type(event).__name__ == "BytesMoved"
        if moved == 20:
            target.server.suspend()

    async with Side(account=ACCOUNT, idle=0.3, attempts=2) as side:
        results = await side.sync(side.mapping(source.url, target.url), sink=freeze, within=30)
        target.server.resume()
        failed = {r.status for r in results.values()}
    async with Side(account=ACCOUNT, idle=5) as side:
        again = await side.sync(side.mapping(source.url, target.url))

    assert Status.FAILED in failed
    assert {r.status for r in again.values()} <= {Status.SYNCED, Status.SKIPPED}
    assert differing(source, target) == []


async def test_what_is_not_there_is_nothing_and_no_error(target: DockerRegistry) -> None:
    async with repository_of(target.url, account=ACCOUNT, idle=5) as repository:
        found, tags = await repository.head("nothing"), await repository.first_tags()

    assert found is None
    assert (tags.tags, tags.complete) == ((), True)


async def test_a_pass_with_memory_sends_what_is_new(tmp_path: Path, target: DockerRegistry) -> None:
    folder = tmp_path / "cache"
    layers = [build.layer(2_000, seed) for seed in range(3)]
    async with ScriptedRegistry() as source:
        for label in ("first", "second"):
            for number in range(2):
                source.seed(f"team/app{number}", "1", build.image(layers, label=f"{label} {number}"))
            source.seed("team/app0", label, build.image(layers[1:], label=label))
            async with (
                CacheStore().open(StateLocation(folder=folder), ttl=3600.0) as memory,
                Side(account=ACCOUNT, memory=memory) as side,
            ):
                work = [side.mapping(source.url, target.url, repository=f"team/app{n}") for n in range(2)]
                results = await side.sync(*work)

            assert {result.status for result in results.values()} <= {Status.SYNCED, Status.SKIPPED}
            assert [differing(source, target, f"team/app{number}") for number in range(2)] == [[], []]
    assert sum(result.blobs.transferred for result in results.values()) == 3
    assert memory.counts.stale == 0
