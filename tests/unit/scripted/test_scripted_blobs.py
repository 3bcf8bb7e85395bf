"""Reading and deleting blobs at the scripted registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripted import GeneratedBlob, ScriptedRegistry
from scripted.content import Bytes, digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

DATA = bytes(range(256)) * 40
DIGEST = digest_of(DATA)


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        registry.seed_blob("a/b", DIGEST, Bytes(DATA))
        yield registry


def url(registry: ScriptedRegistry, digest: str = DIGEST, repository: str = "a/b") -> str:
    return f"{registry.url}/v2/{repository}/blobs/{digest}"


async def test_a_blob_comes_with_its_digest_and_length(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    for answer in (await client.get(url(registry)), await client.head(url(registry))):
        assert answer.status_code == 200
        assert answer.headers["docker-content-digest"] == DIGEST
        assert answer.headers["content-length"] == str(len(DATA))
    assert (await client.get(url(registry))).content == DATA


@pytest.mark.parametrize(
    ("asked", "told", "start", "stop"),
    [
        pytest.param("bytes=0-0", "bytes 0-0/10240", 0, 1, id="one byte"),
        pytest.param("bytes=100-", "bytes 100-10239/10240", 100, None, id="from an offset on"),
        pytest.param("bytes=5-20000", "bytes 5-10239/10240", 5, None, id="beyond the end"),
        pytest.param("bytes=-10", "bytes 10230-10239/10240", -10, None, id="the last bytes"),
        pytest.param("bytes=-20000", "bytes 0-10239/10240", 0, None, id="more last bytes than there are"),
    ],
)
async def test_a_range_gives_that_part(
    registry: ScriptedRegistry, client: httpx.AsyncClient, asked: str, told: str, start: int, stop: int | None
) -> None:
    answer = await client.get(url(registry), headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (206, told)
    assert answer.content == DATA[start:stop]


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-3", "bytes=-"])
async def test_a_range_that_makes_no_sense_is_ignored(
    registry: ScriptedRegistry, client: httpx.AsyncClient, asked: str
) -> None:
    answer = await client.get(url(registry), headers={"Range": asked})
    assert (answer.status_code, len(answer.content)) == (200, len(DATA))


async def test_a_range_after_the_end_is_416(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    answer = await client.get(url(registry), headers={"Range": "bytes=10240-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10240")


async def test_ranges_can_be_off(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.behaviour.ranges = False
    answer = await client.get(url(registry), headers={"Range": "bytes=5-"})
    assert (answer.status_code, len(answer.content)) == (200, len(DATA))


@pytest.mark.parametrize(
    ("digest", "repository", "status", "code"),
    [
        pytest.param(digest_of(b"other"), "a/b", 404, "BLOB_UNKNOWN", id="not there"),
        pytest.param(DIGEST, "a/c", 404, "NAME_UNKNOWN", id="another repository"),
        pytest.param("sha256:abc", "a/b", 400, "DIGEST_INVALID", id="too short"),
        pytest.param("md5:" + "0" * 32, "a/b", 400, "DIGEST_INVALID", id="unknown algorithm"),
        pytest.param(DIGEST, "A/b", 400, "NAME_INVALID", id="no repository's name"),
    ],
)
async def test_what_is_not_there_is_said_in_json(
    registry: ScriptedRegistry,
    client: httpx.AsyncClient,
    digest: str,
    repository: str,
    status: int,
    code: str,
) -> None:
    answer = await client.get(url(registry, digest, repository))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_a_blob_can_be_deleted_unless_that_is_off(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.behaviour.delete = False
    assert (await client.delete(url(registry))).status_code == 405
    registry.behaviour.delete = True
    assert (await client.delete(url(registry))).status_code == 202
    assert (await client.head(url(registry))).status_code == 404


async def test_a_generated_blob_streams(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    content = GeneratedBlob(30_000_000, seed=1)
    registry.seed_blob("big/one", content.digest(), content)
    received = 0
    async with client.stream("GET", url(registry, content.digest(), "big/one")) as answer:
        async for piece in answer.aiter_raw():
            received += len(piece)
    assert received == content.size
    assert registry.requests[-1].sent == content.size
