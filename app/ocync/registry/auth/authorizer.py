"""From the scopes of a request to its Authorization header, and what to do when a registry refuses it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx

from ocync.lib import remedies
from ocync.lib.errors import AuthError
from ocync.lib.redaction import excerpt
from ocync.lib.singleflight import Memo
from ocync.oci.reference import Registry
from ocync.registry.auth import challenge as challenges
from ocync.registry.auth import scheme, token
from ocync.registry.auth import scope as scopes_of
from ocync.registry.auth.challenges import Challenges, Learned
from ocync.registry.auth.credential import Anonymous, BearerToken, StaticToken, UserPassword
from ocync.registry.auth.lockout import Refusals
from ocync.registry.auth.scheme import AsIs, Exchange
from ocync.registry.auth.scope import Scope
from ocync.registry.auth.token_cache import Held, Key, TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.registry.auth.challenge import Challenge
    from ocync.registry.auth.credential import Credential, CredentialSource
    from ocync.registry.auth.scheme import Way
    from ocync.registry.auth.token import Exchangeable, Send

log = logging.getLogger(__name__)

_FRESH = 10.0
"""Seconds. A token that was fetched for one request, no longer ago, was not refused for its age."""
_AGAIN = 600.0
"""Seconds before a user name and password that were answered with 403 are read once more."""
_EVERYTHING = frozenset[Scope]()


class HeaderFields(Protocol):
    """The header fields of a response."""

    def get_list(self, key: str, /) -> list[str]:
        """Return the values of all fields of a name, whatever its case."""


class Authorizer:
    """
    Makes the credentials of the requests to one registry.

    A caller asks for a `header` before each request, also in the middle of an upload, since tokens end; it sends
    that header to the registry's own origin only, and comes back with `rejected` after a 401 and with `forbidden`
    after a 403, once each. All methods raise errors of `ocync.lib.errors`.

    `send` sends requests to `/v2/` and to token services; it adds no credentials or cookies, and follows no
    redirects.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        source: CredentialSource,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._source = source
        self._send = send
        self._clock = clock
        self._tokens = TokenCache(clock)
        self._challenges = Challenges()
        self._pings = Memo[str, None]()
        self._refusals = Refusals()
        self._shown: dict[str, Credential] = {}
        """Headers that are credentials as they are, and whose."""
        self._after_403: dict[str, float] = {}
        """When headers of `_shown` were answered with 403, or made because another one was."""
        self._exchange_static: dict[frozenset[Scope], bool] = {}
        """Whether a StaticToken is exchanged first, where one of both ways has been refused."""

    def __repr__(self) -> str:
        return f"<Authorizer of {self._registry.host}: {self._challenges!r}, {self._tokens!r}>"

    async def credential(self, scopes: frozenset[Scope] = frozenset()) -> Credential:
        """Return what is shown to the registry for these scopes: its kind and origin are fit to be told."""
        return await self._source.credential(_repository(scopes))

    async def header(self, scopes: frozenset[Scope]) -> str | None:
        """
        Return the Authorization for a request with these scopes, or None for none.

        The first call learns the registry's challenge with a request to `/v2/` that has no credentials.
        """
        learned = await self._known(scopes)
        if learned is None:
            return None
        credential = await self.credential(scopes)
        self._refusals.check(credential)
        try:
            return await self._answer(learned, credential, scopes)
        except AuthError:
            changed = await self._source.credential(_repository(scopes), refused=credential)
            if changed == credential:
                raise
        return await self._answer(learned, changed, scopes)

    async def rejected(
        self, response_headers: HeaderFields, url: str, scopes: frozenset[Scope], used: str | None
    ) -> str:
        """
        Return other credentials after a 401 from `url` to a request that carried `used`.

        The user's credentials are read again, and the scopes of the answer's challenge are asked for together
        with ours. Raises AuthError when there is nothing new to try.
        """
        answered = _chosen(response_headers)
        # Old gcr.io answers a real request with 401 and no challenge: then that of /v2/ holds.
        learned = (
            self._challenges.learn(Learned(challenge=answered, url=url), scopes)
            if answered
            else await self._known(scopes)
        )
        if learned is None:
            raise self._error("answered 401 and does not say how to authenticate")
        old = await self.credential(scopes)
        if used is not None and (renewed := self._renewed(learned, old, scopes, used)) is not None:
            return renewed
        new = await self._source.credential(_repository(scopes), refused=old)
        header = await self._answer(learned, new, scopes, refused=used)
        if header is None:
            error = self._refusal(new, answered)
            if used in self._shown:
                self._refusals.refused(new, error)
            raise error
        return header

    def accepted(self, used: str) -> None:
        """Record that a request which carried `used` was answered with anything but 401."""
        credential = self._shown.get(used)
        if credential is not None:
            self._refusals.taken(credential)

    async def forbidden(self, scopes: frozenset[Scope], used: str | None) -> str | None:
        """
        Return other credentials after a 403 to a request that carried `used`; None when there are none.

        A token that was not fetched for this very request is replaced by one for exactly these scopes, unless it
        had been fetched after a 403 itself. A user name and password that are sent as they are, are read again
        where they come from, once in ten minutes. A request that carried nothing, since the registry never asked
        for credentials, gets those that the user has given.
        """
        credential = await self.credential(scopes)
        learned = self._challenges.of(scopes)
        if used is None or learned is None:
            return scheme.unasked(credential) if used is None and learned is None else None
        if isinstance(credential, UserPassword) and learned.is_basic:
            return await self._read_again(learned, credential, scopes, used)
        if isinstance(credential, BearerToken):
            return None
        key = self._key(credential, scopes)
        held = self._tokens.held(key)
        if held is None:
            return None
        if held.token.header != used:
            return held.give()
        if held.after_403 or self._is_fresh(held):
            return None
        return await self._renew(learned, key, used, after_403=True)

    async def _read_again(
        self, learned: Learned, credential: UserPassword, scopes: frozenset[Scope], used: str
    ) -> str | None:
        """
        Return other credentials than those that were answered with 403; None when there are none.

        ECR says 403 to a password that has ended (ECR user guide, "HTTP 403 errors"), as to one without the right.
        """
        shown, last = self._shown.get(used), self._after_403.get(used)
        if shown is credential and (last is None or self._clock() - last >= _AGAIN):
            # Others that were answered so meanwhile share one look.
            try:
                read = await self._source.credential(_repository(scopes), refused=shown)
            finally:
                self._after_403[used] = self._clock()
        elif shown is credential or shown is None:
            return None
        else:
            read = credential
        header = await self._answer(learned, read, scopes, refused=used)
        if header is not None:
            self._after_403[header] = self._clock()
        return header

    async def elsewhere(self, response_headers: HeaderFields, url: str) -> str | None:
        """
        Return the Authorization for a host that a redirect led to and that answered 401 from `url`.

        It is an anonymous token for the scopes that this host's challenge names, or None: it never has to do with
        this registry's credentials or scopes (registry.k8s.io and lscr.io lead to hosts that want one).
        """
        answered = _chosen(response_headers)
        if answered is None or answered.scheme != "bearer":
            return None
        learned, parts = Learned(challenge=answered, url=url), urlsplit(url)
        there = Registry(parts.netloc, parts.scheme)
        key = Key(
            host=there.host,
            credential=Anonymous(origin=f"a redirect from {self._registry.host}"),
            scopes=learned.scopes,
        )
        return await self._tokens.get(key, lambda: self._fetch(learned, there, key.credential, key.scopes))

    async def _known(self, scopes: frozenset[Scope]) -> Learned | None:
        await self._pings.get("", self._ping)
        return self._challenges.of(scopes)

    async def _ping(self) -> None:
        """Learn what `/v2/` says; 200 needs no credentials, and the rest is left to the real request's error."""
        url = f"{self._registry.api}/v2/"
        response = await self._send(httpx.Request("GET", url, headers=token.HEADERS))
        answered = _chosen(response.headers) if response.status_code == 401 else None
        if answered is not None:
            self._challenges.home = Learned(challenge=answered, url=url)
        log.debug("%s answered %s to /v2/: %r", self._registry.host, response.status_code, self._challenges)

    async def _answer(
        self, learned: Learned, credential: Credential, scopes: frozenset[Scope], *, refused: str | None = None
    ) -> str | None:
        """
        Return a header other than the one that was refused; None when there is none.

        Ways to answer are tried in their order. Raises the AuthError of the last one that failed.
        """
        failed: AuthError | None = None
        for way in self._ways(learned, credential, scopes):
            try:
                header = await self._go(way, learned, scopes, refused)
            except AuthError as error:
                log.debug("%s", error.message)
                failed = error
                if isinstance(credential, StaticToken):
                    self._exchange_static[scopes] = False
                continue
            if header is not None:
                if isinstance(way, AsIs):
                    self._shown[header] = credential
                if isinstance(credential, StaticToken) and refused is not None:
                    self._exchange_static[_EVERYTHING] = isinstance(way, Exchange)
                return header
        if failed is not None:
            raise failed
        return None

    def _ways(self, learned: Learned, credential: Credential, scopes: frozenset[Scope]) -> tuple[Way, ...]:
        lesson = self._exchange_static.get(scopes, self._exchange_static.get(_EVERYTHING))
        return scheme.to_answer(
            credential, basic=learned.is_basic, exchange_static=lesson, host=self._registry.host
        )

    async def _go(self, way: Way, learned: Learned, scopes: frozenset[Scope], refused: str | None) -> str | None:
        if isinstance(way, AsIs):
            return way.header if way.header != refused else None
        key, asked = self._key(way.credential, scopes), self._challenges.asked(scopes)
        if refused is None:
            return await self._tokens.get(key, lambda: self._fetch(learned, self._registry, key.credential, asked))
        held = self._tokens.held(key)
        if held is not None and held.token.header == refused and held.asked == asked and self._is_fresh(held):
            return None
        return await self._renew(learned, key, refused)

    async def _renew(self, learned: Learned, key: Key, refused: str, *, after_403: bool = False) -> str:
        asked = self._challenges.asked(key.scopes)

        async def fetch() -> Held:
            return await self._fetch(learned, self._registry, key.credential, asked, after_403=after_403)

        return await self._tokens.renew(key, refused, fetch)

    async def _fetch(
        self,
        learned: Learned,
        registry: Registry,
        credential: Exchangeable,
        asked: frozenset[Scope],
        *,
        after_403: bool = False,
    ) -> Held:
        try:
            given = await token.fetch(self._send, learned.service(registry), asked, credential, clock=self._clock)
        except AuthError as error:
            self._refusals.refused(credential, error)
            raise
        self._refusals.taken(credential)
        return Held(token=given, asked=asked, after_403=after_403)

    def _renewed(self, learned: Learned, credential: Credential, scopes: frozenset[Scope], used: str) -> str | None:
        """Return what another task has fetched or read since `used` was given out, if it has."""
        if isinstance(credential, BearerToken):
            return credential.header if credential.header != used else None
        held = self._tokens.held(self._key(credential, scopes))
        if held is not None:
            return held.give() if held.token.header != used else None
        if isinstance(credential, StaticToken):
            return None
        found = (way.header for way in self._ways(learned, credential, scopes) if isinstance(way, AsIs))
        return next((header for header in found if header != used), None)

    def _is_fresh(self, held: Held) -> bool:
        return held.uses <= 1 and self._clock() - held.token.received < _FRESH

    def _key(self, credential: Exchangeable, scopes: frozenset[Scope]) -> Key:
        return Key(host=self._registry.host, credential=credential, scopes=scopes)

    def _error(self, what: str, *, hint: str | None = None) -> AuthError:
        return AuthError(f"{self._registry.host} {what}", host=self._registry.host, status=401, hint=hint)

    def _refusal(self, credential: Credential, answered: Challenge | None) -> AuthError:
        said = ""
        if answered is not None and (error := answered.get("error")):
            said = f" ({excerpt(': '.join(filter(None, (error, answered.get('error_description')))))})"
        if isinstance(credential, Anonymous):
            return self._error(
                f"wants credentials{said} and there are none: {credential.origin}", hint=credential.hint or None
            )
        return self._error(
            f"refuses the {credential.kind} from {credential.origin}{said}",
            hint=remedies.REFUSED_CREDENTIALS,
        )


def _chosen(headers: HeaderFields) -> Challenge | None:
    return challenges.choose(challenges.parse(headers.get_list("www-authenticate")))


def _repository(scopes: frozenset[Scope]) -> str:
    """Return the repository whose credential counts: the one that is written to, where there are several."""
    return next((s.repository for s in scopes_of.ordered(scopes) if s.kind == "repository"), "")
