"""A cloud's own login where there is one, else what Docker's config holds: for hosts known by their names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError
from ocync.lib.singleflight import Flights
from ocync.registry.auth.credential import Anonymous
from ocync.registry.auth.refresh import HungLoginError, NoLoginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.registry.auth.credential import Credential, CredentialSource

log = logging.getLogger(__name__)


class EitherSource:
    """
    Decides once, by whether the cloud's login works.

    Where there is nothing to log in with, the other source is asked. Where a login is refused or hangs, it is asked
    too, and what it holds is used, with a warning; if that is nothing, the error stands, but for a refusal at hosts
    that serve everybody.
    """

    def __init__(
        self,
        host: str,
        login: CredentialSource,
        other: Callable[[str], CredentialSource],
        *,
        serves_everybody: bool,
    ) -> None:
        """`other` makes the other source, told why there is no login."""
        self._host = host
        self._login = login
        self._other = other
        self._serves_everybody = serves_everybody
        self._chosen: CredentialSource | None = None
        self._choosing = Flights[str, "CredentialSource"]()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return what the chosen source gives; raises also what is worth another try, with nothing chosen yet."""
        chosen = self._chosen or await self._choosing.run("", lambda: self._choose(repository))
        return await chosen.credential(repository, refused=refused)

    async def _choose(self, repository: str) -> CredentialSource:
        if self._chosen is None:
            self._chosen = await self._found(repository)
        return self._chosen

    async def _found(self, repository: str) -> CredentialSource:
        try:
            await self._login.credential("")
        except (AuthError, HungLoginError) as error:
            if error.retryable and not isinstance(error, HungLoginError):
                raise
            other = self._other(error.message)
            held = await other.credential(repository)
            if isinstance(error, NoLoginError):
                log.debug("%s; what is used instead: %s from %s", error.message, held.kind, held.origin)
            elif isinstance(held, Anonymous) and (error.retryable or not self._serves_everybody):
                # Without credentials, what a login was slow for would be told to be not allowed.
                raise
            else:
                log.warning("%s; what is used instead: %s from %s", error, held.kind, held.origin)
            return other
        return self._login
