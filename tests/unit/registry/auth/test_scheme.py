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
from ocync.registry.auth.scheme import AsIs, Exchange, Way, to_answer, unasked

USER = UserPassword(username="u", password="p", origin="o")
IDENTITY = IdentityToken(token="i", origin="o")
REGISTRY_TOKEN = BearerToken(token="r", origin="o")
STATIC = StaticToken(token="s", origin="o")
GITHUB = StaticToken(token="s", exchange_first=True, origin="o")
NOBODY = Anonymous(origin="o")


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (USER, [Exchange(USER)]),
        (IDENTITY, [Exchange(IDENTITY)]),
        (NOBODY, [Exchange(NOBODY)]),
        (REGISTRY_TOKEN, [AsIs("Bearer r")]),
        (STATIC, [AsIs("Bearer s"), Exchange(STATIC)]),
        (GITHUB, [Exchange(GITHUB), AsIs("Bearer s")]),
    ],
)
def test_bearer_is_answered(credential: Credential, expected: list[Way]) -> None:
    assert to_answer(credential, basic=False, exchange_static=None, host="h") == tuple(expected)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (USER, [AsIs(basic("u", "p"))]),
        (NOBODY, []),
        (REGISTRY_TOKEN, [AsIs("Bearer r")]),
        (STATIC, [AsIs(basic("x-access-token", "s"))]),
        (GITHUB, [AsIs(basic("x-access-token", "s"))]),
    ],
)
def test_basic_is_answered(credential: Credential, expected: list[Way]) -> None:
    assert to_answer(credential, basic=True, exchange_static=None, host="h") == tuple(expected)


def test_a_lesson_turns_the_order_of_a_static_token() -> None:
    assert to_answer(STATIC, basic=False, exchange_static=True, host="h")[0] == Exchange(STATIC)
    assert to_answer(GITHUB, basic=False, exchange_static=False, host="h")[0] == AsIs("Bearer s")


def test_an_identity_token_can_not_answer_basic() -> None:
    with pytest.raises(
        AuthError, match="h wants a user name and a password, but there is an identity token from o"
    ):
        to_answer(IDENTITY, basic=True, exchange_static=None, host="h")


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
def test_who_was_never_asked_shows_what_needs_no_exchange(credential: Credential, header: str | None) -> None:
    assert unasked(credential) == header
