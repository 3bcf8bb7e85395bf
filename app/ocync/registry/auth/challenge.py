"""
Challenges: `WWW-Authenticate` (RFC 9110 section 11.6.1), read as servers write it, and what they say of a registry.

Pure; no header raises an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.registry.auth import realm
from ocync.registry.auth import scope as scopes_of
from ocync.registry.auth.token import TokenService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.oci.reference import Registry
    from ocync.registry.auth.scope import Scope

MAX_LENGTH = 16 * 1024
"""Characters of one header; the rest is ignored."""
MAX_CHALLENGES = 16
_MAX_PARAMETERS = 32

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[ \t]+([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$)")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?$)', re.DOTALL)
# More than the RFC allows without quotes: some servers omit them around URLs.
_BARE = re.compile(r'[^\s,"]*')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_GAP = re.compile(r"[\s,]*")
_GARBAGE = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^",])*', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge; `scheme` and the names of the parameters are in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()
    token68: str = ""

    def get(self, name: str) -> str | None:
        """Return the value of a parameter, the first if there are several; None when there is none."""
        return next((value for key, value in self.parameters if key == name), None)


def parse(headers: Sequence[str]) -> tuple[Challenge, ...]:
    """Read all challenges of all `WWW-Authenticate` headers of a response, in their order."""
    found: list[Challenge] = []
    for header in headers:
        _read(header[:MAX_LENGTH], found)
    return tuple(found[:MAX_CHALLENGES])


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge to answer: the first Bearer that names a realm, else the first Basic, else None."""
    bearer = (each for each in challenges if each.scheme == "bearer" and each.get("realm"))
    basic = (each for each in challenges if each.scheme == "basic")
    return next(bearer, None) or next(basic, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedChallenge:
    """A challenge with the URL that gave it: a realm may be relative to it."""

    challenge: Challenge
    url: str

    @property
    def is_basic(self) -> bool:
        """Whether it wants Basic; it wants Bearer otherwise."""
        return self.challenge.scheme == "basic"

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes that it names."""
        return scopes_of.parse(self.challenge.get("scope") or "")

    def service(self, registry: Registry) -> TokenService:
        """Return the token service that a Bearer names; raises ProtocolError for one that must not be asked."""
        url = realm.locate(self.challenge.get("realm") or "", self.url, registry)
        return TokenService(url=url, service=self.challenge.get("service"), host=registry.host)

    def has_same_service(self, other: LocatedChallenge) -> bool:
        """Return whether both name the same token service."""
        return all(self.challenge.get(name) == other.challenge.get(name) for name in ("realm", "service"))


class Challenges:
    """The challenges of one registry: a default, and those that differ for some scopes."""

    def __init__(self) -> None:
        self.default: LocatedChallenge | None = None
        """The challenge of `/v2/`, or else of the first 401."""
        # nvcr.io names another realm for each repository.
        self._by_scopes: dict[frozenset[Scope], LocatedChallenge] = {}
        self._wider: dict[frozenset[Scope], frozenset[Scope]] = {}

    def __repr__(self) -> str:
        return f"<Challenges: {self.default.challenge.scheme if self.default else 'none'}>"

    def expected(self, scopes: frozenset[Scope]) -> LocatedChallenge | None:
        """Return the challenge that a request with these scopes will get; None if none is known."""
        return self._by_scopes.get(scopes, self.default)

    def token_scopes(self, scopes: frozenset[Scope]) -> frozenset[Scope]:
        """Return the scopes that a token needs: those of the request, and what a 401 to it has named besides."""
        return self._wider.get(scopes, scopes)

    def learn(self, new: LocatedChallenge, scopes: frozenset[Scope]) -> LocatedChallenge:
        """Record the challenge of a 401 to a request with these scopes, and return the one to answer."""
        known = self.expected(scopes)
        if known is not None and new.is_basic and not known.is_basic:
            # Harbor answers Basic to any request with an Authorization (google/go-containerregistry#1744).
            return known
        if self.default is None:
            self.default = new
        elif known is not None and not (new.is_basic and known.is_basic) and not new.has_same_service(known):
            self._by_scopes[scopes] = new
        if not new.is_basic and not scopes_of.allowed_by(new.scopes, wanted := self.token_scopes(scopes)):
            self._wider[scopes] = scopes_of.merge(wanted | new.scopes)
        return self._by_scopes.get(scopes, self.default)


def _read(text: str, found: list[Challenge]) -> None:
    """Add the challenges of one header; what follows a comma decides whether it ends a parameter or a challenge."""
    scheme, parameters, token68 = "", list[tuple[str, str]](), ""

    def finish() -> None:
        if scheme:
            found.append(Challenge(scheme=scheme, parameters=tuple(parameters), token68=token68))

    position = _GAP.match(text).end()  # type: ignore[union-attr] # it matches nothing too
    while position < len(text) and len(found) < MAX_CHALLENGES:
        name = _TOKEN.match(text, position)
        if name is None:
            position = _skip(text, position)
            continue
        position = name.end()
        if equals := _EQUALS.match(text, position):
            value, position = _value(text, equals.end())
            if len(parameters) < _MAX_PARAMETERS:
                parameters.append((name.group().lower(), value))
        else:
            finish()
            scheme, parameters, token68 = name.group().lower(), [], ""
            if credentials := _TOKEN68.match(text, position):
                token68, position = credentials.group(1), credentials.end()
        position = _GAP.match(text, position).end()  # type: ignore[union-attr] # as above
    finish()


def _value(text: str, position: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, position):
        return _ESCAPE.sub(r"\1", quoted.group(1)), quoted.end()
    bare = _BARE.match(text, position)
    assert bare is not None
    return bare.group(), bare.end()


def _skip(text: str, position: int) -> int:
    """Return the position behind what is neither a scheme nor a parameter, at least one character further."""
    end = _GARBAGE.match(text, position).end()  # type: ignore[union-attr] # as above
    return max(_GAP.match(text, end).end(), position + 1)  # type: ignore[union-attr] # as above
