"""Tokens, asked for as the token documents of distribution and the habits of registries want it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from logins import PUSH, Clock, Given, basic, talking
from ocync.lib.errors import AuthError, ProtocolError
from ocync.registry.auth.credential import Anonymous, BearerToken, IdentityToken, StaticToken, UserPassword
from ocync.registry.auth.scope import Scope
from scripted import Anonymous as Nobody
from scripted import Basic, Bearer, ScriptedRegistry, User, build, faults
from scripted.record import fingerprint
from scripted.tokens import Scope as Asked
from scripted.wire import respond

if TYPE_CHECKING:
    from scripted.record import Recorded
    from scripted.wire import Request, Response

ROBOT = User(name="robot", password="pass:word")
USER = UserPassword(username="robot", password="pass:word", origin="a test")
OTHER = frozenset({Scope("team/other", ("pull",))})


def registry(auth: Bearer | Basic | None = None, **options: Any) -> ScriptedRegistry:
    made = ScriptedRegistry(auth=auth or Bearer(users=(ROBOT,)), **options)
    for name in ("team/app", "team/other"):
        made.seed(name, "latest", build.image())
    return made


def asked(made: ScriptedRegistry) -> list[list[tuple[str, str]]]:
    """Return the parameters of each request for a token."""
    return [parse_qsl(each.query, keep_blank_values=True) for each in made.requests.matching("GET", "^/token")]


def shown(made: ScriptedRegistry, pattern: str) -> list[Recorded]:
    return made.requests.matching("*", pattern)


async def test_a_token_is_asked_for_with_service_scope_and_credentials() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask() == 200

    (parameters,) = asked(made)
    assert parameters == [
        ("service", "scripted"),
        ("scope", "repository:team/app:pull"),
        ("client_id", "ocync"),
        ("account", "robot"),
    ]
    (request,) = shown(made, "^/token")
    assert (request.scheme, request.fingerprint) == fingerprint(basic("robot", "pass:word"))
    assert [each.scheme for each in shown(made, "^/v2/")] == [None, "Bearer"]


async def test_all_schemes_of_all_headers_are_read() -> None:
    async with registry() as made:
        bearer = f'Bearer realm="{made.url}/token", service="scripted", scope="repository:team/app:pull,push"'

        async def several(request: Request, proceed: object) -> Response:
            values = ("Negotiate", 'Basic realm="one, two", NTLM abc==', f'Digest realm="x", {bearer}')
            return respond(401, headers=[("WWW-Authenticate", value) for value in values])

        made.on("GET", r"^/v2/$", respond=several)
        async with talking(made.url, Given(USER)) as talk:
            assert await talk.ask() == 200

    assert shown(made, "manifests")[0].scheme == "Bearer"


async def test_the_service_is_left_out_where_the_challenge_names_none() -> None:
    async with registry(Bearer(users=(ROBOT,), service=None)) as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask() == 200

    assert "service" not in dict(asked(made)[0])


@pytest.mark.parametrize("realm", ["/token?tenant=7&scope=x", "/token", "//{host}/token", "../token"])
async def test_a_realm_may_have_a_query_and_be_relative(realm: str) -> None:
    async with registry() as made:
        assert isinstance(made.auth, Bearer)
        made.auth.realm = realm.format(host=made.host)
        async with talking(made.url, Given(USER)) as talk:
            assert await talk.ask() == 200

    (request,) = made.requests.matching("GET", "^/token")
    assert request.target.startswith("/token?tenant=7&scope=x&service=" if "?" in realm else "/token?service=")


async def test_a_token_service_may_be_at_another_port() -> None:
    auth = Bearer(users=(ROBOT,), own_port=True)
    async with registry(auth) as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask() == 200

    assert {each.server for each in made.requests.matching("GET", "^/token")} == {"tokens"}


async def test_push_stands_first_and_a_mount_has_both_scopes_in_one_token() -> None:
    both = PUSH | {Scope("library/base", ("pull",))}
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.seed("library/base", "1", image := build.image())
        digest = next(iter(image.blobs))
        path = f"/v2/team/app/blobs/uploads/?mount={digest}&from=library/base"
        assert await talk.ask(path, both, "POST") == 201

    assert [value for name, value in asked(made)[0] if name == "scope"] == [
        "repository:team/app:pull,push",
        "repository:library/base:pull",
    ]
    assert made.count("*", "^/token") == 1


async def test_a_token_is_shown_to_no_other_repository() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask() == 200
        assert await talk.ask("/v2/team/other/manifests/latest", OTHER) == 200
        assert await talk.ask() == 200

    first, other, again = shown(made, "manifests")
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert made.count("*", "^/token") == 2
    assert made.count("*", "manifests", status=403) == 0


async def test_fifty_that_start_together_cause_one_ping_and_one_token() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        assert await asyncio.gather(*(talk.ask() for _ in range(50))) == [200] * 50

    assert made.count("GET", "^/v2/$") == 1
    assert made.count("*", "^/token") == 1


@pytest.mark.parametrize("fields", [("token",), ("access_token",), ("token", "access_token", "expires_in")])
async def test_a_token_is_read_under_either_name(fields: tuple[str, ...]) -> None:
    async with registry(Bearer(users=(ROBOT,), fields=fields)) as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask() == 200


async def test_a_token_without_a_life_is_kept_for_a_minute_and_renewed_before() -> None:
    clock = Clock()
    auth = Bearer(users=(ROBOT,), expires_in=None)
    async with registry(auth) as made, talking(made.url, Given(USER), clock=clock) as talk:
        await talk.ask()
        clock.now += 44
        await talk.ask()
        assert made.count("*", "^/token") == 1
        clock.now += 2
        await talk.ask()

    assert made.count("*", "^/token") == 2
    assert made.count("*", "manifests", status=401) == 0


async def test_a_token_is_renewed_between_the_requests_of_a_long_upload() -> None:
    clock = Clock()
    auth = Bearer(users=(ROBOT,), expires_in=300)
    async with registry(auth) as made, talking(made.url, Given(USER), clock=clock) as talk:
        assert await talk.ask("/v2/team/app/blobs/uploads/", PUSH, "POST") == 202
        clock.now += 290
        auth.tokens.revoke_all()
        assert await talk.ask("/v2/team/app/blobs/uploads/", PUSH, "POST") == 202

    assert made.count("*", "^/token") == 2
    assert made.count("POST", "uploads", status=401) == 0


async def test_an_identity_token_is_posted_and_never_shown_otherwise() -> None:
    auth = Bearer(users=(ROBOT,))
    source = Given(IdentityToken(token=auth.tokens.refresh_token(ROBOT), origin="a test"))
    async with registry(auth) as made, talking(made.url, source) as talk:
        assert await talk.ask(scopes=PUSH) == 200

    (request,) = shown(made, "^/token")
    assert (request.method, request.target, request.scheme) == ("POST", "/token", None)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("status", [404, 401, 400, 405])
async def test_a_service_without_post_is_asked_with_get_where_there_is_a_user(status: int) -> None:
    auth = Bearer(users=(ROBOT,), post_status=status)
    source = Given(IdentityToken(token="t", username="robot", password="pass:word", origin="a test"))
    async with registry(auth) as made, talking(made.url, source) as talk:
        assert await talk.ask() == 200

    assert [each.method for each in shown(made, "^/token")] == ["POST", "GET"]


async def test_an_identity_token_without_a_user_is_refused_by_a_service_without_post() -> None:
    source = Given(IdentityToken(token="t", origin="the docker config"))
    async with registry(Bearer(users=(ROBOT,), post_status=404)) as made, talking(made.url, source) as talk:
        with pytest.raises(ProtocolError, match="answered 404"):
            await talk.ask()

    assert made.count("GET", "^/token") == 0


async def test_users_are_never_posted_and_no_offline_token_is_asked_for() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        await talk.ask()
        await talk.ask(scopes=PUSH)

    assert made.count("POST", "^/token") == 0
    assert not any("offline" in each.target or "access_type" in each.target for each in made.requests)


async def test_a_registry_token_is_shown_as_it_is() -> None:
    async with registry() as made:
        assert isinstance(made.auth, Bearer)
        value = made.auth.tokens.mint(ROBOT, [Asked("team/app", frozenset({"pull"}))])
        async with talking(made.url, Given(BearerToken(token=value, origin="a test"))) as talk:
            assert await talk.ask() == 200

    assert made.count("*", "^/token") == 0
    assert [each.fingerprint for each in shown(made, "manifests")] == [fingerprint(f"Bearer {value}")[1]]


async def test_basic_is_shown_with_every_request_and_nowhere_else() -> None:
    async with (
        registry(Basic(users=(ROBOT,)), location="other-host") as made,
        talking(made.url, Given(USER)) as talk,
    ):
        assert await talk.ask() == 200
        assert await talk.ask("/v2/team/other/manifests/latest", OTHER) == 200
        assert await talk.ask("/v2/team/app/blobs/uploads/", PUSH, "POST") == 202

    assert [each.scheme for each in made.requests] == [None, "Basic", "Basic", "Basic"]
    assert len({each.fingerprint for each in made.requests}) == 2


async def test_anonymous_callers_get_tokens_too() -> None:
    async with registry() as made, talking(made.url) as talk:
        assert await talk.ask() == 200

    (request,) = shown(made, "^/token")
    assert request.scheme is None
    assert "account" not in request.query
    assert shown(made, "manifests")[0].scheme == "Bearer"


async def test_who_has_nothing_to_show_is_let_in_where_basic_is_for_others() -> None:
    auth = Basic(users=(ROBOT,), anonymous=Nobody(tags=None))
    async with registry(auth) as made, talking(made.url) as talk:
        made.on("GET", "^/v2/$", respond=faults.answer(401, headers={"WWW-Authenticate": "Basic realm=x"}))
        assert await talk.ask() == 200

    assert {each.scheme for each in made.requests} == {None}


async def test_a_registry_that_asks_for_nothing_is_shown_nothing() -> None:
    async with ScriptedRegistry() as made, talking(made.url, source := Given(USER)) as talk:
        made.seed("team/app", "latest", build.image())
        assert await talk.ask() == 200

    assert source.reads == 0
    assert {each.scheme for each in made.requests} == {None}


async def test_a_repository_that_asks_where_the_ping_did_not_is_answered() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.on("GET", "^/v2/$", respond=faults.answer(200, b"{}"))
        assert await talk.ask() == 200
        assert await talk.ask("/v2/team/other/manifests/latest", OTHER) == 200

    # The first 401 has taught how it is done.
    assert [each.status for each in shown(made, "manifests")] == [401, 200, 200]


async def test_a_401_without_a_challenge_is_answered_with_that_of_the_ping() -> None:
    # As old gcr.io did.
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        assert isinstance(made.auth, Bearer)
        made.on("GET", "manifests", respond=faults.headers({"WWW-Authenticate": None}))
        await talk.ask()
        made.auth.tokens.revoke_all()
        await talk.ask()
        assert await talk.ask() == 200

    assert [each.status for each in shown(made, "manifests")] == [200, 401, 200, 200]
    assert made.count("*", "^/token") == 2


async def test_a_401_without_any_challenge_is_an_error() -> None:
    async with ScriptedRegistry() as made, talking(made.url, Given(USER)) as talk:
        made.on("*", "", respond=faults.answer(401))
        with pytest.raises(AuthError, match="answered 401 and does not say how to authenticate"):
            await talk.ask()


@pytest.mark.parametrize(
    "realm",
    [
        "http://169.254.169.254/latest/api/token",
        "http://u:p@127.0.0.1/token",
        "ftp://x/token",
        "http://[fe80::1]/token",
    ],
)
async def test_a_realm_that_points_inside_gets_no_request_and_no_credentials(realm: str) -> None:
    async with registry(Bearer(users=(ROBOT,), realm=realm)) as made, talking(made.url, Given(USER)) as talk:
        with pytest.raises(ProtocolError, match="it is not asked, and no credentials are sent"):
            await talk.ask()

    assert {each.scheme for each in made.requests} == {None}
    assert made.count("*", "manifests") == 0


async def test_a_token_service_s_redirect_to_another_host_is_not_followed() -> None:
    async with registry() as made, ScriptedRegistry() as foreign, talking(made.url, Given(USER)) as talk:
        made.on("GET", "^/token", respond=faults.redirect(f"{foreign.url}/token"))
        with pytest.raises(ProtocolError, match=r"a redirect to 127\.0\.0\.1, which is not followed"):
            await talk.ask()

    assert len(foreign.requests) == 0


async def test_a_token_service_s_redirect_within_itself_is_followed() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.on("GET", r"^/token\?", times=1, respond=faults.redirect(lambda request: f"{request.target}&again=1"))
        assert await talk.ask() == 200

    assert [each.scheme for each in made.requests.matching("GET", "^/token")] == ["Basic", "Basic"]


async def test_a_token_service_that_redirects_in_a_circle_is_left() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.on("GET", "^/token", respond=faults.redirect(lambda request: request.target))
        with pytest.raises(ProtocolError, match="with redirects in a circle"):
            await talk.ask()

    assert made.count("*", "^/token") == 4


@pytest.mark.parametrize(
    ("respond_with", "message"),
    [
        (faults.html(), "with no valid JSON"),
        (faults.answer(200, b"{}"), "without a token that can be used"),
        (faults.answer(200, b'{"token": "' + b"a" * 2_000_000 + b'"}'), "more than 1048576 bytes"),
    ],
    ids=["a page", "an empty object", "two megabytes"],
)
async def test_a_token_service_that_talks_nonsense_is_an_error(respond_with: Any, message: str) -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.on("GET", "^/token", respond=respond_with)
        with pytest.raises(ProtocolError, match=message):
            await talk.ask()

    assert made.count("*", "manifests") == 0


async def test_a_host_that_a_redirect_leads_to_gets_an_anonymous_token_for_its_own_scopes() -> None:
    async with (
        registry(Bearer(users=(ROBOT,))) as front,
        registry(Bearer(service="behind", own_port=True)) as behind,
        talking(front.url, Given(USER)) as talk,
    ):
        behind.seed("images/app", "latest", build.image())
        front.on(
            "GET",
            "manifests",
            authorized=True,
            respond=faults.redirect(f"{behind.url}/v2/images/app/manifests/latest"),
        )
        assert await talk.ask() == 200
        assert await talk.ask() == 200

    (parameters,) = asked(behind)
    assert parameters == [("service", "behind"), ("scope", "repository:images/app:pull"), ("client_id", "ocync")]
    assert {each.scheme for each in behind.requests.matching("*", "^/token")} == {None}
    ours = {each.fingerprint for each in front.requests}
    theirs = {each.fingerprint for each in behind.requests.matching("*", "manifests", status=200)}
    assert not ours & theirs
    assert [each.status for each in shown(behind, "manifests")] == [401, 200, 401, 200]


async def test_a_host_that_a_redirect_leads_to_and_that_wants_a_password_gets_none() -> None:
    async with (
        registry() as front,
        registry(Basic(users=(ROBOT,))) as behind,
        talking(front.url, Given(USER)) as talk,
    ):
        path = "/v2/team/app/manifests/latest"
        front.on("GET", "manifests", authorized=True, respond=faults.redirect(f"{behind.url}{path}"))
        assert await talk.ask() == 401

    assert {each.scheme for each in behind.requests} == {None}


async def test_a_static_token_is_shown_as_it_is_where_that_is_accepted() -> None:
    async with registry() as made:
        assert isinstance(made.auth, Bearer)
        value = made.auth.tokens.mint(ROBOT, [Asked("team/app", frozenset({"pull"}))])
        async with talking(made.url, Given(StaticToken(token=value, origin="a test"))) as talk:
            assert await talk.ask() == 200

    assert made.count("*", "^/token") == 0


@pytest.mark.parametrize(("first", "statuses"), [(True, [200, 200]), (False, [401, 200, 200])])
async def test_a_static_token_that_is_refused_as_it_is_is_exchanged(first: bool, statuses: list[int]) -> None:
    pat = User(name="x-access-token", password="ghp_example")
    source = Given(StaticToken(token="ghp_example", exchange_first=first, origin="a test"))
    async with registry(Bearer(users=(pat,), anonymous=None)) as made, talking(made.url, source) as talk:
        assert await talk.ask(scopes=PUSH) == 200
        assert await talk.ask("/v2/team/other/manifests/latest", OTHER) == 200

    # The lesson is kept: the second repository begins with the exchange.
    assert [each.status for each in shown(made, "manifests")] == statuses
    assert {each.scheme for each in shown(made, "^/token")} == {"Basic"}


async def test_a_static_token_that_can_not_be_exchanged_is_shown_as_it_is() -> None:
    async with registry(Bearer(anonymous=None)) as made:
        assert isinstance(made.auth, Bearer)
        value = made.auth.tokens.mint(ROBOT, [Asked("team/app", frozenset({"pull"}))])
        source = Given(StaticToken(token=value, exchange_first=True, origin="a test"))
        async with talking(made.url, source) as talk:
            assert await talk.ask() == 200
            assert await talk.ask() == 200

    assert [each.status for each in shown(made, "^/token")] == [401]


async def test_a_static_token_that_is_refused_both_ways_is_an_error() -> None:
    for first in (True, False):
        source = Given(StaticToken(token="wrong", exchange_first=first, origin="registries.ghcr.token (${T})"))
        async with registry(Bearer(anonymous=None)) as made, talking(made.url, source) as talk:
            with pytest.raises(
                AuthError, match=r"refuses the token from registries\.ghcr\.token \(\$\{T\}\)"
            ) as caught:
                await talk.ask()

        assert caught.value.hint
        assert made.count("*", "manifests") == 1
        assert made.count("*", "^/token") <= 2


async def test_a_static_token_is_a_password_where_there_is_only_basic() -> None:
    pat = User(name="x-access-token", password="ghp_example")
    source = Given(StaticToken(token="ghp_example", origin="a test"))
    async with registry(Basic(users=(pat,))) as made, talking(made.url, source) as talk:
        assert await talk.ask() == 200

    assert shown(made, "manifests")[0].fingerprint == fingerprint(basic("x-access-token", "ghp_example"))[1]


@pytest.mark.parametrize("asks", [True, False], ids=["a ping that asks", "a silent ping"])
async def test_strange_fields_and_encodings_of_answers_do_no_harm(asks: bool) -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.on("*", "", respond=faults.headers({"X-Odd": "é", "Content-Language": "\xff"}))
        made.on("GET", "^/token", respond=faults.encode_gzip())
        if not asks:
            made.on("GET", "^/v2/$", respond=faults.answer(200))
        assert await talk.ask() == 200


async def test_the_ping_has_no_credentials_and_no_cookies() -> None:
    async with registry() as made, talking(made.url, Given(USER)) as talk:
        made.on("GET", "^/(v2/$|token)", respond=faults.headers({"Set-Cookie": "sid=1; Path=/"}))
        assert await talk.ask() == 200

    assert made.requests[0].scheme is None
    assert not any("cookie" in each.headers for each in made.requests)


async def test_an_anonymous_source_asks_where_it_may_and_says_where_it_looked() -> None:
    source = Given(Anonymous(origin="no docker config at /home/nonroot/.docker/config.json", hint="do this"))
    async with registry(Bearer(users=(ROBOT,), anonymous=None)) as made, talking(made.url, source) as talk:
        with pytest.raises(AuthError) as caught:
            await talk.ask()

    assert caught.value.status == 401
    assert f"{made.host} gives no token without credentials" in str(caught.value)
    assert "no docker config at /home/nonroot/.docker/config.json" in str(caught.value)
    assert caught.value.hint == "do this"
