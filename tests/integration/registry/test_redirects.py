"""Redirects: followed within bounds, and credentials left at home (distribution-spec 1.1; RFC 9110, 15.4)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from clients import asked, descriptor, manifest_of, read, repository_of, write
from ocync.lib.errors import AuthError, ProtocolError, ServerError
from scripted import Basic, Bearer, BlobStore, ScriptedRegistry, User, build, faults
from scripted.certificates import make_authority
from scripted.content import Bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ocync.registry.repository import RegistryRepository

DATA = bytes(range(256)) * 1000
BLOB = descriptor(DATA)
GET = r"/blobs/sha256:"
MANIFEST = r"/manifests/"
ACCOUNT = ("robot", "secret")
LOGIN = Basic(users=(User(name="robot", password="secret"),))


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry(auth=LOGIN) as running:
        running.seed_blob("team/app", str(BLOB.digest), Bytes(DATA))
        yield running


@pytest.fixture
async def store() -> AsyncIterator[BlobStore]:
    """A store that fails the test for any Authorization, and for any URL that is not byte for byte as signed."""
    async with BlobStore() as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_blob_is_fetched_from_where_the_registry_sends_us_without_the_credentials(
    registry: ScriptedRegistry, store: BlobStore, status: int
) -> None:
    registry.on("GET", GET, authorized=True, respond=store.redirect(status))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        assert await read(repository, BLOB) == DATA
        assert await read(repository, BLOB) == DATA

    assert store.count("GET") == 2
    assert all(request.scheme is None for request in store.requests)
    assert {request.scheme for request in registry.requests.matching("GET", GET)} == {"Basic"}


async def test_a_token_that_was_renewed_for_the_request_stays_at_home_too(store: BlobStore) -> None:
    async with ScriptedRegistry(auth=Bearer()) as registry:
        registry.seed_blob("team/app", str(BLOB.digest), Bytes(DATA))
        challenge = f'Bearer realm="{registry.url}/token",service="scripted",scope="repository:team/app:pull"'
        ended = faults.error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge})
        registry.on("GET", GET, after=1, times=1, authorized=True, respond=ended)
        registry.on("GET", GET, authorized=True, respond=store.redirect())

        async with repository_of(registry.url, writable=False) as repository:
            # A token that was refused at its first use would be wrong and not old.
            for _ in range(3):
                assert await read(repository, BLOB) == DATA

        used = [request.fingerprint for request in registry.requests.matching("GET", GET, status=307)]
        refused = [request.fingerprint for request in registry.requests.matching("GET", GET, status=401)]
        assert used == [*refused, used[1], used[1]]
        assert used[1] not in refused
    assert [request.scheme for request in store.requests] == [None] * 3


async def test_a_redirect_leaves_both_connections_fit_for_use(registry: ScriptedRegistry, store: BlobStore) -> None:
    registry.on("GET", GET, authorized=True, respond=store.redirect())

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for _ in range(5):
            await read(repository, BLOB)

    assert registry.requests.connections == 1
    assert store.requests.connections == 1


async def test_a_redirect_with_a_body_leaves_the_connection_fit_for_use(registry: ScriptedRegistry) -> None:
    target = f"/v2/team/app/blobs/{BLOB.digest}?there"
    page = faults.answer(307, "<a href='there'>Temporary Redirect</a>", headers={"Location": target})
    registry.on("GET", GET, authorized=True, when=lambda request: not request.raw_query, respond=page)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        for _ in range(5):
            assert await read(repository, BLOB) == DATA

    assert registry.requests.connections == 1


async def test_credentials_are_sent_again_where_the_way_leads_back_home(registry: ScriptedRegistry) -> None:
    async with ScriptedRegistry() as other:
        back = registry.url + f"/v2/team/app/blobs/{BLOB.digest}?back"
        other.on("GET", r"/away", respond=faults.redirect(back))
        away = faults.redirect(other.url + "/away")
        registry.on("GET", GET, times=1, authorized=True, respond=away)

        async with repository_of(registry.url, account=ACCOUNT) as repository:
            assert await read(repository, BLOB) == DATA

        assert [request.scheme for request in other.requests] == [None]
    assert registry.requests.matching("GET", r"\?back")[0].scheme == "Basic"


async def test_another_port_of_the_same_host_is_another_place(registry: ScriptedRegistry) -> None:
    async with ScriptedRegistry() as other:
        other.seed_blob("team/app", str(BLOB.digest), Bytes(DATA))
        there = f"{other.url}/v2/team/app/blobs/{BLOB.digest}"
        registry.on("GET", GET, authorized=True, respond=faults.redirect(there))

        async with repository_of(registry.url, account=ACCOUNT) as repository:
            assert await read(repository, BLOB) == DATA

        assert [request.scheme for request in other.requests] == [None]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_manifests_are_redirected_too(registry: ScriptedRegistry, method: str) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    registry.on(
        method,
        r"/manifests/1$",
        authorized=True,
        respond=faults.redirect(lambda request: f"/v2/team/app/manifests/{image.digest}?region=1"),
    )

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        head = await repository.head("1")
        assert head is not None
        assert str(head.digest) == image.digest
        assert (await repository.manifest("1")).raw == image.root.raw

    assert asked(registry) == 3


async def test_a_tag_list_is_redirected_too_and_goes_on_where_it_led(registry: ScriptedRegistry) -> None:
    async with ScriptedRegistry(page_size=2) as other:
        for number in range(5):
            other.seed("elsewhere/app", f"v{number}", build.image())
        there = f"{other.url}/v2/elsewhere/app/tags/list?n=2"
        registry.on("GET", r"/tags/list", authorized=True, respond=faults.redirect(there))

        async with repository_of(registry.url, account=ACCOUNT) as repository:
            assert await repository.tags() == ("v0", "v1", "v2", "v3", "v4")

        assert all(request.scheme is None for request in other.requests)


ASKS: dict[str, Callable[[RegistryRepository], Awaitable[object]]] = {
    "blob": lambda repository: read(repository, BLOB),
    "look for a blob": lambda repository: repository.has_blob(BLOB),
    "manifest": lambda repository: repository.manifest("1"),
    "look for a manifest": lambda repository: repository.head("1"),
    "tags": lambda repository: repository.tags(),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_circle_is_left_after_a_few_turns_and_not_entered_again(
    registry: ScriptedRegistry, ask: Callable[[RegistryRepository], Awaitable[object]]
) -> None:
    registry.on("GET|HEAD", r"/v2/team/", authorized=True, respond=faults.redirect_in_a_circle())

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match="redirects in a circle"):
            await ask(repository)

    assert asked(registry) == 6


@pytest.mark.parametrize(
    "location",
    ["", "ftp://127.0.0.1/x", "http://[::1", "file:///etc/passwd", "http://:80/", "http://127.0.0.1:99999/x"],
)
async def test_a_redirect_to_no_http_url_is_refused(registry: ScriptedRegistry, location: str) -> None:
    registry.on("GET", GET, authorized=True, respond=faults.redirect(location))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match="Location"):
            await read(repository, BLOB)

    assert asked(registry) == 1


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/iam", "http://metadata.google.internal/", "//168.63.129.16/machine"],
)
async def test_a_redirect_to_a_metadata_service_is_not_followed(registry: ScriptedRegistry, location: str) -> None:
    registry.on("GET", GET, authorized=True, respond=faults.redirect(location))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match="which belongs to this machine; it is not taken"):
            await read(repository, BLOB)

    assert asked(registry) == 1


async def test_a_redirect_without_a_location_is_refused(registry: ScriptedRegistry) -> None:
    registry.on("GET", GET, authorized=True, respond=faults.answer(307))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match=r"answered the request to fetch blob .* without a Location"):
            await read(repository, BLOB)


async def test_each_read_asks_the_registry_for_a_url_that_is_good_now(registry: ScriptedRegistry) -> None:
    async with BlobStore(lifetime=-1) as store:
        registry.on("GET", GET, authorized=True, respond=store.redirect())

        async with repository_of(registry.url, account=ACCOUNT) as repository:
            with pytest.raises(ServerError, match=r"sent us on to .* which answered 403") as caught:
                await read(repository, BLOB)
            store.lifetime = 60
            assert await read(repository, BLOB) == DATA

        assert caught.value.retryable
        # A signature is a secret for as long as it is good.
        assert "X-Sig" not in str(caught.value)


async def test_a_head_that_is_sent_to_a_url_signed_for_get_is_asked_by_get(
    registry: ScriptedRegistry, store: BlobStore
) -> None:
    image = build.image()
    registry.seed("team/app", "1", image)
    signed_for_get = faults.redirect(lambda _request: store.url_for("x", Bytes(b"x"), method="GET"))
    registry.on("HEAD", r"", authorized=True, respond=signed_for_get)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        head = await repository.head("1")
        assert head is not None
        assert str(head.digest) == image.digest
        # Whether the blob is there is not known; sending it once more does no harm.
        assert not await repository.has_blob(BLOB)


async def test_a_refusal_elsewhere_does_not_cost_us_our_credentials(
    registry: ScriptedRegistry, store: BlobStore
) -> None:
    store.on("GET", r"", respond=faults.answer(401))
    registry.on("GET", GET, authorized=True, respond=store.redirect())

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(AuthError, match="sent us on to"):
            await read(repository, BLOB)

    assert registry.count("GET", GET) == 1


async def test_a_small_body_is_sent_again_where_a_put_is_redirected(registry: ScriptedRegistry) -> None:
    image = build.image([])
    for digest, content in image.blobs.items():
        registry.seed_blob("team/app", digest, content)
    moved = faults.redirect(lambda request: f"{request.path}?moved")
    registry.on("PUT", r"/manifests/1$", authorized=True, respond=moved)
    registry.on("POST", r"/uploads/$", authorized=True, respond=moved)

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        await repository.put_manifest(manifest_of(image), tag="1")
        await write(repository, b"some bytes")

    assert registry.resolve("team/app", "1") == image.digest
    assert str(descriptor(b"some bytes").digest) in registry.repository("team/app").blobs


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_would_make_a_get_of_a_put_is_not_followed(
    registry: ScriptedRegistry, status: int
) -> None:
    image = build.image([])
    registry.on("PUT", MANIFEST, authorized=True, respond=faults.redirect("/elsewhere", status))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match=str(status)):
            await repository.put_manifest(manifest_of(image), tag="1")

    assert asked(registry) == 1


async def test_a_redirect_of_the_bytes_of_a_blob_is_refused_since_they_are_gone(registry: ScriptedRegistry) -> None:
    registry.on("PUT", r"/uploads/", authorized=True, respond=faults.redirect("/elsewhere"))

    async with repository_of(registry.url, account=ACCOUNT) as repository:
        with pytest.raises(ProtocolError, match="307"):
            await write(repository, DATA)


async def test_no_way_leads_from_https_down_to_http(tmp_path: Path, store: BlobStore) -> None:
    authority = make_authority(tmp_path)
    async with AsyncExitStack() as stack:
        tls = await stack.enter_async_context(ScriptedRegistry(auth=LOGIN, tls=authority.server_context()))
        safe = await stack.enter_async_context(BlobStore(tls=authority.server_context()))
        tls.seed_blob("team/app", str(BLOB.digest), Bytes(DATA))
        settings = {"account": ACCOUNT, "ca_file": authority.ca_file, "idle": 2.0}
        repository = await stack.enter_async_context(repository_of(tls.url, **settings))

        rule = tls.on("GET", GET, authorized=True, respond=store.redirect())
        with pytest.raises(ProtocolError, match="from https down to http"):
            await read(repository, BLOB)
        rule.end()
        tls.on("GET", GET, authorized=True, respond=safe.redirect())
        assert await read(repository, BLOB) == DATA

        tls.on(
            "POST",
            r"/uploads/",
            authorized=True,
            respond=faults.answer(202, headers={"Location": f"{store.url}/upload"}),
        )
        with pytest.raises(ProtocolError, match="X-Forwarded-Proto"):
            await repository.open_upload(BLOB)

    assert len(store.requests) == 0
