"""
How one host takes blobs, as it has shown in this pass. Holds no I/O.

A blob is sent by one POST where the host takes that, else by POST and PUT (distribution-spec 1.1, "Pushing blobs").
Which of the two a host does is in no document: distribution answers 202 to a POST with bytes and forgets them, zot
and others answer 201. So a small blob tries it, one at a time, and what comes after waits a moment for the answer.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = 64 * 1024
"""Bytes of a blob that can be sent twice: it is kept in memory."""
PATIENCE = 3.0
"""Seconds that others wait at most for the blob that tries, from when it was chosen."""
# Tries that ended with neither yes nor no, as 503 or a reset, before it is a no.
_UNDECIDED = 3
# Streams by one POST that failed in a row, before larger blobs go by POST and PUT: some proxies take no large ones.
_FAILED_STREAMS = 3


class Form(Enum):
    """How a blob is sent."""

    SINGLE = "one POST with the bytes"
    TRIAL = "one POST with the bytes, and if that is not taken a PUT with them"
    SESSION = "a POST that opens a session, then one PUT"


class Habits:
    """What is known of one host; used from one event loop."""

    def __init__(self, *, single_post: bool | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._single = single_post
        self._trial: asyncio.Future[None] | None = None
        self._trial_began = 0.0
        self._undecided = 0
        self._failed_streams = 0

    def __repr__(self) -> str:
        return f"<Habits: single POST {self._single}>"

    @property
    def single_post(self) -> bool | None:
        """Whether one POST with the bytes is taken; None where nobody knows yet."""
        return self._single

    async def form(self, size: int) -> Form:
        """
        Decide how a blob of so many bytes is sent; who gets TRIAL calls `trial_ended`, whatever happens.

        Waits for a trial that is under way, for PATIENCE seconds at most. What needs no waiting is decided at once:
        callers that ask several hosts in the same order never wait for each other in a circle.
        """
        while (form := self._choose(size)) is None:
            assert self._trial is not None
            await asyncio.wait([self._trial], timeout=self._trial_began + PATIENCE - self._clock())
        return form

    def _choose(self, size: int) -> Form | None:
        if self._single is not None:
            streams = self._failed_streams < _FAILED_STREAMS
            return Form.SINGLE if self._single and (size <= SMALL or streams) else Form.SESSION
        if self._trial is not None:
            return None if self._clock() < self._trial_began + PATIENCE else Form.SESSION
        if size > SMALL:
            return Form.SESSION
        self._trial = asyncio.get_running_loop().create_future()
        self._trial_began = self._clock()
        return Form.TRIAL

    def trial_ended(self, *, failed: bool = False) -> None:
        """Let go on who waits; `failed` says that the host has said neither yes nor no. Harmless when repeated."""
        trial, self._trial = self._trial, None
        if trial is not None and not trial.done():
            trial.set_result(None)
        if failed and self._single is None:
            self._undecided += 1
            if self._undecided >= _UNDECIDED:
                self._single = False

    def takes_single_post(self, size: int) -> None:
        """Record that a blob of so many bytes was stored by one POST."""
        self._single = True
        if size > SMALL:
            self._failed_streams = 0

    def refuses_single_post(self) -> None:
        """Record that one POST with the bytes is not taken."""
        self._single = False

    def stream_failed(self) -> None:
        """Record that a large blob did not get through by one POST, for whatever reason."""
        self._failed_streams += 1
