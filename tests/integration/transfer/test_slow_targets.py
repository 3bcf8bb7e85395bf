"""A target that is slow, or stands still, holds up no faster one for long: disk, then a second read."""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.transfer import shared_read
from ocync.transfer.staging import Staging
from relays import GET, UPLOADS, Course, course
from scripted import GeneratedBlob, faults

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skips_waits

MIB = 1024 * 1024
CONTENT = GeneratedBlob(24 * MIB + 12_345, 17)
BLOB = Descriptor(media_type="x", digest=Digest.parse(CONTENT.digest()), size=CONTENT.size)
SLOW = 14 * MIB
"""Bytes per second: nearly two seconds for the blob, where the fast ones need a fraction of one."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_read, "_PATIENCE", 0.15)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Arrivals:
    """When each target had the blob, in seconds from the start."""

    def __init__(self, at: Course) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.seconds: list[float] = []
        at.arrived = _Noted(lambda: self.seconds.append(loop.time() - started))


class _Noted(list):  # type: ignore[type-arg]
    def __init__(self, note) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self._note = note

    def append(self, item: object) -> None:
        self._note()
        super().append(item)


def read_bytes(at: Course) -> int:
    return sum(request.sent for request in at.source.requests.matching("GET", GET))


def holds(at: Course) -> list[bool]:
    return [str(BLOB.digest) in target.repository("team/app").blobs for target in at.targets]


async def test_a_slow_target_takes_from_disk_what_the_fast_one_has_had_and_the_source_is_read_once(
    tmp_path: Path,
) -> None:
    staging = Staging(tmp_path / "tmp", 1 << 30)
    before = open_files()
    async with course(targets=3, idle=10) as at:
        at.put(CONTENT, BLOB)
        at.targets[1].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
        arrivals = Arrivals(at)
        deliveries = await at.run(BLOB, within=30, staging=staging)

        assert all(delivery.done for delivery in deliveries)
        assert holds(at) == [True] * 3
        assert at.reads == 1
        assert read_bytes(at) == BLOB.size
        assert all(target.count("PUT", UPLOADS) == 1 for target in at.targets)
        fast, faster, slow = arrivals.seconds
        assert max(fast, faster) < slow - 0.4
    assert staging.used == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert open_files() <= before


@pytest.mark.parametrize("rate", [SLOW, 1e6], ids=["slow", "slower"])
async def test_without_room_on_disk_the_source_is_read_once_more_from_where_the_slow_one_was(
    tmp_path: Path, rate: float
) -> None:
    staging = Staging(tmp_path, 0)
    async with course(targets=2, idle=10) as at:
        at.put(CONTENT, BLOB)
        at.targets[0].on("PUT", UPLOADS, times=1, respond=faults.drip_upload(rate, after=CONTENT.size - 4 * MIB))
        at.targets[0].on("PUT", UPLOADS, times=1, respond=faults.stall_upload(1.0, after=2 * MIB))
        arrivals = Arrivals(at)
        deliveries = await at.run(BLOB, within=30, staging=staging)

        assert all(delivery.done for delivery in deliveries)
        assert holds(at) == [True, True]
        assert at.reads == 2
        first, second = at.source.requests.matching("GET", GET)
        assert first.sent == BLOB.size
        assert second.headers["range"].startswith("bytes=")
        start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
        assert 2 * MIB < start < 16 * MIB
        assert second.sent == BLOB.size - start
        assert all(target.count("PUT", UPLOADS) == 1 for target in at.targets)
        assert arrivals.seconds[0] < 1.5
    assert list(tmp_path.iterdir()) == []


async def test_a_fast_target_has_its_slot_back_while_a_slow_one_goes_on(tmp_path: Path) -> None:
    async with course(targets=2, idle=10) as at:
        at.put(CONTENT, BLOB)
        at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
        running = asyncio.create_task(at.run(BLOB, within=30, staging=Staging(tmp_path, None)))
        while not at.arrived:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        slow, fast = (at.side.repository(target.url).slots.statistics.held for target in at.targets)
        await running

        assert (slow, fast) == (1, 0)


async def test_targets_that_keep_up_need_no_disk(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "tmp", 1 << 30)
    async with course(targets=3, idle=10) as at:
        at.put(CONTENT, BLOB)
        deliveries = await at.run(BLOB, within=30, staging=staging)

        assert all(delivery.done for delivery in deliveries)
        assert at.reads == 1
    assert not (tmp_path / "tmp").exists()


async def test_a_target_that_stands_still_for_good_fails_alone_and_in_time(tmp_path: Path) -> None:
    async with course(targets=2, idle=0.8, attempts=1) as at:
        at.put(CONTENT, BLOB)
        at.targets[0].on("PUT", UPLOADS, respond=faults.stall_upload(30, after=MIB))
        arrivals = Arrivals(at)
        deliveries = await at.run(BLOB, within=20, staging=Staging(tmp_path, 1 << 30))

        assert [delivery.done for delivery in deliveries] == [False, True]
        assert at.targets[0].host in str(deliveries[0].error)
        assert len(arrivals.seconds) == 1
        assert arrivals.seconds[0] < 1.5
    assert list(tmp_path.iterdir()) == []


async def test_a_slow_target_that_fails_is_tried_again_alone(tmp_path: Path) -> None:
    async with course(targets=2, idle=10) as at:
        at.put(CONTENT, BLOB)
        broken = faults.chain(faults.drip_upload(SLOW), faults.reset_upload(after=12 * MIB))
        at.targets[0].on("PUT", UPLOADS, times=1, respond=broken)
        deliveries = await at.run(BLOB, within=30, staging=Staging(tmp_path, 1 << 30))

        assert all(delivery.done for delivery in deliveries)
        assert [target.count("PUT", UPLOADS) for target in at.targets] == [2, 1]
        assert at.reads == 2


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["disk", "no disk"])
async def test_the_slow_one_goes_on_where_the_fast_one_fails(tmp_path: Path, limit: int) -> None:
    async with course(targets=2, idle=10, attempts=1) as at:
        at.put(CONTENT, BLOB)
        at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
        at.targets[1].on("PUT", UPLOADS, respond=faults.reset_upload(after=16 * MIB))
        deliveries = await at.run(BLOB, within=30, staging=Staging(tmp_path, limit))

        assert [delivery.done for delivery in deliveries] == [True, False]
        assert holds(at) == [True, False]
        assert at.reads == (1 if limit else 2)


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["disk", "no disk"])
async def test_bytes_that_lie_are_committed_nowhere_however_slow(tmp_path: Path, limit: int) -> None:
    async with course(targets=2, idle=10, attempts=1) as at:
        # Of the right length, and the same wrong bytes in each read.
        at.put(GeneratedBlob(CONTENT.size, 18), BLOB)
        at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
        deliveries = await at.run(BLOB, within=30, staging=Staging(tmp_path, limit))

        assert [delivery.done for delivery in deliveries] == [False, False]
        assert holds(at) == [False, False]
        assert all(put.received < BLOB.size for t in at.targets for put in t.requests.matching("PUT"))


async def test_a_second_read_that_lies_is_found_out(tmp_path: Path) -> None:
    async with course(targets=2, idle=10, attempts=2) as at:
        at.put(CONTENT, BLOB)
        at.source.on("GET", GET, respond=faults.in_turn([None, faults.flip_bit(at=MIB)]))
        at.targets[0].on("PUT", UPLOADS, times=1, respond=faults.drip_upload(SLOW))
        deliveries = await at.run(BLOB, within=30, staging=Staging(tmp_path, 0))

        assert all(delivery.done for delivery in deliveries)
        assert at.reads == 3
        assert [target.count("PUT", UPLOADS, status=201) for target in at.targets] == [1, 1]


async def test_a_second_read_that_breaks_goes_on_too(tmp_path: Path) -> None:
    async with course(targets=2, idle=10) as at:
        at.put(CONTENT, BLOB)
        at.source.on("GET", GET, respond=faults.in_turn([None, faults.cut(after=2 * MIB)]))
        at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
        deliveries = await at.run(BLOB, within=30, staging=Staging(tmp_path, 0))

        assert all(delivery.done for delivery in deliveries)
        assert holds(at) == [True, True]
        assert read_bytes(at) <= 2 * BLOB.size
        assert all(target.count("PUT", UPLOADS) == 1 for target in at.targets)


async def test_several_slow_targets_share_one_file_or_take_turns_at_the_source(tmp_path: Path) -> None:
    for limit, reads in ((BLOB.size, 1), (0, 3)):
        async with course(targets=3, idle=10) as at:
            at.put(CONTENT, BLOB)
            at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(1.3 * SLOW))
            at.targets[2].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
            deliveries = await at.run(BLOB, within=40, staging=Staging(tmp_path, limit))

            assert all(delivery.done for delivery in deliveries)
            assert holds(at) == [True] * 3
            assert at.reads == reads


async def test_the_limit_holds_for_all_blobs_together(tmp_path: Path) -> None:
    contents = [GeneratedBlob(24 * MIB, 30 + number) for number in range(3)]
    blobs = [Descriptor(media_type="x", digest=Digest.parse(c.digest()), size=c.size) for c in contents]
    staging = Staging(tmp_path, 20 * MIB)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, staging.used)
            await asyncio.sleep(0.01)

    async with course(targets=2, idle=20) as at:
        at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW / 2))
        for content, blob in zip(contents, blobs, strict=True):
            at.put(content, blob)
        watching = asyncio.create_task(watch())
        courses = [Course(at.side, at.source, at.targets) for _ in blobs]
        await asyncio.gather(
            *(c.run(blob, within=50, staging=staging, alone=False) for c, blob in zip(courses, blobs, strict=True))
        )
        watching.cancel()

        assert [delivery.error for c in courses for delivery in c.deliveries] == [None] * 6
        assert 0 < most <= 20 * MIB
        # Not all three had room on disk; what had none was read a second time, from where its slow target was.
        assert 4 <= at.reads <= 5
    assert staging.used == 0


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond: as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_fills_up_costs_a_second_read_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    staging = Staging(tmp_path, None)
    for _ in range(2):
        async with course(targets=2, idle=10) as at:
            at.put(CONTENT, BLOB)
            at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
            with files_of_at_most(3 * MIB):
                deliveries = await at.run(BLOB, within=30, staging=staging)

            assert all(delivery.done for delivery in deliveries)
            assert holds(at) == [True, True]
            assert at.reads == 2
            start = int(at.source.requests.matching("GET", GET)[1].headers["range"][6:-1])
            # What the disk took was not read again.
            assert read_bytes(at) == 2 * BLOB.size - start
            assert start > 2 * MIB
    told = [record.getMessage() for record in caplog.records if "stage" in record.getMessage()]
    assert told == [
        f"can't stage blobs for slow targets in {tmp_path}: the disk is full; "
        "what they lack is read from the source once more"
    ]
    assert staging.used == 0


async def test_a_cache_folder_that_can_t_be_written_costs_a_second_read_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    file = tmp_path / "a-file"
    file.write_text("no folder")
    staging = Staging(file / "tmp", 1 << 30)
    for _ in range(2):
        async with course(targets=2, idle=10) as at:
            at.put(CONTENT, BLOB)
            at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(SLOW))
            deliveries = await at.run(BLOB, within=30, staging=staging)

            assert all(delivery.done for delivery in deliveries)
            assert at.reads == 2
    assert len([record for record in caplog.records if "can't stage blobs" in record.getMessage()]) == 1
    assert staging.used == 0


async def test_a_relay_that_is_cancelled_leaves_nothing_on_disk(tmp_path: Path) -> None:
    staging = Staging(tmp_path, None)
    before = open_files()
    async with course(targets=2, idle=10) as at:
        at.put(CONTENT, BLOB)
        at.targets[0].on("PUT", UPLOADS, respond=faults.drip_upload(1e6))
        running = asyncio.create_task(at.run(BLOB, within=30, staging=staging))
        while not at.arrived:
            await asyncio.sleep(0.01)
        assert staging.used > 0
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert staging.used == 0
    assert list(tmp_path.iterdir()) == []
    assert open_files() <= before
