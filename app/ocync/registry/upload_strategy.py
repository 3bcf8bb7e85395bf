"""
How one host takes blobs, as it has shown in this pass. Holds no I/O.

A blob is sent by one POST where the host takes that, else by POST and PUT (distribution-spec 1.1, "Pushing blobs").
Which of the two a host does is in no document: distribution answers 202 to a POST with bytes and forgets them, zot
and others answer 201. So a small blob tries it, one at a time, and what comes after waits a moment for the answer.
Blobs go in parts where a host has refused the whole as too large, or has broken off large ones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from ocync.oci.providers import MountPolicy, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

SMALL = 64 * 1024
"""Bytes of a blob that can be sent twice: it is kept in memory."""
PATIENCE = 3.0
"""Seconds that others wait at most for the blob that tries, from when it was chosen."""
PART = 4 * 1024 * 1024
"""Bytes of a part, where the host's own bounds allow that."""
SMALLEST_PART = 64 * 1024
"""Bytes: a host that takes no more at once is not worth the requests."""
LARGEST_LEAST = 32 * 1024 * 1024
"""Bytes: a host that wants larger parts than this gets none, since parts are kept in memory."""
BUFFERS = 4
"""Parts that are kept in memory at once for one host; those of other uploads can't be sent again."""
# Parts of one blob: ECR allows 4200 (AmazonECR, service quotas). Larger ones are sent where there would be more.
_MOST_PARTS = 4000
# Bytes after which an upload that breaks may have met a limit of size, and not just a bad moment.
_FAR = 1024 * 1024
# Tries that ended with neither yes nor no, as 503 or a reset, before it is a no.
_UNDECIDED = 3
# Streams by one POST that failed in a row, before larger blobs go by POST and PUT: some proxies take no large ones.
_FAILED_STREAMS = 3
# PUTs with all bytes, one after the other, that a host has answered as if there were no session.
_REFUSED_PUTS = 2
# Parts that were refused in a row, before the host is taken for one that takes none.
_REFUSED_PARTS = 2


# Seconds that a host is believed to take no blob by one POST: it may have been brought up to date since. That it
# does take them it shows each time.
_BELIEVED = 7 * 86_400.0


def text_of_form(single_post: bool, now: float) -> str:
    """Return what a host has shown, at a time in seconds since 1970, as a text that can be kept."""
    return f"{'yes' if single_post else 'no'} {int(now)}"


def form_in(text: str | None, now: float) -> bool | None:
    """Read what `text_of_form` made; None for nonsense, and for a no that is too old."""
    word, _, since = (text or "").partition(" ")
    if not since.isascii() or not since.isdigit() or word not in ("yes", "no"):
        return None
    return True if word == "yes" else (False if 0 <= now - int(since[:12]) <= _BELIEVED else None)


class Form(Enum):
    """How a blob is sent."""

    SINGLE = "one POST with the bytes"
    TRIAL = "one POST with the bytes, and if that is not taken a PUT with them"
    SESSION = "a POST that opens a session, then one PUT, or parts"


