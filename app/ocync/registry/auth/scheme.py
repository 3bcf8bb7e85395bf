"""How a credential answers a challenge: as a header, or exchanged for a token. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import Anonymous, BearerToken, IdentityToken, StaticToken, UserPassword, basic

if TYPE_CHECKING:
    from ocync.registry.auth.credential import Credential
    from ocync.registry.auth.token import Exchangeable


@dataclass(frozen=True, slots=True)
class DirectHeader:
    """The credential itself is the value of Authorization."""

    header: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenExchange:
    """The token service exchanges the credential for a token."""

    credential: Exchangeable


Scheme: TypeAlias = DirectHeader | TokenExchange


def schemes(
    credential: Credential, *, is_basic: bool, exchange_static: bool | None, host: str
) -> tuple[Scheme, ...]:
    """
    Return the schemes to try in order for a challenge, Basic or else Bearer; none for Basic without credentials.

    `exchange_static` says whether this registry wants a StaticToken exchanged, None if that is not known. Raises
    AuthError, which names the host, for a credential that can't answer such a challenge.
    """
    if isinstance(credential, BearerToken):
        return (DirectHeader(credential.header),)
    if is_basic:
        return _basic(credential, host)
    if not isinstance(credential, StaticToken):
        return (TokenExchange(credential),)
    direct, exchange = DirectHeader(credential.header), TokenExchange(credential)
    exchange_first = credential.exchange_first if exchange_static is None else exchange_static
    return (exchange, direct) if exchange_first else (direct, exchange)


def preemptive_header(credential: Credential) -> str | None:
    """Return the header for a registry that refuses anonymous requests without a challenge."""
    match credential:
        case UserPassword():
            return basic(credential.username, credential.password)
        case BearerToken() | StaticToken():
            return credential.header
        case Anonymous() | IdentityToken():
            return None


def _basic(credential: UserPassword | StaticToken | IdentityToken | Anonymous, host: str) -> tuple[Scheme, ...]:
    match credential:
        case UserPassword():
            return (DirectHeader(basic(credential.username, credential.password)),)
        case StaticToken():
            # A registry without Bearer takes tokens where it takes passwords, if at all.
            return (DirectHeader(basic(credential.username, credential.token)),)
        case IdentityToken():
            raise AuthError(
                f"{host} wants a user name and a password, but there is an identity token from {credential.origin}",
                host=host,
                hint="log in again with a user name and a password",
            )
        case Anonymous():
            return ()
