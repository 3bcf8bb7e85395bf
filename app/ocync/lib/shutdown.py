"""How a pass is ended early: by signals and by the deadline."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """
    Holds the request to end a pass.

    After the first request nothing new begins (`reason` is set), and work in flight has `grace` seconds to end.
    A second request stops everything at once (`forced`).
    """

    def __init__(self, *, grace: float) -> None:
        self.grace = grace
        self.reason: str | None = None
        self.forced = False
        self._expired = False
        self._listeners: list[Callable[[float], None]] = []

    def __repr__(self) -> str:
        return f"<Stop {self.reason or 'not requested'}{', forced' if self.forced else ''}>"

    def requested(self) -> bool:
        """Return whether nothing new may begin."""
        return self.reason is not None

    def request(self, reason: str) -> None:
        """Request the end; the second request forces it."""
        if self.reason is None:
            self.reason = reason
            self._notify(self.grace)
        elif self._expired:
            # The deadline came first: the grace period runs already, and this is the first signal.
            self._expired = False
        elif not self.forced:
            self.forced = True
            self._notify(0.0)

    def expire(self, reason: str) -> None:
        """Request the end because of the deadline; neither this nor the next request forces it."""
        if self.reason is None:
            self.request(reason)
            self._expired = True

    @contextmanager
    def listening(self, listener: Callable[[float], None]) -> Iterator[None]:
        """Call `listener` with the seconds that are left, at each request; at once if there was one before."""
        self._listeners.append(listener)
        if self.reason is not None:
            listener(0.0 if self.forced else self.grace)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def for_one_pass(self) -> Iterator[Stop]:
        """Yield a stop for one of many passes: requests are handed down to it, and its deadline ends it alone."""
        own = Stop(grace=self.grace)

        def requested(_seconds: float) -> None:
            own.request(self.reason or "")
            if self.forced:
                own.request(self.reason or "")

        with self.listening(requested):
            yield own

    def _notify(self, seconds: float) -> None:
        for listener in tuple(self._listeners):
            listener(seconds)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """
    Let SIGTERM and SIGINT request the stop while the context lasts.

    A process with PID 1 has no default signal actions: without these handlers a container would not end.
    """
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.request, f"signal {number.name}")
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
