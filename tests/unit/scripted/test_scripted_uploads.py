"""Writing blobs at the scripted registry, in each of the ways there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripted import ScriptedRegistry
from scripted.content import Bytes, digest_of

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"0123456789" * 100
DIGEST = digest_of(DATA)
OPEN = "/v2/a/b/blobs/uploads/"


async def begin(registry: ScriptedRegistry, client: httpx.AsyncClient, query: str = "") -> str:
    """Open a session and return its Location, resolved."""
    answer = await client.post(registry.url + OPEN + query)
    assert answer.status_code == 202, answer.text
    return str(answer.url.join(answer.headers["location"]))


def closing(location: str, digest: str = DIGEST) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


async def test_post_then_put_stores_the_blob(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        answer = await client.put(closing(await begin(registry, client)), content=DATA)
        assert (answer.status_code, answer.headers["docker-content-digest"]) == (201, DIGEST)
        assert answer.headers["location"] == f"/v2/a/b/blobs/{DIGEST}"
        assert registry.repositories["a/b"].read(DIGEST) == DATA
        assert not registry.uploads.sessions


async def test_a_single_post_stores_the_blob(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        answer = await client.post(f"{registry.url}{OPEN}?digest={DIGEST}", content=DATA)
        assert answer.status_code == 201
        assert registry.repositories["a/b"].read(DIGEST) == DATA


async def test_where_single_posts_are_off_a_session_is_opened_instead(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(single_post=False) as registry:
        answer = await client.post(f"{registry.url}{OPEN}?digest={DIGEST}", content=DATA)
        assert answer.status_code == 202
        assert (await client.put(closing(answer.headers["location"]), content=DATA)).status_code == 201


async def test_chunks_are_put_together(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        answer = await client.patch(location, content=DATA[:300], headers={"Content-Range": "0-299"})
        assert (answer.status_code, answer.headers["range"]) == (202, "0-299")
        answer = await client.patch(
            answer.headers["location"], content=DATA[300:600], headers={"Content-Range": "300-599"}
        )
        state = await client.get(answer.headers["location"])
        assert (state.status_code, state.headers["range"]) == (204, "0-599")
        answer = await client.put(
            closing(state.headers["location"]), content=DATA[600:], headers={"Content-Range": "600-999"}
        )
        assert answer.status_code == 201
        assert registry.repositories["a/b"].read(DIGEST) == DATA


async def test_a_stream_without_content_range_is_taken(client: httpx.AsyncClient) -> None:
    async def pieces() -> Any:
        yield DATA[:10]
        yield DATA[10:]

    async with ScriptedRegistry() as registry:
        answer = await client.patch(await begin(registry, client), content=pieces())
        assert answer.status_code == 202
        assert (await client.put(closing(answer.headers["location"]))).status_code == 201
        registry.behaviour.chunked_encoding = False
        assert (await client.patch(await begin(registry, client), content=pieces())).status_code == 411


@pytest.mark.parametrize(
    ("range_", "status", "code"),
    [
        pytest.param("5-9", 416, "RANGE_INVALID", id="a gap"),
        pytest.param("bytes 0-4", 400, "BLOB_UPLOAD_INVALID", id="with a unit"),
        pytest.param("0-4/*", 400, "BLOB_UPLOAD_INVALID", id="with a total"),
        pytest.param("0-9", 400, "SIZE_INVALID", id="another length"),
    ],
)
async def test_a_content_range_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, range_: str, status: int, code: str
) -> None:
    async with ScriptedRegistry() as registry:
        answer = await client.patch(
            await begin(registry, client), content=b"12345", headers={"Content-Range": range_}
        )
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
async def test_digests_of_other_algorithms_are_verified(client: httpx.AsyncClient, algorithm: str) -> None:
    digest = digest_of(DATA, algorithm)
    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        assert (await client.patch(location, content=DATA)).status_code == 202
        assert (await client.put(closing(location, digest))).status_code == 201
        location = await begin(registry, client, f"?digest-algorithm={algorithm}")
        assert (await client.put(closing(location, digest), content=DATA)).status_code == 201
        answer = await client.put(closing(await begin(registry, client), digest_of(b"x", algorithm)), content=DATA)
        assert answer.status_code == 400


async def test_wrong_bytes_are_refused_and_the_session_ends(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        answer = await client.put(closing(location), content=b"lies")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
        assert (await client.put(closing(location), content=DATA)).status_code == 404
        assert "a/b" not in registry.repositories


async def test_a_session_can_be_cancelled(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        assert (await client.delete(location)).status_code == 204
        assert (await client.get(location)).json()["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"
        assert registry.uploads.cancelled == 1


async def test_sessions_can_be_forgotten(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        registry.uploads.forget_all()
        assert (await client.put(closing(location), content=DATA)).status_code == 404


@pytest.mark.parametrize(
    ("options", "query", "status"),
    [
        pytest.param({}, f"mount={DIGEST}&from=a/source", 201, id="from a repository that has it"),
        pytest.param({}, f"mount={DIGEST}&from=a/other", 202, id="from one that has it not"),
        pytest.param({"mount": False}, f"mount={DIGEST}&from=a/source", 202, id="mounts are off"),
        pytest.param({}, f"mount={DIGEST}", 202, id="without from"),
        pytest.param({"anonymous_mount": True}, f"mount={DIGEST}", 201, id="without from, as Docker Hub"),
        pytest.param({"mount_without_from_status": 405}, f"mount={DIGEST}", 405, id="without from, as zot"),
        pytest.param({}, "mount=nonsense&from=a/source", 400, id="not a digest"),
    ],
)
async def test_mounts(client: httpx.AsyncClient, options: dict[str, Any], query: str, status: int) -> None:
    async with ScriptedRegistry(**options) as registry:
        registry.seed_blob("a/source", DIGEST, Bytes(DATA))
        answer = await client.post(f"{registry.url}{OPEN}?{query}")
        assert answer.status_code == status
        assert ("a/b" in registry.repositories) == (status == 201)
        if status == 202:
            assert (await client.put(closing(answer.headers["location"]), content=DATA)).status_code == 201


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        pytest.param("absolute", "{url}/v2/a/b/blobs/uploads/", id="absolute"),
        pytest.param("path", "/v2/a/b/blobs/uploads/", id="a path"),
        pytest.param("no-scheme", "//{host}/v2/a/b/blobs/uploads/", id="without a scheme"),
        pytest.param("relative", "", id="relative"),
        pytest.param("other-host", "http://127.0.0.1:", id="another host"),
    ],
)
async def test_locations_come_in_all_forms(client: httpx.AsyncClient, form: str, begins: str) -> None:
    async with ScriptedRegistry(location=form) as registry:
        answer = await client.post(registry.url + OPEN)
        location = answer.headers["location"]
        assert location.startswith(begins.format(url=registry.url, host=registry.host))
        assert location.startswith(registry.url) == (form == "absolute")
        answer = await client.patch(answer.url.join(location), content=DATA[:500])
        answer = await client.put(closing(str(answer.url.join(answer.headers["location"]))), content=DATA[500:])
        assert answer.status_code == 201


async def test_locations_can_lie_outside_of_v2(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(location_outside=True) as registry:
        location = await begin(registry, client)
        assert "/v2/" not in location
        assert len(location) > 3000
        assert (await client.put(closing(location), content=DATA)).status_code == 201


async def test_an_exact_query_must_come_back_byte_for_byte(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(location_query="exact") as registry:
        location = await begin(registry, client)
        target = location.removeprefix(registry.url)
        good = httpx.Request("PUT", registry.url, content=DATA, extensions={"target": closing(target).encode()})
        changed = httpx.Request(
            "PUT", registry.url, content=DATA, extensions={"target": closing(target.replace("%2b", "%2B")).encode()}
        )
        assert (await client.send(changed)).json()["errors"][0]["code"] == "BLOB_UPLOAD_INVALID"
        assert (await client.send(good)).status_code == 201


async def test_a_query_without_its_state_is_refused(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        assert (await client.put(closing(location.partition("?")[0]), content=DATA)).status_code == 400


async def test_old_locations_can_be_refused(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(location_latest_only=True) as registry:
        old = await begin(registry, client)
        new = (await client.patch(old, content=DATA[:5])).headers["location"]
        answer = await client.patch(old, content=DATA[5:])
        assert (answer.status_code, answer.headers["range"]) == (416, "0-4")
        assert (await client.put(closing(new), content=DATA[5:])).status_code == 201


async def test_credentials_at_another_host_fail_the_test(client: httpx.AsyncClient) -> None:
    with pytest.raises(AssertionError, match="came to another host"):
        async with ScriptedRegistry(location="other-host") as registry:
            location = await begin(registry, client)
            await client.put(closing(location), content=DATA, headers={"Authorization": "Bearer x"})


async def test_what_came_before_a_connection_broke_stays_in_the_session(client: httpx.AsyncClient) -> None:
    async def broken() -> Any:
        yield DATA[:400]
        raise ConnectionAbortedError

    async with ScriptedRegistry() as registry:
        location = await begin(registry, client)
        with pytest.raises(ConnectionAbortedError):
            await client.put(closing(location), content=broken(), headers={"Content-Length": "1000"})
        state = await client.get(location)
        assert state.headers["range"] == "0-399"
        assert (await client.put(closing(location), content=DATA[400:])).status_code == 201


async def test_limits_on_bodies_as_some_registries_have_them(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(content_range_limit=500, body_limit=2000, chunk_minimum=100) as registry:
        answer = await client.post(registry.url + OPEN)
        assert answer.headers["oci-chunk-min-length"] == "100"
        location = answer.headers["location"]
        whole = {"Content-Range": "0-999"}
        assert (await client.patch(location, content=DATA, headers=whole)).status_code == 416
        short = {"Content-Range": "0-4"}
        assert (await client.patch(location, content=DATA[:5], headers=short)).status_code == 400
        assert (await client.put(closing(location), content=DATA * 3)).status_code == 413
        assert (await client.put(closing(location), content=DATA)).status_code == 201


async def test_a_stuck_range_is_told_while_the_bytes_are_stored(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(stuck_range=True) as registry:
        location = await begin(registry, client)
        for at in (0, 300):
            answer = await client.patch(location, content=DATA[at : at + 300])
            assert answer.headers["range"] == "0-299"
        assert (await client.put(closing(location), content=DATA[600:])).status_code == 201


async def test_a_repository_that_must_exist_first(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(create_repositories=False) as registry:
        answer = await client.post(registry.url + OPEN)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        registry.repository("a/b")
        await begin(registry, client)


async def test_long_uploads_go_to_files(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async with ScriptedRegistry(folder=tmp_path, spool_over=300) as registry:
        location = await begin(registry, client)
        await client.patch(location, content=DATA[:200])
        assert not list(tmp_path.iterdir())
        assert (await client.put(closing(location), content=DATA[200:])).status_code == 201
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [DATA]
        assert registry.repositories["a/b"].read(DIGEST) == DATA


async def test_cancelled_uploads_leave_no_files(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async with ScriptedRegistry(folder=tmp_path, spool_over=300) as registry:
        location = await begin(registry, client)
        await client.patch(location, content=DATA)
        assert list(tmp_path.iterdir())
        await client.delete(location)
        assert not list(tmp_path.iterdir())


async def test_long_uploads_can_be_verified_and_thrown_away(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(discard_over=500) as registry:
        assert (await client.put(closing(await begin(registry, client)), content=DATA)).status_code == 201
        assert (await client.head(f"{registry.url}/v2/a/b/blobs/{DIGEST}")).headers["content-length"] == "1000"
        lie = closing(await begin(registry, client))
        assert (await client.put(lie, content=DATA[:-1] + b"x")).status_code == 400
