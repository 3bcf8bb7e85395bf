"""Tokens, kept by what they were requested for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.singleflight import Flights

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.registry.auth.scope import Scope
    from ocync.registry.auth.token import Exchangeable, Token

_PRUNE_EVERY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """
    What a token is for. It is used for nothing else: cgr.dev answers 403 to the token of another repository.

    `credential` is compared by its secrets, so a new password never meets the tokens of the old one.
    """

    host: str
    credential: Exchangeable
    scopes: frozenset[Scope]


@dataclass(slots=True)
class CachedToken:
    """A token, and how it was requested and used."""

    token: Token
    requested: frozenset[Scope]
    """The key's scopes, and those that a challenge has added."""
    after_403: bool = False
    """Whether the token before it was answered with 403."""
    uses: int = 0

    def use(self) -> str:
        """Return the value of Authorization and count the use."""
        self.uses += 1
        return self.token.header


class TokenCache:
    """
    Fetches each token once, however many tasks ask for it, and again before it expires.

    An error is raised for all who wait for that fetch; the next call tries again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens: dict[TokenKey, CachedToken] = {}
        self._flights = Flights[TokenKey, CachedToken]()
        self._fetched = 0

    def __repr__(self) -> str:
        return f"<TokenCache: {len(self._tokens)} tokens>"

    def valid(self, key: TokenKey) -> CachedToken | None:
        """Return the token that `get` would use without a fetch; None when it would fetch one."""
        cached = self._tokens.get(key)
        return cached if cached is not None and self._clock() < cached.token.renewed_from else None

    async def get(self, key: TokenKey, fetch: Callable[[], Awaitable[CachedToken]]) -> str:
        """Return the header for the key, with a token that is fetched if none is valid."""
        cached = self.valid(key) or await self._flights.run(key, lambda: self._fetch(key, fetch))
        return cached.use()

    async def renew(self, key: TokenKey, refused: str, fetch: Callable[[], Awaitable[CachedToken]]) -> str:
        """
        Return a header with a token other than the refused one.

        Concurrent calls for the same token cause one fetch, and later ones find the new token.
        """
        cached = self.valid(key)
        if cached is None or cached.token.header == refused:
            cached = await self._flights.run(key, lambda: self._fetch(key, fetch))
        return cached.use()

    async def _fetch(self, key: TokenKey, fetch: Callable[[], Awaitable[CachedToken]]) -> CachedToken:
        cached = self._tokens[key] = await fetch()
        self._fetched += 1
        if self._fetched % _PRUNE_EVERY == 0:
            now = self._clock()
            self._tokens = {k: t for k, t in self._tokens.items() if now < t.token.renewed_from}
        return cached
