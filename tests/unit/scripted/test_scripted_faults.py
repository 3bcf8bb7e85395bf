"""Faults by script, as a client meets them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripted import Basic, GeneratedBlob, ScriptedRegistry, User, build, faults
from scripted.content import Bytes, digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DATA = GeneratedBlob(600_000, seed=1)
WHOLE = b"".join(DATA.pieces(0, DATA.size))
DIGEST = DATA.digest()
BLOBS = r"/blobs/sha256:"


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        registry.seed_blob("a/b", DIGEST, DATA)
        registry.seed("a/b", "1.0", build.image())
        yield registry


def url(registry: ScriptedRegistry) -> str:
    return f"{registry.url}/v2/a/b/blobs/{DIGEST}"


async def read(client: httpx.AsyncClient, url: str) -> bytes:
    """Read what comes, until it ends or breaks."""
    whole = bytearray()
    try:
        async with client.stream("GET", url) as answer:
            async for piece in answer.aiter_raw():
                whole += piece
    except httpx.TransportError:
        pass
    return bytes(whole)


async def test_an_answer_takes_the_place_of_the_right_one_as_often_as_told(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    rule = registry.on("GET", BLOBS, after=1, times=2, respond=faults.answer(503, "busy"))
    assert [(await client.get(url(registry))).status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert (await client.head(url(registry))).status_code == 200
    assert rule.met == 2
    assert registry.count("GET", BLOBS, status=503) == 2
    assert len(registry.requests.matching(status=503)[0].rules) == 1


async def test_a_rule_can_take_one_request_in_so_many(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET", BLOBS, every=3, respond=faults.answer(500))
    assert [(await client.get(url(registry))).status_code for _ in range(6)] == [500, 200, 200, 500, 200, 200]


async def test_rules_end_and_can_be_cleared(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    rule = registry.on("*", "", respond=faults.answer(500))
    registry.on("GET", "", respond=faults.answer(501), when=lambda request: request.path == "/v2/")
    assert (await client.get(f"{registry.url}/v2/")).status_code == 500
    rule.end()
    assert (await client.get(f"{registry.url}/v2/")).status_code == 501
    assert (await client.get(url(registry))).status_code == 200
    registry.rules.clear()
    assert (await client.get(f"{registry.url}/v2/")).status_code == 200


async def test_a_rule_can_wait_for_the_credentials(client: httpx.AsyncClient) -> None:
    user = User(name="u", password="p")
    async with ScriptedRegistry(auth=Basic(users=(user,))) as registry:
        registry.on("GET", "/v2/", times=1, authorized=True, respond=faults.answer(503))
        statuses = [
            (await client.get(f"{registry.url}/v2/", auth=auth)).status_code
            for auth in (None, ("u", "p"), ("u", "p"))
        ]
        assert statuses == [401, 503, 200]


async def test_429_says_when_to_come_back(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.on("GET", BLOBS, times=1, respond=faults.too_many(seconds=7))
    registry.on("GET", BLOBS, times=1, respond=faults.too_many(date_in=60))
    first, second = await client.get(url(registry)), await client.get(url(registry))
    assert (first.status_code, first.headers["retry-after"]) == (429, "7")
    assert first.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    wait = parsedate_to_datetime(second.headers["retry-after"]).timestamp() - time.time()
    assert 57 < wait <= 60


async def test_an_error_has_its_document_and_a_page_is_html(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET", BLOBS, times=1, respond=faults.error(403, "DENIED", "quota", headers={"X-Why": "full"}))
    registry.on("GET", BLOBS, times=1, respond=faults.html(502))
    answer = await client.get(url(registry))
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (403, "quota")
    assert answer.headers["x-why"] == "full"
    answer = await client.get(url(registry))
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(faults.reset(), httpx.ReadError, id="reset before the headers"),
        pytest.param(faults.close(), httpx.RemoteProtocolError, id="closed before the headers"),
        pytest.param(faults.cut(reset=True), httpx.ReadError, id="reset after the headers"),
        pytest.param(faults.cut(), httpx.RemoteProtocolError, id="closed after the headers"),
        pytest.param(faults.cut(after=1000), httpx.RemoteProtocolError, id="closed in the body"),
        pytest.param(faults.claim_length(5), httpx.RemoteProtocolError, id="a length too high"),
        pytest.param(faults.lose_answer(), httpx.ReadError, id="the answer lost"),
        pytest.param(faults.raw(b"nonsense\r\n\r\n"), httpx.RemoteProtocolError, id="no HTTP at all"),
    ],
)
async def test_connections_break(
    registry: ScriptedRegistry, client: httpx.AsyncClient, fault: Any, error: type[Exception]
) -> None:
    registry.on("GET", BLOBS, times=1, respond=fault)
    with pytest.raises(error):
        await client.get(url(registry))
    assert (await client.get(url(registry))).content == WHOLE


@pytest.mark.parametrize("after", [0, 1, 262_144, 300_000, 599_999])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_body_is_cut_at_the_byte(
    registry: ScriptedRegistry, client: httpx.AsyncClient, after: int, reset: bool
) -> None:
    registry.on("GET", BLOBS, times=1, respond=faults.cut(after=after, reset=reset))
    assert await read(client, url(registry)) == WHOLE[:after]
    assert registry.requests[-1].sent == after


@pytest.mark.parametrize("at", [0, 262_143, 262_144, 599_999])
async def test_one_bit_is_wrong(registry: ScriptedRegistry, client: httpx.AsyncClient, at: int) -> None:
    registry.on("GET", BLOBS, respond=faults.flip_bit(at=at))
    got = await read(client, url(registry))
    assert [number for number, byte in enumerate(WHOLE) if got[number] != byte] == [at]
    assert len(got) == len(WHOLE)
    assert digest_of(got) != DIGEST


async def test_a_length_that_is_too_low_cuts_what_the_client_takes(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET|HEAD", BLOBS, respond=faults.claim_length(-10))
    assert (await client.head(url(registry))).headers["content-length"] == str(len(WHOLE) - 10)
    assert await read(client, url(registry)) == WHOLE[:-10]


async def test_it_stands_still_before_the_headers_or_in_the_body(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET", BLOBS, times=1, respond=faults.stall(30))
    with pytest.raises(httpx.ReadTimeout):
        await client.get(url(registry), timeout=0.2)
    registry.on("GET", BLOBS, times=1, respond=faults.stall(30, after=1000))
    got = 0
    with pytest.raises(httpx.ReadTimeout):
        async with client.stream("GET", url(registry), timeout=0.2) as answer:
            async for piece in answer.aiter_raw():
                got += len(piece)
    assert got == 1000
    registry.on("GET", BLOBS, times=1, respond=faults.stall(0.05, after=1000))
    assert await read(client, url(registry)) == WHOLE


async def test_it_drips(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.seed_blob("a/b", digest_of(b"12345"), Bytes(b"12345"))
    registry.on("GET", BLOBS, respond=faults.drip(size=2, pause=0.05))
    started = time.monotonic()
    assert await read(client, f"{registry.url}/v2/a/b/blobs/{digest_of(b'12345')}") == b"12345"
    assert time.monotonic() - started >= 0.09


async def test_a_lost_answer_was_carried_out(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    location = (await client.post(f"{registry.url}/v2/a/c/blobs/uploads/")).headers["location"]
    registry.on("PUT", "/blobs/uploads/", times=1, respond=faults.lose_answer())
    with pytest.raises(httpx.ReadError):
        await client.put(f"{location}&digest={digest_of(b'x')}", content=b"x")
    assert registry.repositories["a/c"].read(digest_of(b"x")) == b"x"


async def test_a_connection_is_closed_unannounced_after_the_answer(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET", BLOBS, times=1, respond=faults.hang_up())
    answer = await client.get(url(registry))
    assert (answer.content, "connection" in answer.headers) == (WHOLE, False)
    assert (await client.get(url(registry))).status_code == 200
    assert registry.requests.connections == 2


async def test_redirects_lead_where_told_or_in_a_circle(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET", BLOBS, times=1, respond=faults.redirect("https://example.com/x?a=b", 302))
    answer = await client.get(url(registry))
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/x?a=b")
    registry.on("GET", BLOBS, respond=faults.redirect_in_a_circle())
    with pytest.raises(httpx.TooManyRedirects):
        await client.get(url(registry), follow_redirects=True)


async def test_headers_are_changed_or_left_out(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    changes = {"Docker-Content-Digest": None, "Content-Type": "text/plain; charset=utf-8"}
    registry.on("GET|HEAD", "/manifests/", respond=faults.headers(changes))
    answer = await client.head(f"{registry.url}/v2/a/b/manifests/1.0")
    assert "docker-content-digest" not in answer.headers
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_the_length_is_left_out(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.on("GET|HEAD", BLOBS, respond=faults.without_length())
    assert "content-length" not in (await client.head(url(registry))).headers
    assert (await client.get(url(registry))).content == WHOLE


async def test_the_body_comes_in_chunks(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.on("GET", BLOBS, respond=faults.chunked())
    answer = await client.get(url(registry))
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.content == WHOLE


async def test_the_body_is_compressed_though_nobody_asked(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("GET", BLOBS, respond=faults.encode_gzip())
    async with client.stream("GET", url(registry)) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join([piece async for piece in answer.aiter_raw()])) == WHOLE


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        pytest.param(faults.tags_null(), {"name": "a/b", "tags": None}, id="null"),
        pytest.param(faults.tags_missing(), {"name": "a/b"}, id="missing"),
        pytest.param(faults.tags_with(None, ""), {"name": "a/b", "tags": [None, "", "1.0"]}, id="invalid entries"),
        pytest.param(faults.edit_json(lambda body: [body]), [{"name": "a/b", "tags": ["1.0"]}], id="any change"),
    ],
)
async def test_tag_lists_come_in_odd_forms(
    registry: ScriptedRegistry, client: httpx.AsyncClient, fault: Any, body: object
) -> None:
    registry.on("GET", "/tags/list", respond=fault)
    answer = await client.get(f"{registry.url}/v2/a/b/tags/list")
    assert answer.json() == body
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(
    ("kind", "urls", "tags"),
    [
        pytest.param("same", 2, 0, id="the same page"),
        pytest.param("fresh", 6, 0, id="always another page"),
        pytest.param("grow", 6, 5, id="always another tag"),
    ],
)
async def test_tag_lists_never_end(
    registry: ScriptedRegistry, client: httpx.AsyncClient, kind: str, urls: int, tags: int
) -> None:
    registry.on("GET", "/tags/list", respond=faults.endless_tags(kind))
    url: Any = f"{registry.url}/v2/a/b/tags/list"
    seen, found = {url}, set()
    for _ in range(5):
        answer = await client.get(url)
        found.update(answer.json()["tags"])
        url = str(answer.url.join(answer.headers["link"].split(">")[0].lstrip("<")))
        seen.add(url)
    assert len(seen) == urls
    assert len(found - {"1.0"}) == tags


async def upload(client: httpx.AsyncClient, registry: ScriptedRegistry, size: int) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 10_000):
            yield WHOLE[at : min(at + 10_000, size)]
            await asyncio.sleep(0)

    location = (await client.post(f"{registry.url}/v2/a/c/blobs/uploads/")).headers["location"]
    target = f"{location}&digest={digest_of(WHOLE[:size])}"
    return await client.put(target, content=pieces(), headers={"Content-Length": str(size)})


async def test_an_upload_is_refused_in_the_middle(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.on("PUT", "/uploads/", respond=faults.refuse_upload(413, after=100_000))
    assert (await upload(client, registry, 300_000)).status_code == 413
    assert (await upload(client, registry, 100_000)).status_code == 201


async def test_an_upload_is_reset_in_the_middle(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.on("PUT", "/uploads/", times=1, respond=faults.reset_upload(after=100_000))
    with pytest.raises(httpx.TransportError):
        await upload(client, registry, 600_000)
    assert next(iter(registry.uploads.sessions.values())).offset == 0
    assert (await upload(client, registry, 600_000)).status_code == 201


async def test_an_upload_that_is_reset_can_have_stored_its_beginning(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    registry.on("PUT", "/uploads/", times=1, respond=faults.reset_upload(after=100_000, keep=True))
    with pytest.raises(httpx.TransportError):
        await upload(client, registry, 600_000)
    assert next(iter(registry.uploads.sessions.values())).offset == 100_000


async def test_an_upload_stands_still(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    registry.on("PUT", "/uploads/", respond=faults.stall_upload(0.2, after=100_000))
    started = time.monotonic()
    assert (await upload(client, registry, 600_000)).status_code == 201
    assert time.monotonic() - started >= 0.2
    assert registry.repositories["a/c"].read(digest_of(WHOLE)) == WHOLE


async def test_actions_are_chained_and_taken_in_turn(registry: ScriptedRegistry, client: httpx.AsyncClient) -> None:
    both = faults.chain(faults.headers({"X-A": "1"}), faults.cut(after=10))
    registry.on("GET", BLOBS, respond=faults.in_turn([faults.answer(500), None, both]))
    assert (await client.get(url(registry))).status_code == 500
    assert (await client.get(url(registry))).content == WHOLE
    assert await read(client, url(registry)) == WHOLE[:10]
    assert (await client.get(url(registry))).content == WHOLE


async def test_something_happens_in_the_middle_of_a_client_s_work(
    registry: ScriptedRegistry, client: httpx.AsyncClient
) -> None:
    tag = f"{registry.url}/v2/a/b/manifests/1.0"
    moved = build.image(label="moved")
    registry.on("HEAD", "/manifests/", respond=faults.afterwards(lambda: registry.seed("a/b", "1.0", moved)))
    registry.on("PUT", "/uploads/", times=1, respond=faults.first(registry.uploads.forget_all))
    before = (await client.head(tag)).headers["docker-content-digest"]
    assert before != (await client.get(tag)).headers["docker-content-digest"] == moved.digest
    assert (await upload(client, registry, 10)).status_code == 404


async def test_warnings_are_on_every_answer(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(warnings=("this registry moves", "soon")) as registry:
        answer = await client.get(f"{registry.url}/v2/")
        assert answer.headers.get_list("warning") == ['299 - "this registry moves"', '299 - "soon"']


def test_the_data_of_these_tests_is_as_it_should_be() -> None:
    assert "sha256:" + hashlib.sha256(WHOLE).hexdigest() == DIGEST
