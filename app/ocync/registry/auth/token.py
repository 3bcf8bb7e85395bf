"""The token service: its requests and responses (distribution's token and oauth2 documentation)."""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx

from ocync import USER_AGENT
from ocync.lib import remedies
from ocync.lib.errors import AuthError, ProtocolError, RateLimitedError, RegistryError, ServerError
from ocync.lib.redaction import excerpt
from ocync.registry.auth import scope as scopes_of
from ocync.registry.auth.credential import Anonymous, BearerToken, IdentityToken, StaticToken, UserPassword, basic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ocync.registry.auth.credential import Credential
    from ocync.registry.auth.scope import Scope

log = logging.getLogger(__name__)

Send: TypeAlias = "Callable[[httpx.Request], Awaitable[httpx.Response]]"
"""Sends a request and reads the whole response; raises errors of `ocync.lib.errors` if there is none."""
Exchangeable: TypeAlias = Anonymous | UserPassword | IdentityToken | StaticToken
"""The credentials that a token service exchanges for a token."""

MIN_LIFE = 60.0
"""Seconds: the default and the least lifetime of a token (distribution, token.md)."""
MAX_LIFE = 24 * 3600.0
_MARGIN = 30.0
_MAX_REDIRECTS = 3
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
# Services without refresh tokens: GCR answers 404, Artifactory 401, ACR 400, others 405
# (containerd, core/remotes/docker/authorizer.go).
_NO_OAUTH = frozenset({400, 401, 404, 405})
HEADERS = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of a token service. Times are those of the local clock: their `issued_at` may be skewed."""

    value: str = field(repr=False)
    received: float
    life: float
    """Seconds from `received`."""

    @property
    def header(self) -> str:
        """The value of Authorization."""
        return f"Bearer {self.value}"

    @property
    def renewed_from(self) -> float:
        """When it is replaced: before it expires, by less than the shortest lifetime."""
        return self.received + self.life - min(_MARGIN, self.life / 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenService:
    """The token service that a registry names."""

    url: str
    """Absolute, and accepted by `realm.locate`; it may have a query."""
    service: str | None
    host: str
    """The registry's `host[:port]`, for messages."""

    @property
    def name(self) -> str:
        """The service's own `host[:port]`."""
        return urlsplit(self.url).netloc


def get_request(service: TokenService, scopes: Iterable[Scope], *, user: tuple[str, str] | None) -> httpx.Request:
    """Return the GET for a token, with Basic for a user name and password (and with these nowhere else)."""
    present = set(parse_qsl(urlsplit(service.url).query))
    wanted = [("service", service.service)] if service.service is not None else []
    wanted += [("scope", str(scope)) for scope in scopes_of.ordered(scopes)]
    wanted += [("client_id", "ocync")]
    if user is not None:
        wanted.append(("account", user[0]))
    # Parameters of the realm's own query are not repeated (nvcr.io has its scope there).
    query = urlencode([pair for pair in wanted if pair not in present])
    url = f"{service.url}{'&' if '?' in service.url else '?'}{query}".rstrip("?&")
    headers = HEADERS if user is None else {**HEADERS, "Authorization": basic(*user)}
    return httpx.Request("GET", url, headers=headers)


