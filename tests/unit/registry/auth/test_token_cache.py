"""Tokens are kept for exactly what they were given for, and renewed in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from logins import PULL, PUSH, Clock
from ocync.registry.auth.credential import Anonymous, UserPassword
from ocync.registry.auth.token import Token
from ocync.registry.auth.token_cache import CachedToken, TokenCache, TokenKey

KEY = TokenKey(host="r.example", credential=Anonymous(origin="a"), scopes=PULL)


@dataclass
class Service:
    """Gives numbered tokens, each after a moment."""

    clock: Clock
    life: float = 300.0
    given: int = 0
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def __call__(self) -> CachedToken:
        self.given += 1
        value = str(self.given)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return CachedToken(token=Token(value=value, received=self.clock(), life=self.life), requested=PULL)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> TokenCache:
    return TokenCache(clock)


@pytest.fixture
def service(clock: Clock) -> Service:
    return Service(clock)


async def test_many_who_start_together_cause_one_request(tokens: TokenCache, service: Service) -> None:
    headers = await asyncio.gather(*(tokens.get(KEY, service) for _ in range(100)))

    assert headers == ["Bearer 1"] * 100
    assert service.given == 1
    cached = tokens.valid(KEY)
    assert cached is not None
    assert cached.uses == 100


@pytest.mark.parametrize(
    "other",
    [
        TokenKey(host="r.example:5000", credential=KEY.credential, scopes=PULL),
        TokenKey(host="r.example", credential=UserPassword(username="u", password="p", origin="a"), scopes=PULL),
        TokenKey(host="r.example", credential=KEY.credential, scopes=PUSH),
        TokenKey(host="r.example", credential=KEY.credential, scopes=PULL | PUSH),
        TokenKey(host="r.example", credential=KEY.credential, scopes=frozenset()),
    ],
    ids=["host", "credential", "actions", "more scopes", "no scope"],
)
async def test_a_token_is_for_nothing_else(tokens: TokenCache, service: Service, other: TokenKey) -> None:
    assert await tokens.get(KEY, service) == "Bearer 1"
    assert await tokens.get(other, service) == "Bearer 2"
    assert await tokens.get(KEY, service) == "Bearer 1"


@pytest.mark.parametrize(("life", "margin"), [(60, 15), (300, 30), (3600, 30)])
async def test_a_token_is_renewed_before_it_ends(
    tokens: TokenCache, service: Service, clock: Clock, life: float, margin: float
) -> None:
    service.life = life
    await tokens.get(KEY, service)
    clock.now += life - margin - 0.1
    assert await tokens.get(KEY, service) == "Bearer 1"
    clock.now += 0.2

    assert tokens.valid(KEY) is None
    assert await tokens.get(KEY, service) == "Bearer 2"


async def test_a_refused_token_is_renewed_once_for_all_who_had_it(tokens: TokenCache, service: Service) -> None:
    used = await tokens.get(KEY, service)

    headers = await asyncio.gather(*(tokens.renew(KEY, used, service) for _ in range(20)))
    late = await tokens.renew(KEY, used, service)

    assert {*headers, late} == {"Bearer 2"}
    assert service.given == 2


async def test_an_error_is_not_kept(tokens: TokenCache, service: Service) -> None:
    service.error = OSError("down")
    results = await asyncio.gather(*(tokens.get(KEY, service) for _ in range(3)), return_exceptions=True)
    service.error = None

    assert [str(result) for result in results] == ["down"] * 3
    assert service.given == 1
    assert await tokens.get(KEY, service) == "Bearer 2"


async def test_tokens_that_have_ended_are_forgotten_in_time(
    tokens: TokenCache, service: Service, clock: Clock
) -> None:
    for number in range(256 * 4):
        clock.now += 2
        await tokens.get(TokenKey(host=str(number), credential=KEY.credential, scopes=PULL), service)

    assert repr(tokens) == "<TokenCache: 135 tokens>"
