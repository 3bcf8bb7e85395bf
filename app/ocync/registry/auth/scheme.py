"""How a credential can answer a challenge: which ways there are, and in which order they are tried. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import Anonymous, BearerToken, IdentityToken, StaticToken, UserPassword, basic

if TYPE_CHECKING:
    from ocync.registry.auth.credential import Credential
    from ocync.registry.auth.token import Exchangeable


@dataclass(frozen=True, slots=True)
class AsIs:
    """With this value of Authorization."""

    header: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """With a token that the token service gives for this."""

    credential: Exchangeable


Way: TypeAlias = AsIs | Exchange


def to_answer(credential: Credential, *, basic: bool, exchange_static: bool | None, host: str) -> tuple[Way, ...]:
    """
    Return the ways to answer a challenge, `basic` or else Bearer; none when there is nothing to show.

    `exchange_static` is what the registry has taught about a StaticToken, None for nothing yet. Raises AuthError,
    which names the host, for a credential that no challenge of this kind takes.
    """
    if isinstance(credential, BearerToken):
        return (AsIs(credential.header),)
    if basic:
        return _basic(credential, host)
    if not isinstance(credential, StaticToken):
        return (Exchange(credential),)
    as_is, exchange = AsIs(credential.header), Exchange(credential)
    first = credential.exchange_first if exchange_static is None else exchange_static
    return (exchange, as_is) if first else (as_is, exchange)


def unasked(credential: Credential) -> str | None:
    """Return the header for a registry that has not said what it wants, and refuses those who show nothing."""
    match credential:
        case UserPassword():
            return basic(credential.username, credential.password)
        case BearerToken() | StaticToken():
            return credential.header
        case Anonymous() | IdentityToken():
            return None


def _basic(credential: UserPassword | StaticToken | IdentityToken | Anonymous, host: str) -> tuple[Way, ...]:
    match credential:
        case UserPassword():
            return (AsIs(basic(credential.username, credential.password)),)
        case StaticToken():
            # A registry without Bearer takes tokens where it takes passwords, if at all.
            return (AsIs(basic(credential.username, credential.token)),)
        case IdentityToken():
            raise AuthError(
                f"{host} wants a user name and a password, but there is an identity token from {credential.origin}",
                host=host,
                hint="log in again with a user name and a password",
            )
        case Anonymous():
            return ()
