"""Telling the log which secrets there are, wherever they were found, so that none of them is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.registry.auth.credential import BearerToken, IdentityToken, StaticToken, UserPassword

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.registry.auth.credential import Credential, CredentialSource


class Disclosing:
    """A source that tells `secret(value, username=…)` of each credential before anybody gets it."""

    def __init__(self, source: CredentialSource, secret: Callable[..., None]) -> None:
        self._source = source
        self._secret = secret
        self._told: Credential | None = None

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return what the source gives."""
        found = await self._source.credential(repository, refused=refused)
        if found is not self._told:
            self._told = found
            match found:
                case UserPassword():
                    self._secret(found.password, username=found.username)
                case StaticToken():
                    self._secret(found.token, username=found.username)
                case IdentityToken() | BearerToken():
                    self._secret(found.token)
        return found