class UploadStrategy:
    """What is known of one host; used from one event loop."""

    def __init__(
        self, settings: Settings | None = None, *, host: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._settings = settings or Settings()
        self._clock = clock
        self._single = self._settings.single_post
        self._trial: asyncio.Future[None] | None = None
        self._trial_began = 0.0
        self._undecided = 0
        self._failed_streams = 0
        self._part: int | None = None
        self._takes_parts = self._settings.chunks
        self._refused_parts = 0
        self._refused_puts = 0
        self._by_put: bool | None = None
        """Whether a PUT takes all bytes; if not, they go by a PATCH before it. None while that is not known."""
        self._has_part_limit = False
        self._breaks = 0
        self._broke_at = 0
        self._buffers = 0

    def __repr__(self) -> str:
        return f"<UploadStrategy: single POST {self._single}, parts of {self._part}>"

    @property
    def mounts_after_commit(self) -> bool:
        """Whether a blob is known to be mounted only from where a manifest lists it."""
        return self._settings.mounts is MountPolicy.AFTER_COMMIT

    @property
    def single_post(self) -> bool | None:
        """Whether one POST with the bytes is taken; None where nobody knows yet."""
        return self._single

    def begin_at(self, single_post: bool | None) -> None:
        """Take for known what an earlier pass has seen; a host that does otherwise now shows it as before."""
        if self._single is None:
            self._single = single_post

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
        if self.part(size) is not None:
            return Form.SESSION
        if self._single is not None:
            streams = self._failed_streams < _FAILED_STREAMS
            return Form.SINGLE if self._single and (size <= SMALL or streams) else Form.SESSION
        if self._trial is not None:
            return None if self._clock() < self._trial_began + PATIENCE else Form.SESSION
        if size > SMALL:
            return Form.SESSION
        trial = self._trial = asyncio.get_running_loop().create_future()
        self._trial_began = self._clock()
        task = asyncio.current_task()
        assert task is not None
        # A task that is cancelled abandons nothing, and others must not wait for it.
        task.add_done_callback(lambda _task: self.trial_ended() if self._trial is trial else None)
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

    def part(self, size: int, *, least: int = 0) -> int | None:
        """
        Return the bytes of a part of a blob of so many; None where it goes in one request.

        `least` is what the host has said that parts have to have (OCI-Chunk-Min-Length).
        """
        if self._part is None or not self._takes_parts:
            return None
        least = max(least, self._settings.chunk_least)
        part = max(self._part, least)
        if not self._has_part_limit:
            part = max(part, min(-(-size // _MOST_PARTS), self._settings.chunk_most))
        return part if part < size and least <= LARGEST_LEAST else None

    def too_large(self, size: int) -> bool:
        """Record that a request with so many bytes was too large for the host; tell whether parts may help."""
        if self._part is None or self._part >= size:
            self._go_in_parts(size // 2, f"it refuses a request of {size} bytes")
        return self.part(size) is not None

    @property
    def goes_by_patch(self) -> bool:
        """Whether the bytes of a blob go by a PATCH, and the PUT has none."""
        return self._by_put is False

    def put_refused(self) -> None:
        """
        Record that a PUT with all bytes was answered as if there were no session.

        A host that has taken a blob so means that the session is lost.
        """
        if self._by_put is not None or not self._settings.chunks:
            return
        self._refused_puts += 1
        if self._refused_puts >= _REFUSED_PUTS:
            self._by_put = False
            log.info("%s gets blobs by PATCH from now on: it takes no PUT with all bytes", self._host)

    def put_taken(self) -> None:
        """Record that a PUT with bytes was taken."""
        self._by_put, self._refused_puts = True, 0

    def patch_refused(self) -> None:
        """Record that a PATCH with all bytes was not taken: the PUT is all there is."""
        self._by_put = True

    def whole_begins(self) -> int:
        """Return what `whole_broke` is to be told of an upload in one request that begins now."""
        return self._breaks

    def whole_broke(self, began: int, sent: int) -> None:
        """
        Record that an upload in one request broke at the host after so many bytes.

        Of those that were under way together one counts: a host that restarts breaks all of them.
        """
        if sent < _FAR or began < self._breaks:
            return
        self._breaks += 1
        self._broke_at = max(self._broke_at, sent)
        if self._breaks >= self._settings.breaks_before_chunks and self._part is None:
            self._go_in_parts(sent, f"it has broken {self._breaks} large uploads off")

    def whole_arrived(self, size: int) -> None:
        """Record that so many bytes were taken in one request."""
        if size >= self._broke_at:
            self._breaks = 0

    def part_too_large(self, size: int) -> int | None:
        """Record that a part of so many bytes was too large, and return a smaller size, if there is one."""
        self._has_part_limit = True
        smaller = size // 2
        if smaller < max(SMALLEST_PART, self._settings.chunk_least):
            self._takes_parts = False
            return None
        self._part = min(smaller, self._part or smaller)
        return smaller

    def part_refused(self) -> None:
        """Record that a part was not taken for another reason than its size."""
        self._refused_parts += 1
        if self._refused_parts >= _REFUSED_PARTS and self._takes_parts:
            log.info("%s takes no uploads in parts", self._host)
            self._takes_parts = False

    def part_arrived(self) -> None:
        """Record that a part was taken."""
        self._refused_parts = 0

    @contextmanager
    def buffer(self) -> Iterator[bool]:
        """Return whether a part may be kept in memory while this lasts."""
        is_free = self._buffers < BUFFERS
        self._buffers += is_free
        try:
            yield is_free
        finally:
            self._buffers -= is_free

    def _go_in_parts(self, most: int, why: str) -> None:
        part = min(PART, most - most % SMALLEST_PART)
        part = max(self._settings.chunk_least, min(self._settings.chunk_most, part))
        if self._takes_parts and part >= SMALLEST_PART:
            self._part = part
            log.info("%s gets large blobs in parts of %d bytes from now on: %s", self._host, part, why)
