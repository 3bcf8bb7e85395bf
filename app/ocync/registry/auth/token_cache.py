"""Tokens that were given, by what they were given for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.singleflight import Flights

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.registry.auth.scope import Scope
    from ocync.registry.auth.token import Exchangeable, Token

_PRUNED_EACH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """
    What a token is for. It is used for nothing else: cgr.dev answers 403 to the token of another repository.

    `credential` is compared by its secrets, so a rotated password never meets the tokens of the old one.
    """

    host: str
    credential: Exchangeable
    scopes: frozenset[Scope]


@dataclass(slots=True)
class Held:
    """A token with its story."""

    token: Token
    asked: frozenset[Scope]
    """What was asked for: the key's scopes, and those that a challenge had added."""
    after_403: bool = False
    """It was fetched because the one before was answered with 403."""
    uses: int = 0
    """How often it was given out."""

    def give(self) -> str:
        """Return the value of Authorization, counting it."""
        self.uses += 1
        return self.token.header


class TokenCache:
    """
    Fetches each token once, however many tasks ask for it, and again before it ends.

    An error goes to all who wait for that fetch; the next to ask tries again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[Key, Held] = {}
        self._flights = Flights[Key, Held]()
        self._fetched = 0

    def __repr__(self) -> str:
        return f"<TokenCache: {len(self._held)} tokens>"

    def held(self, key: Key) -> Held | None:
        """Return the token that would be given now; None when one would be fetched."""
        held = self._held.get(key)
        return held if held is not None and self._clock() < held.token.renewed_from else None

    async def get(self, key: Key, fetch: Callable[[], Awaitable[Held]]) -> str:
        """Return the header for the key, with a token that is fetched when there is none that lasts."""
        held = self.held(key) or await self._flights.run(key, lambda: self._fetch(key, fetch))
        return held.give()

    async def renew(self, key: Key, refused: str, fetch: Callable[[], Awaitable[Held]]) -> str:
        """
        Return a header with a token other than the one that was refused.

        Concurrent calls for the same token cause one fetch: who comes later finds the new token.
        """
        held = self.held(key)
        if held is None or held.token.header == refused:
            held = await self._flights.run(key, lambda: self._fetch(key, fetch))
        return held.give()

    async def _fetch(self, key: Key, fetch: Callable[[], Awaitable[Held]]) -> Held:
        held = await fetch()
        self._held[key] = held
        self._fetched += 1
        if self._fetched % _PRUNED_EACH == 0:
            now = self._clock()
            self._held = {k: h for k, h in self._held.items() if now < h.token.renewed_from}
        return held
