"""Logins that expire: made once for all who ask, and renewed before they end."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from base64 import urlsafe_b64decode
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
"""Seconds before its end that a login is renewed; the clouds renew their own tokens as early."""
_SHORTEST = 4.0
"""Seconds that a login lasts at least: a wrong clock must not cause a login for each request."""
_PAUSE = 30.0
"""Seconds between two attempts to renew a login that has not ended yet."""
LOGIN_SECONDS = 75.0
"""Seconds that a cloud's login may take, with the retries of its library."""


class NoLoginError(AuthError):
    """There is nothing to log in with; nothing was refused, and nothing is out of reach."""


class HungLoginError(UnreachableError):
    """A login was not done in time, which may be the network's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a login gave, and the seconds that it lasts from now on."""

    credential: Credential
    life: float


@dataclass(slots=True)
class _CurrentLogin:
    credential: Credential
    renewed_from: float
    ends: float


class RenewingSource:
    """
    A source whose credential comes from a login, the same for every repository.

    Times are those of the local monotonic clock, from the moment when the login's answer came. A login that can't
    be renewed is used until it ends, and renewal is tried again every half minute. So is a login that is refused.
    """

    def __init__(
        self, log_in: Callable[[], Awaitable[Login]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log_in = log_in
        self._clock = clock
        self._current: _CurrentLogin | None = None
        self._failed: tuple[OcyncError, float] | None = None
        """Why there is no login, and until when it is not tried again."""
        self._flights = Flights[str, "Credential"]()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the login's credential; raises what the login raises."""
        del repository
        found = self._valid(refused)
        return found if found is not None else await self._flights.run("", lambda: self._renew(refused))

    def _valid(self, refused: Credential | None) -> Credential | None:
        current = self._current
        if current is None or current.credential is refused or self._clock() >= current.renewed_from:
            return None
        return current.credential

    async def _renew(self, refused: Credential | None) -> Credential:
        if (found := self._valid(refused)) is not None:
            return found
        if self._failed is not None and self._clock() < self._failed[1]:
            raise copy(self._failed[0]).with_traceback(None)
        try:
            login = await self._log_in()
        except OcyncError as error:
            current, now = self._current, self._clock()
            if current is None or current.credential is refused or now >= current.ends:
                # Without a pause every image would repeat the login, and a cloud counts refusals.
                pauses = not error.retryable or isinstance(error, HungLoginError)
                self._failed = (error, now + _PAUSE) if pauses else None
                raise
            current.renewed_from = min(now + _PAUSE, current.ends)
            log.warning("a login could not be renewed, and lasts %.0f s more: %s", current.ends - now, error)
            return current.credential
        now, life = self._clock(), max(login.life, _SHORTEST)
        self._failed = None
        self._current = _CurrentLogin(login.credential, now + life - min(_MARGIN, life / 4), now + life)
        return login.credential


def bounded(
    host: str, log_in: Callable[[], Awaitable[Login]], *, seconds: float = LOGIN_SECONDS
) -> Callable[[], Awaitable[Login]]:
    """Return a login that raises HungLoginError if it takes longer than so many seconds."""

    async def within() -> Login:
        try:
            async with asyncio.timeout(seconds):
                return await log_in()
        except TimeoutError:
            message = f"{host}: the cloud's login was not done within {seconds:g} s"
            hint = "check where its credentials come from, or set auth_type for this registry"
            raise HungLoginError(message, host=host, hint=hint) from None

    return within


def life_of(token: str, *, otherwise: float) -> float:
    """
    Return the seconds between a JSON web token's `iat` (else `nbf`) and `exp` (RFC 7519, section 4.1).

    They count from the moment when the token came, so that clocks need not agree. A token that has no such claims,
    or unreadable ones, lasts `otherwise` seconds. Nothing is verified, and no other claim is used.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return otherwise
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return otherwise
    if not isinstance(claims, dict):
        return otherwise
    life = _seconds(claims.get("exp")) - _seconds(claims.get("iat", claims.get("nbf")))
    return life if math.isfinite(life) and life > 0 else otherwise


def _seconds(value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if is_number else math.nan  # type: ignore[arg-type]
