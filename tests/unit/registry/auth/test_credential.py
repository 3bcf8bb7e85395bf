"""Credentials as values: comparable, and silent."""

from __future__ import annotations

import pickle
import traceback

import pytest

from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import Anonymous, BearerToken, IdentityToken, StaticToken, UserPassword, basic
from ocync.registry.auth.docker_config import DockerConfig, Inline
from ocync.registry.auth.scheme import DirectHeader, TokenExchange
from ocync.registry.auth.token import Token
from ocync.registry.auth.token_cache import CachedToken, TokenCache, TokenKey

SECRET = "hunter2secret"
CREDENTIALS = [
    UserPassword(username=SECRET, password=SECRET, origin="there"),
    IdentityToken(token=SECRET, username=SECRET, password=SECRET, origin="there"),
    BearerToken(token=SECRET, origin="there"),
    StaticToken(token=SECRET, username=SECRET, origin="there"),
]
HOLDERS = [
    TokenKey(host="h", credential=CREDENTIALS[0], scopes=frozenset()),
    CachedToken(token=Token(value=SECRET, received=0, life=60), requested=frozenset()),
    TokenExchange(CREDENTIALS[0]),  # type: ignore[arg-type]
    DirectHeader(SECRET),
    Inline("ghcr.io", {"auth": SECRET}),
    DockerConfig(auths={"ghcr.io": {"auth": SECRET}}),
    TokenCache(lambda: 0.0),
]


@pytest.mark.parametrize("value", [*CREDENTIALS, *HOLDERS], ids=lambda value: type(value).__name__)
def test_no_secret_is_shown_by_repr_or_str(value: object) -> None:
    assert SECRET not in f"{value!r} {value!s} {[value]}"


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda value: type(value).__name__)
def test_a_traceback_that_shows_local_variables_shows_no_secret(credential: object) -> None:
    def fail(credential: object) -> None:
        raise RuntimeError("no")

    try:
        fail(credential)
    except RuntimeError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "credential = <" in told
    assert SECRET not in told


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda value: type(value).__name__)
def test_the_origin_is_shown_and_is_not_compared(credential: UserPassword) -> None:
    other = pickle.loads(pickle.dumps(credential))
    object.__setattr__(other, "origin", "elsewhere")

    assert "there" in repr(credential)
    assert credential.kind
    assert other == credential
    assert hash(other) == hash(credential)


def test_another_password_is_another_credential() -> None:
    one, two = (UserPassword(username="u", password=each, origin="o") for each in ("a", "b"))

    assert one != two
    assert Anonymous(origin="a", hint="x") == Anonymous(origin="b", hint="y")


def test_basic_is_encoded_in_utf_8_with_colons_in_the_password() -> None:
    # RFC 7617 section 2.1: "test" and "123£".
    assert basic("test", "123£") == "Basic dGVzdDoxMjPCow=="
    assert basic("u", "a:b") == "Basic dTphOmI="


def test_a_user_name_with_a_colon_is_refused() -> None:
    with pytest.raises(AuthError, match="holds a colon") as caught:
        UserPassword(username="a:secretpart", password=SECRET, origin="the config")

    assert "secretpart" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\nb", "a\r\nX-Evil: 1", "tökén", "", "a\0"])
@pytest.mark.parametrize("kind", [BearerToken, StaticToken])
def test_a_token_that_is_no_header_value_is_refused_and_not_shown(
    kind: type[BearerToken | StaticToken], token: str
) -> None:
    with pytest.raises(AuthError, match="the config holds a character") as caught:
        kind(token=token, origin="the config")

    assert not token or token not in str(caught.value)