def refresh_request(service: TokenService, scopes: Iterable[Scope], *, token: str) -> httpx.Request:
    """Return the POST that exchanges a refresh token (RFC 6749 section 6); nothing secret is in URL or headers."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "ocync"}
    if service.service is not None:
        form["service"] = service.service
    if named := " ".join(str(scope) for scope in scopes_of.ordered(scopes)):
        form["scope"] = named
    return httpx.Request("POST", service.url, headers=HEADERS, data=form)


def read_answer(body: bytes, *, received: float, service: TokenService) -> Token:
    """Return the token of `{"token" or "access_token", "expires_in"}`; raises ProtocolError for anything else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        # The cause is left out: it holds the document.
        raise _nonsense(service, "with no valid JSON") from None
    fields = answer if isinstance(answer, dict) else {}
    # The specification does not say which one counts. Docker and containerd use this one, so it works.
    value = fields.get("access_token") or fields.get("token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise _nonsense(service, "without a token that can be used")
    return Token(value=value, received=received, life=_life(fields.get("expires_in")))


def _life(value: object) -> float:
    """Return the seconds that `expires_in` grants, within bounds; some servers send them as a string."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    return MIN_LIFE if math.isnan(seconds) else min(max(seconds, MIN_LIFE), MAX_LIFE)


async def fetch(
    send: Send,
    service: TokenService,
    scopes: frozenset[Scope],
    credential: Exchangeable,
    *,
    clock: Callable[[], float],
) -> Token:
    """
    Return a token for these scopes in exchange for a credential; a service may grant less and not say so.

    Raises AuthError when the service refuses, ProtocolError when it makes no sense, and what `send` raises.
    """
    response = await _ask(send, service, scopes, credential)
    received = clock()
    if response.status_code not in (200, 201):
        raise _refusal(response, service, credential)
    log.debug("%s gave a token for %s", service.name, " ".join(map(str, scopes_of.ordered(scopes))) or "no scope")
    return read_answer(response.content, received=received, service=service)


async def _ask(
    send: Send, service: TokenService, scopes: frozenset[Scope], credential: Exchangeable
) -> httpx.Response:
    user = _user(credential)
    if isinstance(credential, IdentityToken):
        response = await send(refresh_request(service, scopes, token=credential.token))
        if response.status_code not in _NO_OAUTH or user is None:
            return response
        log.debug("%s answered %s to a refresh token; asking with GET", service.name, response.status_code)
    return await _get(send, get_request(service, scopes, user=user), service)


def _user(credential: Exchangeable) -> tuple[str, str] | None:
    match credential:
        case UserPassword():
            return credential.username, credential.password
        case StaticToken():
            return credential.username, credential.token
        case IdentityToken() if credential.username:
            return credential.username, credential.password or credential.token
    return None


async def _get(send: Send, request: httpx.Request, service: TokenService) -> httpx.Response:
    """Send a GET, and follow redirects within the service's own origin: the credentials are for no other."""
    for _ in range(_MAX_REDIRECTS + 1):
        response = await send(request)
        if response.status_code not in (301, 302, 303, 307, 308):
            return response
        url = _redirected(response, str(request.url), service)
        request = httpx.Request("GET", url, headers=request.headers)
    raise _nonsense(service, "with redirects in a circle")


def _redirected(response: httpx.Response, url: str, service: TokenService) -> str:
    try:
        target = httpx.URL(urljoin(url, response.headers.get("location", "")))
    except (httpx.InvalidURL, ValueError):
        raise _nonsense(service, "with a redirect to no URL") from None
    here = httpx.URL(url)
    if (target.scheme, target.host, target.port) != (here.scheme, here.host, here.port) or target.userinfo:
        raise _nonsense(service, f"with a redirect to {excerpt(target.host) or 'no host'}, which is not followed")
    return str(target)


def _nonsense(service: TokenService, how: str) -> ProtocolError:
    return ProtocolError(f"{service.name}, the token service of {service.host}, answered {how}", host=service.host)


def _refusal(response: httpx.Response, service: TokenService, credential: Exchangeable) -> RegistryError:
    status = response.status_code
    words = said(response.content, secrets_of(credential))
    told = f"{service.name} answered {status}{': ' + words if words else ''}"
    if status in (401, 403):
        if isinstance(credential, Anonymous):
            return AuthError(
                f"{service.host} gives no token without credentials: {told}; there was {credential.origin}",
                host=service.host,
                status=status,
                hint=credential.hint or None,
            )
        return AuthError(
            f"{service.host} refuses the {credential.kind} from {credential.origin}: {told}",
            host=service.host,
            status=status,
            hint=remedies.REFUSED_CREDENTIALS,
        )
    message = f"{service.host} gives no token: {told}"
    if status == 429:
        return RateLimitedError(message, host=service.host, status=status)
    if status == 408 or status >= 500:
        return ServerError(message, host=service.host, status=status)
    return ProtocolError(message, host=service.host, status=status)


def secrets_of(credential: Credential) -> tuple[str, ...]:
    """Return the secrets of a credential, in the forms that a response may repeat."""
    match credential:
        case UserPassword():
            pair = basic(credential.username, credential.password)
            return credential.password, pair.removeprefix("Basic ")
        case IdentityToken():
            return credential.token, credential.password
        case BearerToken():
            return (credential.token,)
        case StaticToken():
            return credential.token, basic(credential.username, credential.token).removeprefix("Basic ")
    return ()


def said(body: bytes, secrets: Iterable[str]) -> str:
    """Return the message in an error's body: in `errors`, in OAuth2's `error_description`, or as plain text."""
    text = body[:4096].decode("utf-8", "replace")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return "" if "<html" in text.lower() else excerpt(text, secrets=secrets)
    entries = answer.get("errors") if isinstance(answer, dict) else None
    entries = entries if isinstance(entries, list) else [answer]
    sentences = []
    for entry in entries[:3]:
        fields = entry if isinstance(entry, dict) else {}
        words = [fields.get(name) for name in ("code", "error", "message", "error_description", "details")]
        sentences.append(": ".join(dict.fromkeys(word for word in words if isinstance(word, str) and word)))
    return excerpt("; ".join(filter(None, sentences)), secrets=secrets)
