"""One read for several uploads: by chance slow, broken, left behind, cut off; who gets to the end has all of it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from ocync.transfer.fanout import Branch, FanOut

from ocync.errors import NetworkError, OcyncError
from ocync.oci.digest import Digest, Verifier
from ocync.oci.manifest import Descriptor
from ocync.registry.waiting import RetryPolicy
from ocync.transfer import fanout
from ocync.transfer.reading import Breaks, Reading
from ocync.transfer.staging import Staging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocync.endpoint import Repository


class Source:
    """Gives a blob in pieces of any size, breaks now and then, and lies where it is told to."""

    place = "source.test"

    def __init__(self, data: bytes, chance: random.Random, *, breaks: float, lies: bool) -> None:
        self._data = bytes([data[0] ^ 1]) + data[1:] if lies else data
        self._chance = chance
        self._breaks = breaks
        self.open = 0

    @asynccontextmanager
    async def blob(self, descriptor: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        self.open += 1
        try:
            yield self._pieces(start)
        finally:
            self.open -= 1

    async def _pieces(self, start: int) -> AsyncIterator[bytes]:
        while start < len(self._data):
            await pause(self._chance, 3)
            if start and self._chance.random() < self._breaks:
                raise NetworkError("reset")
            size = self._chance.randint(1, 400)
            yield self._data[start : start + size]
            start += size


async def pause(chance: random.Random, most: int) -> None:
    for _ in range(chance.randint(0, most)):
        await asyncio.sleep(0)


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


async def consume(branch: Branch, chance: random.Random, *, slow: int, stop_at: int | None) -> bytes | None:
    """Take the pieces as an upload does; None where it ended before the blob did."""
    got = bytearray()
    try:
        async for piece in branch.pieces(lambda _count: None):
            got += piece
            await pause(chance, slow)
            if slow > 20:
                await asyncio.sleep(0.0005)
            if stop_at is not None and len(got) >= stop_at:
                return None
    except OcyncError:
        return None
    finally:
        branch.leave()
    return bytes(got)


@pytest.mark.parametrize("seed", range(150))
async def test_who_gets_to_the_end_has_every_byte_and_nobody_gets_all_of_a_lie(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(fanout, "_PATIENCE", chance.choice([0.0, 0.001, 0.01]))
    monkeypatch.setattr(fanout, "_PIECE", chance.choice([50, 1000]))
    data = chance.randbytes(chance.randint(1, 12_000))
    lies = chance.random() < 0.2
    source = Source(data, chance, breaks=chance.choice([0.0, 0.02]), lies=lies)
    blob = Descriptor(media_type="x", digest=Digest("sha256", hashlib.sha256(data).hexdigest()), size=len(data))
    policy = RetryPolicy(attempts=10, sleep=no_sleep)
    reading = Reading(blob, cast("Repository", source), policy=policy, breaks=Breaks(blob.size, 10))
    staging = Staging(tmp_path / "tmp", chance.choice([0, 2000, 5000, None]))
    count = chance.randint(1, 4)
    results: list[bytes | None] = []

    async with asyncio.timeout(20), FanOut(reading, Verifier(blob.digest, blob.size, what="x"), staging) as whole:
        branches = [whole.branch() for _ in range(count)]
        began = True
        try:
            await whole.begin()
        except OcyncError:
            began = False
        if began:
            tasks = [
                asyncio.create_task(
                    consume(
                        branch,
                        chance,
                        slow=chance.choice([0, 2, 30]),
                        stop_at=chance.choice([None, None, len(data) // 2, len(data) * 3 // 4]),
                    )
                )
                for branch in branches
            ]
            if chance.random() < 0.2:
                await asyncio.sleep(0.002)
                tasks[0].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for one in done:
                if isinstance(one, Exception):
                    raise one
            results = [one for one in done if isinstance(one, bytes)]

    assert all(result == data for result in results)
    assert not (lies and results)
    if began and whole.failure is None and not lies:
        assert all(one is None or one == data for one in done if not isinstance(one, asyncio.CancelledError))
    assert source.open == 0
    assert staging.used == 0
    assert not list(tmp_path.glob("tmp/*"))


async def test_who_has_no_room_on_disk_does_not_wait_for_those_who_had_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "_PATIENCE", 0.0)
    chance = random.Random(1)
    data = chance.randbytes(20_000)
    source = Source(data, chance, breaks=0, lies=False)
    blob = Descriptor(media_type="x", digest=Digest("sha256", hashlib.sha256(data).hexdigest()), size=len(data))
    policy = RetryPolicy(sleep=no_sleep)
    reading = Reading(blob, cast("Repository", source), policy=policy, breaks=Breaks(blob.size, 5))
    staging = Staging(tmp_path, blob.size)
    other = await staging.open(blob.size)
    assert other is not None

    async with asyncio.timeout(10), FanOut(reading, Verifier(blob.digest, blob.size, what="x"), staging) as whole:
        slow, middle, fast = (whole.branch() for _ in range(3))
        await whole.begin()
        await middle.next()
        for _ in range(3):
            await fast.next()
        assert slow.behind is not None
        assert middle.behind is None
        other.close()
        for _ in range(5):
            await fast.next()
        assert middle.behind is not None
        assert staging.used > 0
        fast.leave()
        middle.leave()

        assert await consume(slow, chance, slow=0, stop_at=None) == data
    assert source.open == 0
