"""How long the reads of one blob may be waited for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from ocync.lib.errors import NetworkError, NotFoundError, OcyncError, VerificationError
from ocync.lib.limiter import Slots
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.registry.retry import RetryPolicy
from ocync.transfer.resumable_read import Breaks, read_whole
from scheduling import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.repository import Repository

KIB = 1024
DATA = bytes(range(256)) * 16
BLOB = Descriptor(media_type="x", digest=Digest.of(DATA), size=len(DATA))


def until_given_up(pace: float, *, step: float) -> float | None:
    """Return after how many seconds of waiting a source of so many bytes a second is given up; None for never."""
    breaks, waited = Breaks(1 << 40, 5), 0.0
    while waited < 2000:
        seconds = min(step, breaks.left)
        waited += seconds
        breaks.waited(seconds, int(pace * seconds))
        if breaks.left <= 0:
            return waited
    return None


@pytest.mark.parametrize("step", [0.1, 1.0, 7.0, 59.0])
@pytest.mark.parametrize("pace", [0, 1, KIB, 12 * KIB, 15 * KIB])
def test_who_gives_next_to_nothing_is_given_up_after_75_seconds(pace: float, step: float) -> None:
    assert until_given_up(pace, step=step) == pytest.approx(75)


@pytest.mark.parametrize("step", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("pace", [18 * KIB, 1000 * KIB, KIB**3])
def test_an_honest_pace_is_never_given_up(pace: float, step: float) -> None:
    assert until_given_up(pace, step=step) is None


def test_what_came_before_buys_no_more_than_that_time() -> None:
    breaks = Breaks(1 << 40, 5)
    breaks.waited(10.0, 1 << 40)
    breaks.waited(74.0, 0)
    assert breaks.left > 0
    breaks.waited(1.0, 0)
    assert breaks.left <= 0


class Source:
    """Gives a blob in pieces, each after so many seconds; `breaks` says where reads end early."""

    host = name = "s.example"

    def __init__(
        self, *, piece: int = 512, pause: float = 0.0, breaks: tuple[int, ...] = (), data: bytes = DATA
    ) -> None:
        self.blob_slots = Slots("s.example", 1)
        self.starts: list[int] = []
        self._piece, self._pause, self._breaks, self._data = piece, pause, list(breaks), data

    @asynccontextmanager
    async def blob(self, _blob: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        assert self.blob_slots.statistics.held == 1
        self.starts.append(start)
        yield self._pieces(start, self._breaks.pop(0) if self._breaks else len(self._data))

    async def _pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        for at in range(start, end, self._piece):
            await asyncio.sleep(self._pause)
            yield self._data[at : min(at + self._piece, end)]
        if end < len(self._data):
            raise NetworkError("reset")


def read(
    source: Source, *, keep: bool = True, hint: str = "", attempts: int = 4
) -> tuple[bytes | OcyncError, float]:
    """Return what comes of reading the blob, and after how many seconds of a clock that nobody waits for."""

    async def reading() -> tuple[bytes | OcyncError, float]:
        loop = asyncio.get_running_loop()
        policy = RetryPolicy(attempts=attempts, clock=loop.time)
        try:
            result: bytes | OcyncError = await read_whole(
                BLOB, cast("Repository", source), policy=policy, keep=keep, hint_if_wrong=hint
            )
        except OcyncError as error:
            result = error
        assert source.blob_slots.statistics.held == 0
        return result, loop.time()

    return run(reading())


def test_a_blob_is_read_whole_and_on_from_where_it_broke() -> None:
    source = Source(breaks=(0, 1024, 3072))

    assert read(source)[0] == DATA
    assert source.starts == [0, 0, 1024, 3072]


def test_what_is_only_looked_at_is_not_kept() -> None:
    assert read(Source(), keep=False)[0] == b""


def test_a_blob_that_drips_is_given_up_after_75_seconds() -> None:
    result, seconds = read(Source(piece=1, pause=50.0))

    assert isinstance(result, NetworkError)
    assert "gives less than 16 KiB a second" in str(result)
    assert seconds == pytest.approx(75, abs=1)


def test_a_read_that_was_tried_as_often_as_it_may_be_is_not_made_again() -> None:
    source = Source(breaks=(512,) * 100)

    assert isinstance(read(source)[0], NetworkError)
    assert source.starts == [0, 512, 512, 512]


@pytest.mark.parametrize(("hint", "reads"), [("", 4), ("delete it there", 1)])
def test_content_that_is_wrong_is_read_again_unless_it_is_final(hint: str, reads: int) -> None:
    source = Source(data=DATA[::-1])

    result, _ = read(source, hint=hint)

    assert isinstance(result, VerificationError)
    assert (result.retryable, result.hint or "") == (not hint, hint)
    assert len(source.starts) == reads


def test_a_blob_that_is_gone_is_asked_for_once() -> None:
    class Gone(Source):
        @asynccontextmanager
        async def blob(self, _blob: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
            self.starts.append(start)
            raise NotFoundError("gone")
            yield self._pieces(0, 0)

    source = Gone()

    assert isinstance(read(source)[0], NotFoundError)
    assert source.starts == [0]
