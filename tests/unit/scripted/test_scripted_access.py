"""Authorization at the scripted registry: Basic, and tokens with strict scopes."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from scripted import Anonymous, Basic, Bearer, ScriptedRegistry, User, build
from scripted.tokens import Scope

if TYPE_CHECKING:
    import httpx

ADMIN = User(name="admin", password="s3cret:with:colons")
READER = User(name="reader", password="r", pull=("team/",), push=())
USERS = (ADMIN, READER)


def basic(user: User, password: str | None = None) -> dict[str, str]:
    pair = f"{user.name}:{user.password if password is None else password}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def exchange(
    client: httpx.AsyncClient, registry: ScriptedRegistry, *scopes: str, user: User | None = None
) -> str:
    answer = await client.get(
        f"{registry.url}/token",
        params=[("service", "scripted"), *(("scope", scope) for scope in scopes)],
        headers=basic(user) if user else {},
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def tagged(registry: ScriptedRegistry, tag: str = "latest", repository: str = "team/app") -> str:
    return f"{registry.url}/v2/{repository}/manifests/{tag}"


async def test_basic_challenges_callers_without_credentials(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Basic(users=USERS)) as registry:
        answer = await client.get(f"{registry.url}/v2/")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="scripted"')
        assert (await client.get(f"{registry.url}/v2/", headers=basic(ADMIN))).status_code == 200
        assert (await client.get(f"{registry.url}/v2/", headers=basic(ADMIN, "wrong"))).status_code == 401
        assert (await client.get(f"{registry.url}/v2/", headers={"Authorization": "Basic !"})).status_code == 401


async def test_basic_users_do_what_they_may(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Basic(users=USERS)) as registry:
        registry.seed("team/app", "latest", build.image())
        registry.seed("other/app", "latest", build.image())
        assert (await client.get(tagged(registry), headers=basic(READER))).status_code == 200
        assert (
            await client.get(tagged(registry, repository="other/app"), headers=basic(READER))
        ).status_code == 403
        upload = f"{registry.url}/v2/team/app/blobs/uploads/"
        assert (await client.post(upload, headers=basic(READER))).status_code == 403
        assert (await client.post(upload, headers=basic(ADMIN))).status_code == 202
        assert (await client.delete(tagged(registry), headers=basic(READER))).status_code == 403


async def test_basic_can_let_everyone_read(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Basic(users=USERS, anonymous=Anonymous(tags=None))) as registry:
        registry.seed("team/app", "1.0", build.image())
        assert (await client.get(tagged(registry, "1.0"))).status_code == 200
        assert (await client.post(f"{registry.url}/v2/team/app/blobs/uploads/")).status_code == 401


async def test_a_bearer_challenge_says_where_and_for_what(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        realm = f'Bearer realm="{registry.url}/token",service="scripted"'
        assert (await client.get(f"{registry.url}/v2/")).headers["www-authenticate"] == realm
        answer = await client.get(tagged(registry))
        assert answer.headers["www-authenticate"] == realm + ',scope="repository:team/app:pull"'
        answer = await client.post(f"{registry.url}/v2/team/app/blobs/uploads/?mount=sha256:x&from=a/b")
        scopes = "repository:team/app:pull,push repository:a/b:pull"
        assert answer.headers["www-authenticate"] == f'{realm},scope="{scopes}"'


async def test_a_token_is_good_for_its_repository_and_no_other(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        registry.seed("team/app", "1.0", build.image())
        registry.seed("team/web", "1.0", build.image())
        token = bearer(await exchange(client, registry, "repository:team/app:pull", user=ADMIN))
        assert (await client.get(tagged(registry, "1.0"), headers=token)).status_code == 200
        answer = await client.get(tagged(registry, "1.0", "team/web"), headers=token)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "DENIED")
        upload = await client.post(f"{registry.url}/v2/team/app/blobs/uploads/", headers=token)
        assert upload.status_code == 401
        assert 'error="insufficient_scope"' in upload.headers["www-authenticate"]
        assert (await client.get(f"{registry.url}/v2/", headers=token)).status_code == 200


async def test_other_repositories_can_be_challenged_instead(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS, other_repository_status=401)) as registry:
        token = bearer(await exchange(client, registry, "repository:team/app:pull", user=ADMIN))
        assert (await client.get(tagged(registry, "1.0", "team/web"), headers=token)).status_code == 401


async def test_a_mount_needs_a_token_for_both_repositories(client: httpx.AsyncClient) -> None:
    image = build.image()
    layer = image.root.body["layers"][0]["digest"]
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        registry.seed("team/app", "1.0", image)
        url = f"{registry.url}/v2/team/copy/blobs/uploads/?mount={layer}&from=team/app"
        push, pull = "repository:team/copy:pull,push", "repository:team/app:pull"
        one = bearer(await exchange(client, registry, push, user=ADMIN))
        answer = await client.post(url, headers=one)
        assert answer.status_code == 401
        assert f'scope="{push} {pull}"' in answer.headers["www-authenticate"]
        both = bearer(await exchange(client, registry, push, pull, user=ADMIN))
        assert (await client.post(url, headers=both)).status_code == 201


async def test_scopes_may_be_repeated_or_joined_by_blanks(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        value = await exchange(
            client,
            registry,
            "repository:a:pull repository:b:pull",
            "repository:a:push",
            "registry:catalog:*",
            user=ADMIN,
        )
        token = registry.auth.tokens.valid(value)
        assert token.grants == {"a": frozenset({"pull", "push"}), "b": frozenset({"pull"})}


async def test_a_grant_of_less_than_was_asked_is_still_a_token(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        token = bearer(await exchange(client, registry, "repository:team/app:pull,push", user=READER))
        upload = f"{registry.url}/v2/team/app/blobs/uploads/"
        assert (await client.post(upload, headers=token)).status_code == 401
        registry.auth.denied_status = 403
        assert (await client.post(upload, headers=token)).status_code == 403


async def test_anonymous_callers_see_latest_and_latest_dev_and_digests(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        for tag in ("latest", "latest-dev", "1.0"):
            digest = registry.seed("team/app", tag, build.image(label=tag))
        token = bearer(await exchange(client, registry, "repository:team/app:pull"))
        for reference in ("latest", "latest-dev", digest):
            assert (await client.get(tagged(registry, reference), headers=token)).status_code == 200
        tags = await client.get(f"{registry.url}/v2/team/app/tags/list", headers=token)
        assert tags.json()["tags"] == ["latest", "latest-dev"]
        for status in (401, 403, 404):
            registry.auth.hidden_tag_status = status
            for method in ("GET", "HEAD"):
                answer = await client.request(method, tagged(registry, "1.0"), headers=token)
                assert answer.status_code == status
        whole = bearer(await exchange(client, registry, "repository:team/app:pull", user=ADMIN))
        assert (await client.get(tagged(registry, "1.0"), headers=whole)).status_code == 200
        tags = await client.get(f"{registry.url}/v2/team/app/tags/list", headers=whole)
        assert tags.json()["tags"] == ["1.0", "latest", "latest-dev"]


async def test_wrong_or_missing_credentials_get_no_token(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS, anonymous=None)) as registry:
        url = f"{registry.url}/token?service=scripted"
        assert (await client.get(url)).status_code == 401
        assert (await client.get(url, headers=basic(ADMIN, "wrong"))).status_code == 401
        registry.auth.bad_credentials_status = 403
        assert (await client.get(url, headers=basic(ADMIN, "wrong"))).status_code == 403
        assert (await client.get(url.replace("scripted", "other"), headers=basic(ADMIN))).status_code == 400
        assert registry.auth.tokens.issued == 0
        assert registry.count("GET", "^/token") == 4


async def test_tokens_end_when_they_said_and_can_be_made_to_end_sooner(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS, expires_in=300, lifetime=0.2)) as registry:
        registry.seed("team/app", "1.0", build.image())
        token = bearer(await exchange(client, registry, "repository:team/app:pull", user=ADMIN))
        assert (await client.get(tagged(registry, "1.0"), headers=token)).status_code == 200
        await asyncio.sleep(0.25)
        answer = await client.get(tagged(registry, "1.0"), headers=token)
        assert (answer.status_code, 'error="invalid_token"' in answer.headers["www-authenticate"]) == (401, True)
        registry.auth.lifetime = None
        token = bearer(await exchange(client, registry, "repository:team/app:pull", user=ADMIN))
        registry.auth.tokens.revoke_all()
        assert (await client.get(tagged(registry, "1.0"), headers=token)).status_code == 401


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        pytest.param({}, {"token", "access_token", "expires_in", "issued_at"}, id="all"),
        pytest.param({"fields": ("access_token",)}, {"access_token"}, id="as OAuth2 has it"),
        pytest.param({"expires_in": None}, {"token", "access_token", "issued_at"}, id="no time told"),
    ],
)
async def test_answers_of_the_token_service(
    client: httpx.AsyncClient, options: dict[str, Any], keys: set[str]
) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS, **options)) as registry:
        answer = await client.get(f"{registry.url}/token", headers=basic(ADMIN))
        assert set(answer.json()) == keys


async def test_a_refresh_token_is_exchanged_by_post(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        registry.seed("team/app", "1.0", build.image())
        url = f"{registry.url}/token"
        offline = await client.get(f"{url}?offline_token=true", headers=basic(ADMIN))
        form = {
            "grant_type": "refresh_token",
            "refresh_token": offline.json()["refresh_token"],
            "service": "scripted",
            "client_id": "test",
            "scope": "repository:team/app:pull",
        }
        token = bearer((await client.post(url, data=form)).json()["access_token"])
        assert (await client.get(tagged(registry, "1.0"), headers=token)).status_code == 200
        assert (await client.post(url, data={**form, "refresh_token": "wrong"})).status_code == 401
        password = {**form, "grant_type": "password", "username": ADMIN.name, "password": ADMIN.password}
        assert (await client.post(url, data=password)).status_code == 200
        registry.auth.post_status = 404
        assert (await client.post(url, data=form)).status_code == 404


async def test_the_token_service_can_have_a_port_of_its_own(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS, own_port=True)) as registry:
        challenge = (await client.get(f"{registry.url}/v2/")).headers["www-authenticate"]
        realm = challenge.split('"')[1]
        assert urlsplit(realm).netloc != registry.host
        assert (await client.get(realm, headers=basic(ADMIN))).status_code == 200
        assert [request.server for request in registry.requests] == ["registry", "tokens"]


async def test_tests_can_make_tokens_themselves(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(auth=Bearer(users=USERS)) as registry:
        registry.seed("team/app", "1.0", build.image())
        token = registry.auth.tokens.mint(ADMIN, [Scope("team/app", frozenset({"pull"}))])
        assert (await client.get(tagged(registry, "1.0"), headers=bearer(token))).status_code == 200
        assert registry.auth.tokens.issued == 0
