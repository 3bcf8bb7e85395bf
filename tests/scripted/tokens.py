"""The token service (distribution's documents token.md and oauth.md)."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from scripted.accounts import find_user
from scripted.problem import RefusedError
from scripted.wire import respond

if TYPE_CHECKING:
    from scripted.access import Bearer
    from scripted.accounts import Caller
    from scripted.wire import Request, Response

_MAX_FORM = 64 * 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """`repository:NAME:ACTIONS`."""

    repository: str
    actions: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Scope | None:
        """Read a scope; None for other kinds of resources."""
        kind, _, rest = text.partition(":")
        name, colon, actions = rest.rpartition(":")
        if kind != "repository" or not colon or not name:
            return None
        return cls(name, frozenset(actions.split(",")))

    def __str__(self) -> str:
        order = [action for action in ("pull", "push", "delete") if action in self.actions]
        return f"repository:{self.repository}:{','.join(order)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an issued token is good for, and until when (seconds of the monotonic clock)."""

    caller: Caller
    grants: dict[str, frozenset[str]]
    expires: float


class TokenService:
    """Issues tokens and knows them again."""

    def __init__(self, auth: Bearer) -> None:
        self._auth = auth
        self._tokens: dict[str, Token] = {}
        self._refresh: dict[str, Caller] = {}
        self._base: str | None = None
        self.issued = 0
        """Tokens issued to requests."""

    def listen_at(self, base: str) -> None:
        """Set the service's own `scheme://host:port`; without, it is the registry's."""
        self._base = base

    def url_for(self, request: Request) -> str:
        """Return the service's URL for the client of this request."""
        return f"{self._base or request.base}/token"

    def valid(self, value: str) -> Token | None:
        """Return the token, if it was issued here and has not ended."""
        token = self._tokens.get(value)
        return token if token is not None and token.expires > time.monotonic() else None

    def values(self) -> set[str]:
        """Return all tokens that were issued and not revoked."""
        return {*self._tokens, *self._refresh}

    def revoke_all(self) -> None:
        """End every token now."""
        self._tokens.clear()

    def mint(self, caller: Caller, scopes: list[Scope], *, lifetime: float | None = None) -> str:
        """Make a token, without a request."""
        grants: dict[str, frozenset[str]] = {}
        for scope in scopes:
            allowed = frozenset(action for action in scope.actions if caller.may(action, scope.repository))
            grants[scope.repository] = grants.get(scope.repository, frozenset()) | allowed
        if lifetime is None:
            told = 60 if self._auth.expires_in is None else self._auth.expires_in
            lifetime = told if self._auth.lifetime is None else self._auth.lifetime
        value = secrets.token_urlsafe(32)
        self._tokens[value] = Token(caller=caller, grants=grants, expires=time.monotonic() + lifetime)
        return value

    def refresh_token(self, caller: Caller) -> str:
        """Make a refresh token (docker config's `identitytoken`)."""
        value = secrets.token_urlsafe(32)
        self._refresh[value] = caller
        return value

    async def handle(self, request: Request) -> Response:
        """Answer a request to the service."""
        try:
            if request.method == "GET":
                return self._get(request)
            if request.method == "POST":
                return await self._post(request)
        except RefusedError as refusal:
            return refusal.response
        return respond(405, b"", [("Allow", "GET, POST")])

    def _get(self, request: Request) -> Response:
        self._check_service(request.parameter("service"))
        caller = self._caller(request)
        offline = request.parameter("offline_token") == "true"
        scopes = [value for key, value in request.query if key == "scope"]
        return self._answer(caller, scopes, refresh=offline)

    async def _post(self, request: Request) -> Response:
        if self._auth.post_status is not None:
            return respond(self._auth.post_status)
        if not (request.headers.get("content-type") or "").startswith("application/x-www-form-urlencoded"):
            raise RefusedError(400, "invalid_request", "send a form")
        form = dict(parse_qsl((await request.body.read(_MAX_FORM) or b"").decode(), keep_blank_values=True))
        self._check_service(form.get("service"))
        caller: Caller | None = None
        if form.get("grant_type") == "refresh_token":
            caller = self._refresh.get(form.get("refresh_token", ""))
        elif form.get("grant_type") == "password":
            pair = (form.get("username"), form.get("password"))
            caller = next((user for user in self._auth.users if (user.name, user.password) == pair), None)
        else:
            raise RefusedError(400, "unsupported_grant_type")
        if caller is None:
            raise RefusedError(self._auth.bad_credentials_status, "UNAUTHORIZED", "wrong credentials")
        return self._answer(caller, [form.get("scope", "")], refresh=form.get("access_type") == "offline")

    def _caller(self, request: Request) -> Caller:
        sent = request.headers.get("authorization")
        caller: Caller | None = self._auth.anonymous if sent is None else find_user(self._auth.users, sent)
        if caller is None:
            raise RefusedError(
                self._auth.bad_credentials_status,
                "UNAUTHORIZED",
                "credentials needed" if sent is None else "wrong credentials",
                [("WWW-Authenticate", 'Basic realm="scripted tokens"')],
            )
        return caller

    def _check_service(self, service: str | None) -> None:
        if service is not None and service != self._auth.service:
            raise RefusedError(400, "invalid_request", f"this is not the token service of {service}")

    def _answer(self, caller: Caller, texts: list[str], *, refresh: bool) -> Response:
        scopes = [scope for text in texts for part in text.split() if (scope := Scope.parse(part)) is not None]
        value = self.mint(caller, scopes)
        self.issued += 1
        told = self._auth.expires_in
        body: dict[str, object] = {
            "token": value,
            "access_token": value,
            "expires_in": told if told is None else int(told),
            "issued_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        body = {key: body[key] for key in self._auth.fields if body[key] is not None}
        if refresh:
            body["refresh_token"] = self.refresh_token(caller)
        return respond(200, json.dumps(body).encode(), [("Content-Type", "application/json")])
