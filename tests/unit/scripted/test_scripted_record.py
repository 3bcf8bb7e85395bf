"""What the scripted registry remembers of its requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    import httpx


async def test_requests_are_recorded_with_what_matters(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        registry.seed("a/b", "1.0", build.image())
        headers = {"Authorization": "Bearer secret-token", "Range": "bytes=0-", "Cookie": "sid=1"}
        answer = await client.get(f"{registry.url}/v2/a/b/manifests/1.0?x=%41", headers=headers)
        await client.post(f"{registry.url}/v2/a/b/blobs/uploads/", content=b"")
        first, second = registry.requests
        assert (first.method, first.path, first.query, first.status) == (
            "GET",
            "/v2/a/b/manifests/1.0",
            "x=%41",
            200,
        )
        assert (first.host, first.server, first.scheme) == (registry.host, "registry", "Bearer")
        assert first.headers["cookie"] == "sid=1"
        assert first.headers["range"] == "bytes=0-"
        assert first.sent == len(answer.content)
        assert first.finished is not None
        assert first.finished >= first.started
        assert "secret" not in repr(first)
        assert (second.scheme, second.fingerprint) == (None, None)
        assert str(second) == "POST /v2/a/b/blobs/uploads/ -> 202"


async def test_equal_credentials_have_equal_fingerprints(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        for value in ("Bearer one", "Bearer one", "Bearer two"):
            await client.get(f"{registry.url}/v2/", headers={"Authorization": value})
        one, again, two = (request.fingerprint for request in registry.requests)
        assert one == again != two


async def test_requests_are_counted_by_method_target_and_status(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        registry.seed("a/b", "1.0", build.image())
        for tag in ("1.0", "2.0"):
            await client.get(f"{registry.url}/v2/a/b/manifests/{tag}")
            await client.head(f"{registry.url}/v2/a/b/manifests/{tag}")
        assert registry.count() == 4
        assert registry.count("GET") == 2
        assert registry.count("GET|HEAD", r"/manifests/1\.0$") == 2
        assert registry.count("HEAD", status=404) == 1
        registry.requests.clear()
        assert registry.count() == 0


async def test_bytes_that_came_in_are_counted(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        await client.post(f"{registry.url}/v2/a/b/blobs/uploads/?digest=sha256:x", content=b"12345")
        assert registry.requests[-1].received == 5


async def test_the_peak_of_simultaneous_requests_is_known(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        registry.seed("a/b", "1.0", build.image())
        registry.on("GET", "/manifests/", respond=faults.stall(0.2))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(client.get(f"{registry.url}/v2/a/b/manifests/1.0"))
                tasks.create_task(client.get(f"{registry.url}/v2/"))
        assert registry.requests.peak >= 5
        assert registry.requests.peak_of("GET", "/manifests/") == 5
        assert registry.requests.active == 0
        await client.get(f"{registry.url}/v2/")
        registry.requests.clear()
        await client.get(f"{registry.url}/v2/")
        assert registry.requests.peak == 1
