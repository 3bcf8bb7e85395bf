"""What the answers of one registry have told of how it authenticates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.registry.auth import realm
from ocync.registry.auth import scope as scopes_of
from ocync.registry.auth.token import TokenService

if TYPE_CHECKING:
    from ocync.oci.reference import Registry
    from ocync.registry.auth.challenge import Challenge
    from ocync.registry.auth.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A challenge that can be answered, and the URL that gave it (a realm may be relative to it)."""

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
        """Return the token service that a Bearer names; raises ProtocolError for one that is not asked."""
        url = realm.locate(self.challenge.get("realm") or "", self.url, registry)
        return TokenService(url=url, service=self.challenge.get("service"), host=registry.host)

    def same_place(self, other: Learned) -> bool:
        """Return whether both name the same service."""
        return all(self.challenge.get(name) == other.challenge.get(name) for name in ("realm", "service"))


class Challenges:
    """The challenges of one registry: one for all of it, and those that differ for some scopes."""

    def __init__(self) -> None:
        self.home: Learned | None = None
        """What `/v2/` said, or else the first 401."""
        # nvcr.io names another realm for each repository.
        self._special: dict[frozenset[Scope], Learned] = {}
        self._wider: dict[frozenset[Scope], frozenset[Scope]] = {}

    def __repr__(self) -> str:
        return f"<Challenges: {self.home.challenge.scheme if self.home else 'none'}>"

    def of(self, scopes: frozenset[Scope]) -> Learned | None:
        """Return the challenge that a request with these scopes will meet; None when none is known."""
        return self._special.get(scopes, self.home)

    def asked(self, scopes: frozenset[Scope]) -> frozenset[Scope]:
        """Return the scopes to ask a token for: those of the request, and what a 401 to it has named besides."""
        return self._wider.get(scopes, scopes)

    def learn(self, learned: Learned, scopes: frozenset[Scope]) -> Learned:
        """Take the challenge of a 401 to a request with these scopes; returns the one to answer."""
        known = self.of(scopes)
        if known is not None and learned.is_basic and not known.is_basic:
            # Harbor says Basic to whoever comes with an Authorization (google/go-containerregistry#1744).
            return known
        if self.home is None:
            self.home = learned
        elif known is not None and not (learned.is_basic and known.is_basic) and not learned.same_place(known):
            self._special[scopes] = learned
        if not learned.is_basic:
            self._widen(scopes, learned.scopes)
        return self._special.get(scopes, self.home)

    def _widen(self, scopes: frozenset[Scope], named: frozenset[Scope]) -> None:
        asked = self.asked(scopes)
        if not scopes_of.allowed_by(named, asked):
            self._wider[scopes] = scopes_of.merge(asked | named)
