"""Logins that end: made once for all, and made again before they end."""

from __future__ import annotations

import asyncio
import logging
import time
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, OcyncError, UnreachableError
from ocync.lib.singleflight import Flights

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.registry.auth.credential import Credential

log = logging.getLogger(__name__)

_MARGIN = 300.0
"""Seconds before its end that a login is made again; the clouds renew their own tokens as early."""
_SHORTEST = 4.0
"""Seconds that a login is believed to last at least: a clock that is wrong must not cause one for each request."""
_PAUSE = 30.0
"""Seconds between two tries to renew a login that has not ended yet."""
LOGIN_SECONDS = 90.0
"""What a cloud's login may take in all: its library has retries of its own within."""


class NoLoginError(AuthError):
    """There is nothing to log in with: not what was refused, and not what could not be reached."""


class HungLoginError(UnreachableError):
    """A login was not done in time, which may be the network's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a login gave, and the seconds that it lasts from now on."""

    credential: Credential
    life: float


@dataclass(slots=True)
class _Held:
    credential: Credential
    renewed_from: float
    ends: float


class RenewingSource:
    """
    A source whose credential comes from a login, which is the same for every repository.

    Times are of the local monotonic clock, from the moment when the login's answer came. While a login lasts, one
    that can't be renewed is used on; that is tried again every half minute, as is a login that is refused.
    """

    def __init__(
        self, log_in: Callable[[], Awaitable[Login]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log_in = log_in
        self._clock = clock
        self._held: _Held | None = None
        self._failed: tuple[OcyncError, float] | None = None
        """Why there is no login, and until when it is not tried again."""
        self._flights = Flights[str, "Credential"]()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the login's credential; raises what the login raises."""
        del repository
        found = self._good(refused)
        return found if found is not None else await self._flights.run("", lambda: self._renew(refused))

    def _good(self, refused: Credential | None) -> Credential | None:
        held = self._held
        if held is None or held.credential is refused or self._clock() >= held.renewed_from:
            return None
        return held.credential

    async def _renew(self, refused: Credential | None) -> Credential:
        if (found := self._good(refused)) is not None:
            return found
        if self._failed is not None and self._clock() < self._failed[1]:
            raise copy(self._failed[0]).with_traceback(None)
        try:
            login = await self._log_in()
        except OcyncError as error:
            held, now = self._held, self._clock()
            if held is None or held.credential is refused or now >= held.ends:
                # Each image would have it asked for again, and a cloud counts refusals.
                is_told = not error.retryable or isinstance(error, HungLoginError)
                self._failed = (error, now + _PAUSE) if is_told else None
                raise
            held.renewed_from = min(now + _PAUSE, held.ends)
            log.warning("a login could not be renewed, and lasts %.0f s more: %s", held.ends - now, error)
            return held.credential
        now, life = self._clock(), max(login.life, _SHORTEST)
        self._failed = None
        self._held = _Held(login.credential, now + life - min(_MARGIN, life / 4), now + life)
        return login.credential


def bounded(
    host: str, log_in: Callable[[], Awaitable[Login]], *, seconds: float = LOGIN_SECONDS
) -> Callable[[], Awaitable[Login]]:
    """Return a login that raises HungLoginError where it is not done within so many seconds."""

    async def within() -> Login:
        try:
            async with asyncio.timeout(seconds):
                return await log_in()
        except TimeoutError:
            message = f"{host}: the cloud's login was not done within {seconds:g} s"
            hint = "look at what its credentials come from, or set auth_type for this registry"
            raise HungLoginError(message, host=host, hint=hint) from None

    return within
