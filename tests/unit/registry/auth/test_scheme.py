"""How a credential answers a challenge."""

from __future__ import annotations

import pytest

from logins import basic
from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import (
    Anonymous,
    BearerToken,
    Credential,
    IdentityToken,
    StaticToken,
    UserPassword,
)
from ocync.registry.auth.scheme import DirectHeader, Scheme, TokenExchange, preemptive_header, schemes

USER = UserPassword(username="u", password="p", origin="o")
IDENTITY = IdentityToken(token="i", origin="o")
REGISTRY_TOKEN = BearerToken(token="r", origin="o")
STATIC = StaticToken(token="s", origin="o")
GITHUB = StaticToken(token="s", exchange_first=True, origin="o")
NOBODY = Anonymous(origin="o")


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (USER, [TokenExchange(USER)]),
        (IDENTITY, [TokenExchange(IDENTITY)]),
        (NOBODY, [TokenExchange(NOBODY)]),
        (REGISTRY_TOKEN, [DirectHeader("Bearer r")]),
        (STATIC, [DirectHeader("Bearer s"), TokenExchange(STATIC)]),
        (GITHUB, [TokenExchange(GITHUB), DirectHeader("Bearer s")]),
    ],
)
def test_bearer_is_answered(credential: Credential, expected: list[Scheme]) -> None:
    assert schemes(credential, is_basic=False, exchange_static=None, host="h") == tuple(expected)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (USER, [DirectHeader(basic("u", "p"))]),
        (NOBODY, []),
        (REGISTRY_TOKEN, [DirectHeader("Bearer r")]),
        (STATIC, [DirectHeader(basic("x-access-token", "s"))]),
        (GITHUB, [DirectHeader(basic("x-access-token", "s"))]),
    ],
)
def test_basic_is_answered(credential: Credential, expected: list[Scheme]) -> None:
    assert schemes(credential, is_basic=True, exchange_static=None, host="h") == tuple(expected)


def test_an_earlier_refusal_decides_the_order_of_a_static_token() -> None:
    assert schemes(STATIC, is_basic=False, exchange_static=True, host="h")[0] == TokenExchange(STATIC)
    assert schemes(GITHUB, is_basic=False, exchange_static=False, host="h")[0] == DirectHeader("Bearer s")


def test_an_identity_token_can_not_answer_basic() -> None:
    with pytest.raises(
        AuthError, match="h wants a user name and a password, but there is an identity token from o"
    ):
        schemes(IDENTITY, is_basic=True, exchange_static=None, host="h")


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        (USER, basic("u", "p")),
        (STATIC, "Bearer s"),
        (REGISTRY_TOKEN, "Bearer r"),
        (NOBODY, None),
        (IDENTITY, None),
    ],
)
def test_without_a_challenge_only_credentials_that_need_no_exchange_are_sent(
    credential: Credential, header: str | None
) -> None:
    assert preemptive_header(credential) == header
