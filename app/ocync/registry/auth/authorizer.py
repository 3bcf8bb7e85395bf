"""The Authorization header of a request, by its scopes, and the response to a registry that refuses it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx

from ocync.lib import remedies
from ocync.lib.errors import AuthError
from ocync.lib.redaction import excerpt
from ocync.lib.singleflight import Memo
from ocync.oci.reference import Registry
from ocync.registry.auth import scheme, token
from ocync.registry.auth import scope as scopes_of
from ocync.registry.auth.challenge import Challenges, LocatedChallenge, choose, parse
from ocync.registry.auth.credential import Anonymous, BearerToken, StaticToken, UserPassword
from ocync.registry.auth.scheme import DirectHeader, TokenExchange
from ocync.registry.auth.scope import Scope
from ocync.registry.auth.token_cache import CachedToken, TokenCache, TokenKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.lib.errors import RegistryError
    from ocync.registry.auth.challenge import Challenge
    from ocync.registry.auth.credential import Credential, CredentialSource
    from ocync.registry.auth.scheme import Scheme
    from ocync.registry.auth.token import Exchangeable, Send

log = logging.getLogger(__name__)

_FRESH = 10.0
"""Seconds. A token that was fetched for one request, no longer ago, was not refused for its age."""
_AGAIN = 600.0
"""Seconds before a user name and password that were answered with 403 are read again."""
_LIMIT = 3
"""Refusals after which credentials that were never accepted are not sent any more."""
_ALL_SCOPES = frozenset[Scope]()


class HeaderFields(Protocol):
    """The header fields of a response."""

    def get_list(self, key: str, /) -> list[str]:
        """Return the values of all fields of a name, whatever its case."""


class _Lockout:
    """
    Keeps credentials that are always refused from being sent for each image, which would lock the account.

    Credentials that were accepted once are good: a later refusal is about a right that they lack.
    """

    def __init__(self) -> None:
        self._accepted: set[Credential] = set()
        self._counts: Counter[Credential] = Counter()
        self._errors: dict[Credential, RegistryError] = {}

    def refused(self, credential: Credential, error: RegistryError) -> None:
        if error.status == 401 and not isinstance(credential, Anonymous):
            self._counts[credential] += 1
            self._errors[credential] = error

    def accepted(self, credential: Credential) -> None:
        self._accepted.add(credential)

    def check(self, credential: Credential) -> None:
        if self._counts[credential] >= _LIMIT and credential not in self._accepted:
            last = self._errors[credential]
            raise AuthError(last.message, host=last.host, status=last.status, hint=last.hint)


class Authorizer:
    """
    Makes the Authorization headers of the requests to one registry.

    A caller asks for a `header` before each request, also in the middle of an upload, since tokens expire. It sends
    that header to the registry's own origin only. It calls `rejected` after a 401 and `forbidden` after a 403, once
    each. All methods raise errors of `ocync.lib.errors`.

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
        self._lockout = _Lockout()
        self._direct: dict[str, Credential] = {}
        """The credentials of headers that were made without a token service."""
        self._after_403: dict[str, float] = {}
        """When headers of `_direct` were answered with 403, or made because another one was."""
        self._exchange_static: dict[frozenset[Scope], bool] = {}
        """Whether a StaticToken is exchanged first, where one of its two schemes was refused."""

    def __repr__(self) -> str:
        return f"<Authorizer of {self._registry.host}: {self._challenges!r}, {self._tokens!r}>"

    async def credential(self, scopes: frozenset[Scope] = frozenset()) -> Credential:
        """Return the credential that the registry gets for these scopes; its kind and origin may be printed."""
        return await self._read(scopes)

    async def header(self, scopes: frozenset[Scope]) -> str | None:
        """
        Return the Authorization for a request with these scopes, or None for none.

        The first call learns the registry's challenge by a request to `/v2/` without credentials.
        """
        challenge = await self._challenge(scopes)
        if challenge is None:
            return None
        credential = await self._read(scopes)
        self._lockout.check(credential)
        try:
            return await self._answer(challenge, credential, scopes)
        except AuthError:
            changed = await self._read(scopes, refused=credential)
            if changed == credential:
                raise
        return await self._answer(challenge, changed, scopes)

    async def rejected(
        self, response_headers: HeaderFields, url: str, scopes: frozenset[Scope], used: str | None
    ) -> str:
        """
        Return another Authorization after a 401 from `url` to a request that carried `used`.

        The user's credentials are read again, and a token is requested for the scopes of the response's challenge
        together with ours. Raises AuthError when there is nothing new to try.
        """
        answered = _chosen(response_headers)
        # Old gcr.io answers a real request with 401 and no challenge: then that of /v2/ holds.
        challenge = (
            self._challenges.learn(LocatedChallenge(challenge=answered, url=url), scopes)
            if answered
            else await self._challenge(scopes)
        )
        if challenge is None:
            raise self._error("answered 401 and does not say how to authenticate", None)
        old = await self._read(scopes)
        if used is not None and (renewed := self._renewed(challenge, old, scopes, used)) is not None:
            return renewed
        new = await self._read(scopes, refused=old)
        header = await self._answer(challenge, new, scopes, refused=used)
        if header is None:
            error = self._refusal(new, answered)
            if used in self._direct:
                self._lockout.refused(new, error)
            raise error
        return header

    def accepted(self, used: str) -> None:
        """Record that a request which carried `used` was answered with anything but 401."""
        credential = self._direct.get(used)
        if credential is not None:
            self._lockout.accepted(credential)

    async def forbidden(self, scopes: frozenset[Scope], used: str | None) -> str | None:
        """
        Return another Authorization after a 403 to a request that carried `used`; None when there is none.

        A token is replaced by one for exactly these scopes, unless it was fetched for this very request or after
        another 403. A user name and password that are sent without a token service are read again, once in ten
        minutes. A request without credentials, because the registry never asked for any, gets the user's.
        """
        credential = await self._read(scopes)
        challenge = self._challenges.expected(scopes)
        if used is None or challenge is None:
            return scheme.preemptive_header(credential) if used is None and challenge is None else None
        if isinstance(credential, UserPassword) and challenge.is_basic:
            return await self._read_again(challenge, credential, scopes, used)
        if isinstance(credential, BearerToken):
            return None
        key, wanted = self._key(credential, scopes), self._challenges.token_scopes(scopes)
        cached = self._tokens.valid(key)
        if cached is None:
            return None
        if cached.token.header != used:
            return cached.use()
        if cached.after_403 or self._is_fresh(cached):
            return None
        fetch = self._fetch(challenge, self._registry, key, wanted, after_403=True)
        return await self._tokens.renew(key, used, fetch)

    async def _read_again(
        self, challenge: LocatedChallenge, credential: UserPassword, scopes: frozenset[Scope], used: str
    ) -> str | None:
        # ECR answers 403 to an expired password (ECR user guide, "HTTP 403 errors"), as to one without the right.
        sent, last = self._direct.get(used), self._after_403.get(used)
        if sent is credential and (last is None or self._clock() - last >= _AGAIN):
            # Other requests that got a 403 meanwhile share one reading.
            try:
                read = await self._read(scopes, refused=sent)
            finally:
                self._after_403[used] = self._clock()
        elif sent is credential or sent is None:
            return None
        else:
            read = credential
        header = await self._answer(challenge, read, scopes, refused=used)
        if header is not None:
            self._after_403[header] = self._clock()
        return header

    async def elsewhere(self, response_headers: HeaderFields, url: str) -> str | None:
        """
        Return the Authorization for a host to which the registry has redirected, after its 401 from `url`.

        It is an anonymous token for the scopes that this host's challenge names, or None. It never depends on this
        registry's credentials or scopes (registry.k8s.io and lscr.io redirect to hosts that want one).
        """
        answered = _chosen(response_headers)
        if answered is None or answered.scheme != "bearer":
            return None
        challenge, parts = LocatedChallenge(challenge=answered, url=url), urlsplit(url)
        other = Registry(parts.netloc, parts.scheme)
        credential = Anonymous(origin=f"a redirect from {self._registry.host}")
        key = TokenKey(host=other.host, credential=credential, scopes=challenge.scopes)
        return await self._tokens.get(key, self._fetch(challenge, other, key, key.scopes))

    async def _read(self, scopes: frozenset[Scope], *, refused: Credential | None = None) -> Credential:
        # The repository that is written to, where there are several.
        names = (each.repository for each in scopes_of.ordered(scopes) if each.kind == "repository")
        return await self._source.credential(next(names, ""), refused=refused)

    async def _challenge(self, scopes: frozenset[Scope]) -> LocatedChallenge | None:
        await self._pings.get("", self._ping)
        return self._challenges.expected(scopes)

    async def _ping(self) -> None:
        # 200 needs no credentials. Any other status than 401 is left to the error of the real request.
        url = f"{self._registry.api}/v2/"
        response = await self._send(httpx.Request("GET", url, headers=token.HEADERS))
        answered = _chosen(response.headers) if response.status_code == 401 else None
        if answered is not None:
            self._challenges.default = LocatedChallenge(challenge=answered, url=url)
        log.debug("%s answered %s to /v2/: %r", self._registry.host, response.status_code, self._challenges)

    async def _answer(
        self,
        challenge: LocatedChallenge,
        credential: Credential,
        scopes: frozenset[Scope],
        *,
        refused: str | None = None,
    ) -> str | None:
        """Return a header other than the refused one, or None; raises the AuthError of the last scheme tried."""
        failed: AuthError | None = None
        for each in self._schemes(challenge, credential, scopes):
            try:
                header = await self._apply(each, challenge, scopes, refused)
            except AuthError as error:
                log.debug("%s", error.message)
                failed = error
                if isinstance(credential, StaticToken):
                    self._exchange_static[scopes] = False
                continue
            if header is not None:
                if isinstance(each, DirectHeader):
                    self._direct[header] = credential
                if isinstance(credential, StaticToken) and refused is not None:
                    self._exchange_static[_ALL_SCOPES] = isinstance(each, TokenExchange)
                return header
        if failed is not None:
            raise failed
        return None

    def _schemes(
        self, challenge: LocatedChallenge, credential: Credential, scopes: frozenset[Scope]
    ) -> tuple[Scheme, ...]:
        exchange_static = self._exchange_static.get(scopes, self._exchange_static.get(_ALL_SCOPES))
        return scheme.schemes(
            credential, is_basic=challenge.is_basic, exchange_static=exchange_static, host=self._registry.host
        )

    async def _apply(
        self, chosen: Scheme, challenge: LocatedChallenge, scopes: frozenset[Scope], refused: str | None
    ) -> str | None:
        if isinstance(chosen, DirectHeader):
            return chosen.header if chosen.header != refused else None
        key, wanted = self._key(chosen.credential, scopes), self._challenges.token_scopes(scopes)
        if refused is None:
            return await self._tokens.get(key, self._fetch(challenge, self._registry, key, wanted))
        cached = self._tokens.valid(key)
        if cached and cached.token.header == refused and cached.requested == wanted and self._is_fresh(cached):
            return None
        return await self._tokens.renew(key, refused, self._fetch(challenge, self._registry, key, wanted))

    def _fetch(
        self,
        challenge: LocatedChallenge,
        registry: Registry,
        key: TokenKey,
        wanted: frozenset[Scope],
        *,
        after_403: bool = False,
    ) -> Callable[[], Awaitable[CachedToken]]:
        async def fetch() -> CachedToken:
            service = challenge.service(registry)
            try:
                fetched = await token.fetch(self._send, service, wanted, key.credential, clock=self._clock)
            except AuthError as error:
                self._lockout.refused(key.credential, error)
                raise
            self._lockout.accepted(key.credential)
            return CachedToken(token=fetched, requested=wanted, after_403=after_403)

        return fetch

    def _renewed(
        self, challenge: LocatedChallenge, credential: Credential, scopes: frozenset[Scope], used: str
    ) -> str | None:
        """Return the header that another task has fetched or read since `used` was made, if any."""
        if isinstance(credential, BearerToken):
            return credential.header if credential.header != used else None
        cached = self._tokens.valid(self._key(credential, scopes))
        if cached is not None:
            return cached.use() if cached.token.header != used else None
        if isinstance(credential, StaticToken):
            return None
        schemes = self._schemes(challenge, credential, scopes)
        return next((e.header for e in schemes if isinstance(e, DirectHeader) and e.header != used), None)

    def _is_fresh(self, cached: CachedToken) -> bool:
        return cached.uses <= 1 and self._clock() - cached.token.received < _FRESH

    def _key(self, credential: Exchangeable, scopes: frozenset[Scope]) -> TokenKey:
        return TokenKey(host=self._registry.host, credential=credential, scopes=scopes)

    def _error(self, what: str, hint: str | None) -> AuthError:
        return AuthError(f"{self._registry.host} {what}", host=self._registry.host, status=401, hint=hint)

    def _refusal(self, credential: Credential, answered: Challenge | None) -> AuthError:
        said = ""
        if answered is not None and (error := answered.get("error")):
            said = f" ({excerpt(': '.join(filter(None, (error, answered.get('error_description')))))})"
        if isinstance(credential, Anonymous):
            what = f"wants credentials{said} and there are none: {credential.origin}"
            return self._error(what, credential.hint or None)
        what = f"refuses the {credential.kind} from {credential.origin}{said}"
        return self._error(what, remedies.REFUSED_CREDENTIALS)


def _chosen(headers: HeaderFields) -> Challenge | None:
    return choose(parse(headers.get_list("www-authenticate")))
