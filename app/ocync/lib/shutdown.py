"""Ending a pass early: signals and the deadline."""

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
    A request to end, made once: first to begin nothing new (`reason` is set), then, if made again, to stop at once.

    `grace` is how many seconds work in flight may go on after the first request.
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
        """Return whether nothing new is to be begun."""
        return self.reason is not None

    def request(self, reason: str) -> None:
        """Ask to end; a second request is one to stop at once."""
        if self.reason is None:
            self.reason = reason
            self._tell(self.grace)
        elif self._expired:
            # Time was up before: the grace runs already, and this is the first who asks.
            self._expired = False
        elif not self.forced:
            self.forced = True
            self._tell(0.0)

    def expire(self, reason: str) -> None:
        """Ask to end because time is up; never forces, nor does the request that comes next."""
        if self.reason is None:
            self.request(reason)
            self._expired = True

    @contextmanager
    def listening(self, listener: Callable[[float], None]) -> Iterator[None]:
        """Have `listener` called with the seconds that are left, at each request; at once for an earlier one."""
        self._listeners.append(listener)
        if self.reason is not None:
            listener(0.0 if self.forced else self.grace)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def for_one_pass(self) -> Iterator[Stop]:
        """Yield a stop for one of many passes: requests of this one reach it, and its deadline ends it alone."""
        own = Stop(grace=self.grace)

        def requested(_seconds: float) -> None:
            own.request(self.reason or "")
            if self.forced:
                own.request(self.reason or "")

        with self.listening(requested):
            yield own

    def _tell(self, seconds: float) -> None:
        for listener in tuple(self._listeners):
            listener(seconds)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """
    Let SIGTERM and SIGINT request the stop while the context lasts.

    As PID 1 a process has no default actions for signals, so these handlers are what makes a container end.
    """
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.request, f"signal {number.name}")
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
