"""Authorization of requests: Basic, and Bearer with tokens that are good for exactly what they were issued for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scripted.accounts import Anonymous, Caller, User, find_user
from scripted.problem import RefusedError
from scripted.tokens import Scope, TokenService

if TYPE_CHECKING:
    from scripted.wire import Request


@dataclass(frozen=True, slots=True)
class Grant:
    """An authorized request: who sent it."""

    caller: Caller

    def sees(self, tag: str) -> bool:
        """Tell whether the caller may know of a tag."""
        return self.caller.tags is None or tag in self.caller.tags


EVERYTHING = Grant(User(name="anyone", password=""))


class Auth(Protocol):
    """A way of authorization."""

    def authorize(self, request: Request, scopes: list[Scope]) -> Grant:
        """Let a request pass that needs these scopes; raises RefusedError. No scopes is the ping."""

    @property
    def hidden_tag_status(self) -> int:
        """The status for a tag that the caller may not see."""


@dataclass(slots=True, kw_only=True)
class NoAuth:
    """Everyone may do everything."""

    hidden_tag_status: int = 403

    def authorize(self, request: Request, scopes: list[Scope]) -> Grant:
        return EVERYTHING


@dataclass(slots=True, kw_only=True)
class Basic:
    """User name and password with each request."""

    users: tuple[User, ...] = ()
    anonymous: Anonymous | None = None
    """What may be done without credentials; None: nothing, not even the ping."""
    realm: str = "scripted"
    forbidden_status: int = 403
    """For known users without the right."""
    hidden_tag_status: int = 403

    def authorize(self, request: Request, scopes: list[Scope]) -> Grant:
        sent = request.headers.get("authorization")
        caller: Caller | None = self.anonymous if sent is None else find_user(self.users, sent)
        if caller is None:
            raise self._challenge("authentication required" if sent is None else "wrong user name or password")
        for scope in scopes:
            if not all(caller.may(action, scope.repository) for action in scope.actions):
                if isinstance(caller, Anonymous):
                    raise self._challenge("authentication required")
                raise RefusedError(self.forbidden_status, "DENIED", f"{caller.name} may not {scope}")
        return Grant(caller)

    def _challenge(self, message: str) -> RefusedError:
        return RefusedError(401, "UNAUTHORIZED", message, [("WWW-Authenticate", f'Basic realm="{self.realm}"')])


@dataclass(slots=True, kw_only=True)
class Bearer:
    """Opaque tokens of a token service, each good only for the repositories and actions it was issued for."""

    users: tuple[User, ...] = ()
    anonymous: Anonymous | None = field(default_factory=Anonymous)
    """What tokens without credentials are good for; None: there are none."""
    service: str | None = "scripted"
    """None leaves it out of the challenge."""
    expires_in: float | None = 300
    """Seconds that are told; None leaves them out, and means 60."""
    lifetime: float | None = None
    """Seconds that tokens really live; None: as told."""
    own_port: bool = False
    """Put the token service on a port of its own."""
    realm: str | None = None
    """What the challenge gives as realm; None: the URL of the token service, by the name the client uses."""
    challenge_scope: bool = True
    """Whether challenges hold a scope."""
    other_repository_status: int = 403
    """For a good token that was issued for other repositories, as cgr.dev has it; or 401."""
    denied_status: int = 401
    """For a token of this repository that lacks the action: 401 with a challenge, or 403."""
    hidden_tag_status: int = 403
    """For a tag that the caller may not see: 401, 403 or 404."""
    bad_credentials_status: int = 401
    """Of the token service."""
    post_status: int | None = None
    """What the token service answers to POST; None: it understands it."""
    fields: tuple[str, ...] = ("token", "access_token", "expires_in", "issued_at")
    """What the token service's answers hold."""
    tokens: TokenService = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = TokenService(self)

    def authorize(self, request: Request, scopes: list[Scope]) -> Grant:
        sent = request.headers.get("authorization")
        if sent is None:
            raise self._challenge(request, scopes)
        scheme, _, value = sent.partition(" ")
        token = self.tokens.valid(value.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise self._challenge(request, scopes, error="invalid_token")
        for number, scope in enumerate(scopes):
            granted = token.grants.get(scope.repository)
            foreign = number == 0 and granted is None and token.grants
            # A mount's source comes second: for want of that alone there is a challenge that names both.
            if foreign and self.other_repository_status != 401:
                raise RefusedError(self.other_repository_status, "DENIED", "the token is for another repository")
            if not scope.actions <= (granted or frozenset()):
                if granted is not None and self.denied_status != 401:
                    raise RefusedError(self.denied_status, "DENIED", f"may not {scope}")
                raise self._challenge(request, scopes, error="insufficient_scope")
        return Grant(token.caller)

    def _challenge(self, request: Request, scopes: list[Scope], *, error: str | None = None) -> RefusedError:
        realm = self.realm or self.tokens.url_for(request)
        parts = [f'realm="{realm}"']
        if self.service is not None:
            parts.append(f'service="{self.service}"')
        if scopes and self.challenge_scope:
            parts.append(f'scope="{" ".join(map(str, scopes))}"')
        if error is not None:
            parts.append(f'error="{error}"')
        challenge = ("WWW-Authenticate", "Bearer " + ",".join(parts))
        return RefusedError(401, "UNAUTHORIZED", error or "authentication required", [challenge])
