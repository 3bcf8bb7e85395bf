"""
Hosts that give no answer at all, for long: what is asked of them fails at once, and one asks whether they are back.

Without this a pass would wait for a dead host once more with each request of each image: for a host that takes
connections and says nothing, five minutes each.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ocync.lib.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 15.0
"""Seconds without any answer after which a host is taken for dead."""
FAILURES = 3
"""Attempts that have to have failed by then, so that one slow request condemns no host."""
# A host that is back says so sooner than this; whoever asks meanwhile waits for it, and does not fail for bad luck.
_WAIT = 0.5


class CircuitBreaker:
    """A host that some attempts have failed at since it gave its last answer; made when the first one did."""

    def __init__(self, since: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`since` is when the first attempt that failed was begun, by the clock."""
        self._clock = clock
        self._since = clock() if since is None else since
        self._failures = 0
        self._why = ""
        self._over = False
        self._probe: asyncio.Future[None] | None = None
        self._probed_at = 0.0

    def __repr__(self) -> str:
        return f"<CircuitBreaker for {self._clock() - self._since:.0f} s, {self._failures} failures>"

    def is_long(self) -> bool:
        """Whether the host is taken for dead."""
        return not self._over and self._failures >= FAILURES and self._clock() - self._since >= PATIENCE

    def failed(self, why: str) -> None:
        """Count an attempt that got no answer."""
        self._failures += 1
        self._why = why

    def end(self) -> None:
        """Say that the host has answered."""
        self._over = True
        self.probed()

    async def wait(self, host: str) -> None:
        """Wait a moment for whoever asks the host now; raises UnreachableError where that brings no answer."""
        if not self.is_long() or self._probe is None:
            return
        left = self._probed_at + _WAIT - self._clock()
        if left > 0:
            await asyncio.wait([self._probe], timeout=left)
        if self.is_long():
            raise self.error(host)

    async def admit(self, host: str) -> bool:
        """
        Let a request pass, or raise UnreachableError; tell whether its outcome is waited for by others.

        Who gets true calls `probed` when the outcome is known, whatever it is.
        """
        await self.wait(host)
        if not self.is_long():
            return False
        self._probe = asyncio.get_running_loop().create_future()
        self._probed_at = self._clock()
        return True

    def error(self, host: str) -> UnreachableError:
        """Return the error of a request to a host that is taken for dead."""
        return UnreachableError(f"{host} gives no answer and is not waited for any more: {self._why}", host=host)

    def probed(self) -> None:
        """Let those go on who wait for the outcome."""
        probe, self._probe = self._probe, None
        if probe is not None and not probe.done():
            probe.set_result(None)
