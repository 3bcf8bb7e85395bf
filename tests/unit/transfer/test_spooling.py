"""Branches that are left behind while pieces are on their way to the disk get each byte once, in its place."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest
from ocync.transfer.fanout import FanOut

from memory import Place
from ocync.oci.digest import Digest, Verifier
from ocync.oci.manifest import Descriptor
from ocync.registry.waiting import RetryPolicy
from ocync.transfer import fanout
from ocync.transfer.reading import Breaks, Reading
from ocync.transfer.staging import Spool, Staging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocync.transfer.fanout import Branch

    from memory import MemoryRepository

PIECES = [bytes([number]) * 1000 for number in range(40)]
DATA = b"".join(PIECES)
BLOB = Descriptor(media_type="x", digest=Digest.of(DATA), size=len(DATA))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "_PATIENCE", 0.02)


def source() -> MemoryRepository:
    """A place that gives the blob in many pieces."""
    place = Place("source")
    repository = place.repository("app")
    place.blobs["app"][BLOB.digest] = DATA

    async def pieces(_descriptor: Descriptor, data: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    repository._pieces = pieces  # type: ignore[method-assign]
    return repository


def reading() -> Reading:
    return Reading(BLOB, source(), policy=RetryPolicy(attempts=2), breaks=Breaks(BLOB.size, 2))


async def take_all(branch: Branch, *, wait: float = 0.0) -> bytes:
    taken = b""
    while piece := await branch.next():
        taken += piece
        if wait:
            await asyncio.sleep(wait)
    branch.leave()
    return taken


def verifier() -> Verifier:
    return Verifier(BLOB.digest, BLOB.size, what="the blob", host="source")


async def test_a_branch_that_catches_up_while_a_piece_is_being_written_goes_on_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def slowly(fd: int, data: memoryview, at: int) -> int:
        time.sleep(0.01)
        return write(fd, data, at)

    monkeypatch.setattr(os, "pwrite", slowly)
    async with asyncio.timeout(20), FanOut(reading(), verifier(), Staging(tmp_path, None)) as whole:
        fast, slow = whole.branch(), whole.branch()
        await whole.begin()

        async def late() -> bytes:
            await asyncio.sleep(0.1)
            return await take_all(slow)

        taken = await asyncio.gather(take_all(fast), late())

    assert taken == [DATA, DATA]


class SlowlyOpened(Staging):
    """A disk on which it takes long to make a file; `opening` is set when that begins, and it ends with `go_on`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, None)
        self.opening, self.go_on = asyncio.Event(), asyncio.Event()

    async def open(self, size: int) -> Spool | None:
        self.opening.set()
        await self.go_on.wait()
        return await super().open(size)


async def test_a_branch_that_takes_a_piece_while_the_file_is_made_shifts_nothing_for_the_others(
    tmp_path: Path,
) -> None:
    staging = SlowlyOpened(tmp_path)
    async with asyncio.timeout(20), FanOut(reading(), verifier(), staging) as whole:
        fast, slow = whole.branch(), whole.branch()
        await whole.begin()
        first = asyncio.create_task(take_all(fast))
        await staging.opening.wait()
        begun = await slow.next()
        staging.go_on.set()
        await asyncio.sleep(0.2)
        taken = await asyncio.gather(first, take_all(slow))

    assert taken[0] == DATA
    assert begun + taken[1] == DATA
