"""
What a user shows to a registry, and the interface of its sources.

Secrets are compared and hashed but never printed: repr and str of a credential name its type and origin.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias

from ocync.lib.errors import AuthError

_VISIBLE = re.compile(r"[\x21-\x7e]+")


class _Redacted:
    __slots__ = ()
    kind: ClassVar[str]
    """What it is, in words for people."""
    origin: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.origin}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Anonymous(_Redacted):
    """No credentials. `origin` says where they were looked for, `hint` what to do if the registry wants some."""

    kind = "anonymous"
    origin: str = field(compare=False)
    hint: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UserPassword(_Redacted):
    """A user name, which holds no colon (RFC 7617 section 2), and a password."""

    kind = "user name and password"
    username: str
    password: str
    origin: str = field(compare=False)

    def __post_init__(self) -> None:
        if ":" in self.username:
            raise AuthError(f"the user name from {self.origin} holds a colon, which Basic authentication forbids")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class IdentityToken(_Redacted):
    """
    An OAuth2 refresh token (docker config's `identitytoken`, a helper's user name `<token>`).

    A token service without refresh tokens is asked with `username` and `password`, where there is a user name.
    """

    kind = "identity token"
    token: str
    username: str = ""
    password: str = ""
    origin: str = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BearerToken(_Redacted):
    """A token for the registry itself (docker config's `registrytoken`): sent as it is, never exchanged."""

    kind = "registry token"
    token: str
    origin: str = field(compare=False)

    def __post_init__(self) -> None:
        _ensure_visible(self.token, self.origin)

    @property
    def header(self) -> str:
        """The value of Authorization."""
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StaticToken(_Redacted):
    """
    The `token` of a config: sent as it is, or exchanged for another token as the password of `username`.

    `exchange_first` says which of the two is tried first; the other is tried when the first is refused.
    """

    kind = "token"
    token: str
    username: str = "x-access-token"
    exchange_first: bool = False
    origin: str = field(compare=False)

    def __post_init__(self) -> None:
        _ensure_visible(self.token, self.origin)

    @property
    def header(self) -> str:
        """The value of Authorization that sends it as it is."""
        return f"Bearer {self.token}"


Credential: TypeAlias = Anonymous | UserPassword | IdentityToken | BearerToken | StaticToken


class CredentialSource(Protocol):
    """Where the credentials of one registry come from."""

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """
        Return the credential for a repository of the registry; an empty name stands for the registry itself.

        The same object is returned until a caller passes it as `refused`. Then it is read again from its origin,
        once however many callers pass it. Raises errors of `ocync.lib.errors`.
        """


def basic(username: str, password: str) -> str:
    """Return the value of Authorization for a user name and password (RFC 7617, in UTF-8)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


def _ensure_visible(token: str, origin: str) -> None:
    if not _VISIBLE.fullmatch(token):
        raise AuthError(
            f"the token from {origin} holds a character that can't be sent in a header",
            hint="look for a space, a line end or a character that is not ASCII",
        )
