"""What is asked of a token service, and what is read of its answers."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logins import basic
from ocync.lib.errors import AuthError, ProtocolError, RateLimitedError, RegistryError, ServerError
from ocync.registry.auth.credential import Anonymous, UserPassword
from ocync.registry.auth.scope import Scope
from ocync.registry.auth.token import MAX_LIFE, TokenService, fetch, get_request, read_answer, refresh_request, said

SERVICE = TokenService(url="https://auth.example/token", service="registry.example", host="registry.example")


def service(url: str = "https://auth.example/token", name: str | None = "r") -> TokenService:
    return TokenService(url=url, service=name, host="registry.example")


def query(request: httpx.Request) -> list[tuple[str, str]]:
    return parse_qsl(request.url.query.decode(), keep_blank_values=True)


def life(**answer: object) -> float:
    return read_answer(json.dumps({"token": "t", **answer}).encode(), received=50.0, service=SERVICE).life


def test_each_scope_is_a_parameter_of_its_own_and_push_comes_first() -> None:
    scopes = {Scope("aaa/source", ("pull",)), Scope("zzz/target", ("pull", "push"))}

    request = get_request(service(), scopes, user=None)

    assert query(request) == [
        ("service", "r"),
        ("scope", "repository:zzz/target:pull,push"),
        ("scope", "repository:aaa/source:pull"),
        ("client_id", "ocync"),
    ]
    assert "authorization" not in request.headers


def test_the_service_is_left_out_where_the_challenge_names_none() -> None:
    assert "service" not in dict(query(get_request(service(name=None), [], user=None)))
    assert "service" not in dict(parse_qsl(refresh_request(service(name=None), [], token="t").content.decode()))


def test_credentials_go_as_basic_and_their_user_as_account() -> None:
    request = get_request(service(), [], user=("robot$ci", "p:w"))

    assert request.headers["authorization"] == basic("robot$ci", "p:w")
    assert dict(query(request))["account"] == "robot$ci"
    assert "p:w" not in str(request.url)


def test_a_realm_s_own_query_stays_as_it_is() -> None:
    nvidia = "https://nvcr.io/proxy_auth?scope=repository:nvidia/tensorflow:pull%2Cpush"

    request = get_request(service(nvidia, None), {Scope("nvidia/tensorflow", ("pull", "push"))}, user=None)

    assert str(request.url) == f"{nvidia}&client_id=ocync"
    assert str(get_request(service("https://a/t?x=%41", "r"), [], user=None).url).startswith(
        "https://a/t?x=%41&service=r"
    )


def test_a_refresh_token_is_posted_in_the_body_alone() -> None:
    scopes = {Scope("b", ("pull",)), Scope("a", ("pull", "push"))}

    request = refresh_request(service(), scopes, token="s3cret")

    assert request.method == "POST"
    assert dict(parse_qsl(request.content.decode())) == {
        "grant_type": "refresh_token",
        "refresh_token": "s3cret",
        "service": "r",
        "client_id": "ocync",
        "scope": "repository:a:pull,push repository:b:pull",
    }
    assert "s3cret" not in f"{request.url} {request.headers}"
    assert "authorization" not in request.headers


def test_of_two_tokens_that_differ_the_one_counts_that_docker_takes() -> None:
    body = b'{"token": "old", "access_token": "new"}'

    assert read_answer(body, received=0, service=SERVICE).header == "Bearer new"


@pytest.mark.parametrize(
    "answer",
    [
        {"token": "t"},
        {"access_token": "t"},
        {"token": "t", "access_token": "t"},
        {"token": "", "access_token": "t"},
    ],
)
def test_a_token_has_either_of_two_names(answer: dict[str, str]) -> None:
    assert read_answer(json.dumps(answer).encode(), received=0, service=SERVICE).header == "Bearer t"


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (300, 300),
        (300.5, 300.5),
        ("300", 300),
        (60, 60),
        (5, 60),
        (0, 60),
        (-1, 60),
        (None, 60),
        ("soon", 60),
        ([], 60),
        (True, 60),
        (float("nan"), 60),
        (float("inf"), MAX_LIFE),
        (10**400, 60),
        (10**12, MAX_LIFE),
    ],
)
def test_a_token_lives_as_told_but_a_minute_at_least_and_a_day_at_most(told: object, seconds: float) -> None:
    assert life(expires_in=told) == seconds


def test_a_token_that_does_not_tell_its_life_lives_a_minute() -> None:
    assert life() == 60


def test_a_clock_of_theirs_counts_for_nothing() -> None:
    assert life(expires_in=300, issued_at="1999-01-01T00:00:00Z") == 300


@pytest.mark.parametrize(("seconds", "renewed"), [(60, 45), (100, 75), (120, 90), (300, 270), (3600, 3570)])
def test_a_token_is_renewed_before_its_end_by_half_a_minute_or_a_quarter_of_its_life(
    seconds: int, renewed: float
) -> None:
    answer = json.dumps({"token": "t", "expires_in": seconds}).encode()

    assert read_answer(answer, received=1000.0, service=SERVICE).renewed_from == 1000.0 + renewed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>s3cret</html>",
        b'{"token": "s3cret"',
        b"[]",
        b"null",
        b"{}",
        b'{"token": null}',
        b'{"token": 7}',
        b'{"token": "s3cret with spaces"}',
        b'{"token": "s3cret\\r\\nX-Evil: 1"}',
        '{"token": "s3crét"}'.encode(),
        b'{"token": "' + b"a" * 70_000 + b'"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_an_answer_without_a_token_is_an_error_that_names_the_hosts_and_quotes_nothing(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_answer(body, received=0, service=SERVICE)

    assert str(caught.value).startswith("auth.example, the token service of registry.example, answered with")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["token", "access_token", "expires_in"]), x),
    ).map(lambda x: json.dumps(x).encode())
)
def test_any_answer_is_a_token_that_fits_a_header_or_an_error(body: bytes) -> None:
    try:
        header = read_answer(body, received=0, service=SERVICE).header
    except ProtocolError:
        return
    assert header.isascii()
    assert len(header.split()) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no such user"}]}', "DENIED: no such user"),
        (b'{"errors":[{"code":"DENIED"},{"message":"again"}]}', "DENIED; again"),
        (b'{"error":"invalid_grant","error_description":"it ended"}', "invalid_grant: it ended"),
        (b'{"details":"incorrect username or password"}', "incorrect username or password"),
        (b"plain words\n", "plain words"),
        (b"<HTML><body>Sign in</body></HTML>", ""),
        (b'{"errors":[7, null, {"code": 7}]}', ""),
        (b"[]", ""),
        (b'{"errors":[{"message":"you sent hunter2"}]}', "you sent ***"),
        (b"", ""),
    ],
)
def test_the_words_of_a_refusal_are_told_without_what_we_sent(body: bytes, expected: str) -> None:
    assert said(body, ["hunter2"]) == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthError),
        (403, AuthError),
        (400, ProtocolError),
        (404, ProtocolError),
        (429, RateLimitedError),
        (408, ServerError),
        (503, ServerError),
        (204, ProtocolError),
    ],
)
async def test_a_refusal_is_told_by_its_status_with_the_words_of_the_service(
    status: int, kind: type[RegistryError]
) -> None:
    async def send(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"errors": [{"message": f"no, {request.headers['authorization']}"}]})

    credential = UserPassword(username="u", password="hunter2", origin="registries.src.credentials")
    with pytest.raises(kind) as caught:
        await fetch(send, SERVICE, frozenset(), credential, clock=lambda: 0.0)

    assert (caught.value.host, caught.value.status) == ("registry.example", status)
    assert str(caught.value).split(";")[0].endswith(f"auth.example answered {status}: no, Basic ***")


@pytest.mark.parametrize(
    "location", ["https://auth.example:bad/", "//", "http://auth.example/token", "https://u@auth.example/", None]
)
async def test_a_redirect_that_leads_elsewhere_or_nowhere_is_an_error(location: str | None) -> None:
    asked = []

    async def send(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": location} if location is not None else {})

    with pytest.raises(
        ProtocolError, match=r"auth\.example, the token service of registry\.example, answered with"
    ):
        await fetch(send, SERVICE, frozenset(), Anonymous(origin="o"), clock=lambda: 0.0)

    assert all(url.startswith("https://auth.example/") for url in asked)


def test_what_was_sent_is_nowhere_in_the_request_s_repr() -> None:
    credential = UserPassword(username="u", password="hunter2", origin="o")

    assert "hunter2" not in repr(get_request(service(), [], user=(credential.username, credential.password)))
