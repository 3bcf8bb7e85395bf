"""
What a user has to show a registry, and where it comes from.

Secrets are compared and hashed but never shown: repr and str of these values tell their kind and origin.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ocync.lib.errors import AuthError

_VISIBLE = re.compile(r"[\x21-\x7e]+")


class _Shown:
    """The repr of a credential."""

    __slots__ = ()
    origin: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.origin}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Anonymous(_Shown):
    """Nothing to show. `origin` tells where it was looked for, `hint` what to do when the registry wants more."""

    origin: str = field(compare=False)
    hint: str = field(default="", compare=False)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UserPassword(_Shown):
    """A user name, which holds no colon (RFC 7617 section 2), and a password."""

    username: str
    password: str
    origin: str = field(compare=False)

    def __post_init__(self) -> None:
        if ":" in self.username:
            raise AuthError(f"the user name from {self.origin} holds a colon, which Basic authentication forbids")

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return "user name and password"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class IdentityToken(_Shown):
    """
    An OAuth2 refresh token (docker config's `identitytoken`, a helper's user name `<token>`).

    A token service that knows no refresh tokens is asked with `username` and `password`, where there is a name.
    """

    token: str
    username: str = ""
    password: str = ""
    origin: str = field(compare=False)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return "identity token"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BearerToken(_Shown):
    """A token for the registry itself (docker config's `registrytoken`): sent as it is, never exchanged."""

    token: str
    origin: str = field(compare=False)

    def __post_init__(self) -> None:
        _check(self.token, self.origin)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return "registry token"

    @property
    def header(self) -> str:
        """The value of Authorization."""
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StaticToken(_Shown):
    """
    The `token` of a config: sent as it is, or exchanged for another as the password of `username`.

    `exchange_first` says which of both is tried first; the other is tried when the first is refused.
    """

    token: str
    username: str = "x-access-token"
    exchange_first: bool = False
    origin: str = field(compare=False)

    def __post_init__(self) -> None:
        _check(self.token, self.origin)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return "token"

    @property
    def header(self) -> str:
        """The value of Authorization, as it is."""
        return f"Bearer {self.token}"


Credential: TypeAlias = Anonymous | UserPassword | IdentityToken | BearerToken | StaticToken


class CredentialSource(Protocol):
    """Where the credentials of one registry come from."""

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """
        Return the credential for a repository of the registry; an empty name asks for the registry's own.

        The same object is given until the caller names it as `refused`: then it is read anew where it came from,
        once however many callers name it. Raises errors of `ocync.lib.errors`.
        """


def basic(username: str, password: str) -> str:
    """Return the value of Authorization for a user name and password (RFC 7617, in UTF-8)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


def _check(token: str, origin: str) -> None:
    if not _VISIBLE.fullmatch(token):
        raise AuthError(
            f"the token from {origin} holds a character that can't be sent in a header",
            hint="look for a space, a line end or a character that is not ASCII",
        )
