"""The second origin that registries redirect to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from scripted import Basic, BlobStore, GeneratedBlob, ScriptedRegistry, User, faults

if TYPE_CHECKING:
    import httpx

DATA = GeneratedBlob(50_000, seed=2)
WHOLE = b"".join(DATA.pieces(0, DATA.size))
PATH = f"/v2/a/b/blobs/{DATA.digest()}"


async def signed(client: httpx.AsyncClient, registry: ScriptedRegistry, method: str = "GET") -> str:
    answer = await client.request(method, registry.url + PATH, auth=("u", "p"))
    assert answer.status_code == 307
    return answer.headers["location"]


def redirecting(store: BlobStore) -> ScriptedRegistry:
    registry = ScriptedRegistry(auth=Basic(users=(User(name="u", password="p"),)))
    registry.seed_blob("a/b", DATA.digest(), DATA)
    registry.on("GET|HEAD", r"/blobs/sha256:", respond=store.redirect())
    return registry


async def test_blobs_come_from_the_store_without_credentials(client: httpx.AsyncClient) -> None:
    async with BlobStore() as store, redirecting(store) as registry:
        url = await signed(client, registry)
        assert url.startswith(store.url)
        assert (await client.get(url)).content == WHOLE
        part = await client.get(url, headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, WHOLE[100:200])
        assert (await client.get(registry.url + PATH)).status_code == 401
        assert store.count("GET") == 2


async def test_credentials_at_the_store_fail_the_test(client: httpx.AsyncClient) -> None:
    with pytest.raises(AssertionError, match="came with an Authorization"):
        async with BlobStore() as store, redirecting(store) as registry:
            answer = await client.get(await signed(client, registry), headers={"Authorization": "Bearer x"})
            assert (answer.status_code, "Only one auth" in answer.text) == (400, True)


async def test_a_url_that_was_encoded_anew_fails_the_test(client: httpx.AsyncClient) -> None:
    with pytest.raises(AssertionError, match="not as it was signed"):
        async with BlobStore() as store, redirecting(store) as registry:
            url = (await signed(client, registry)).replace("%2b", "%2B")
            assert (await client.get(url)).status_code == 403


async def test_urls_end(client: httpx.AsyncClient) -> None:
    async with BlobStore(lifetime=0.1) as store, redirecting(store) as registry:
        url = await signed(client, registry)
        assert (await client.get(url)).status_code == 200
        await asyncio.sleep(0.15)
        answer = await client.get(url)
        assert (answer.status_code, "expired" in answer.text) == (403, True)


async def test_a_url_is_good_for_its_method_only(client: httpx.AsyncClient) -> None:
    async with BlobStore() as store, redirecting(store) as registry:
        assert (await client.head(await signed(client, registry))).status_code == 403
        assert (await client.head(await signed(client, registry, "HEAD"))).status_code == 200


async def test_the_store_can_fail_by_script(client: httpx.AsyncClient) -> None:
    async with BlobStore() as store, redirecting(store) as registry:
        store.on("GET", "/bucket/", times=1, respond=faults.answer(503))
        url = await signed(client, registry)
        assert [(await client.get(url)).status_code for _ in range(2)] == [503, 200]
