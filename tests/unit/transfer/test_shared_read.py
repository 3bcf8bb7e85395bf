"""One read for several uploads: slow, broken, late, left behind, cut off; who gets to the end has all of it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import settings

from ocync.lib.errors import NetworkError, OcyncError, VerificationError
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.registry.retry import RetryPolicy
from ocync.transfer import shared_read, staged_blob
from ocync.transfer.resumable_read import Breaks, Reading
from ocync.transfer.shared_read import Patience, SharedRead
from ocync.transfer.staging import Spool, Staging
from scheduling import StuckError, run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path

    from ocync.oci.repository import Repository
    from ocync.transfer.shared_read import Branch

SEEDS = 4 * settings().max_examples


class Source:
    """Gives a blob in pieces, breaks now and then, and lies where it is told to."""

    host = "source.test"

    def __init__(
        self, data: bytes, *, chance: random.Random | None = None, breaks: float = 0.0, lies: bool = False
    ) -> None:
        self.data = bytes([data[0] ^ 1]) + data[1:] if lies else data
        self.chance = chance or random.Random(0)
        self.piece = lambda: 1000
        self.pauses = (0.0,)
        self.breaks = breaks
        self.open = self.reads = self.given = 0

    @asynccontextmanager
    async def blob(self, descriptor: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        self.open += 1
        self.reads += 1
        try:
            async with aclosing(self._pieces(start)) as pieces:
                yield pieces
        finally:
            self.open -= 1

    async def _pieces(self, start: int) -> AsyncGenerator[bytes, None]:
        while start < len(self.data):
            await asyncio.sleep(self.chance.choice(self.pauses))
            if start and self.chance.random() < self.breaks:
                raise NetworkError("reset")
            piece = self.data[start : start + self.piece()]
            self.given += len(piece)
            yield piece
            start += len(piece)


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


def described(data: bytes) -> Descriptor:
    return Descriptor(media_type="x", digest=Digest("sha256", hashlib.sha256(data).hexdigest()), size=len(data))


def reading_of(source: Source, blob: Descriptor, *, attempts: int = 10) -> Reading:
    policy = RetryPolicy(attempts=attempts, sleep=no_sleep)
    return Reading(blob, cast("Repository", source), policy=policy, breaks=Breaks(blob.size, attempts))


class Slot:
    """The one slot of a source: who gives it back twice, or takes it twice, is found."""

    def __init__(self) -> None:
        self.held = 0
        self.taken = 0

    def take(self, read: SharedRead, branch: Branch) -> None:
        """What an upload does that has a slot of its target."""
        if read.needs_slot(branch):
            assert self.held == 0
            read.hold(self._taken())

    async def again(self, _place: str) -> Callable[[], None]:
        """Give one to a branch that has to read again."""
        return self._taken()

    def _taken(self) -> Callable[[], None]:
        self.held += 1
        self.taken += 1
        given_back = False

        def release() -> None:
            nonlocal given_back
            assert not given_back
            given_back = True
            self.held -= 1

        return release


async def consume(
    read: SharedRead,
    branch: Branch,
    slot: Slot,
    *,
    begins_after: float = 0.0,
    takes: float = 0.0,
    stops_at: int | None = None,
) -> bytes | None:
    """Take the pieces as an upload does, `takes` seconds each; None where it ended before the blob did."""
    got = bytearray()
    try:
        await asyncio.sleep(begins_after)
        slot.take(read, branch)
        await read.begin(branch)
        async for piece in branch.pieces(lambda _count: None):
            got += piece
            await asyncio.sleep(takes)
            if stops_at is not None and len(got) >= stops_at:
                return None
    except OcyncError:
        return None
    finally:
        await branch.leave()
    return bytes(got)


def test_who_gets_to_the_end_has_every_byte_and_nobody_gets_all_of_a_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(SEEDS):
        chance = random.Random(seed)
        monkeypatch.setattr(staged_blob, "_PIECE", chance.choice([50, 1000]))
        try:
            run(drawn(chance, tmp_path), seed=seed, thread=chance.choice([0.0, 0.1]))
        except (Exception, StuckError) as error:
            error.add_note(f"seed {seed}")
            raise


async def drawn(chance: random.Random, folder: Path) -> None:
    data = chance.randbytes(chance.randint(1, 12_000))
    lies = chance.random() < 0.2
    source = Source(data, chance=chance, breaks=chance.choice([0.0, 0.02]), lies=lies)
    source.pauses = chance.choice([(0.0,), (0.0, 0.2), (0.0, 0.0, 5.0)])
    source.piece = lambda: chance.randint(1, 400)
    staging, slot = Staging(folder / "tmp", chance.choice([0, 2000, 5000, None])), Slot()
    read = SharedRead(reading_of(source, described(data)), staging=staging)
    read.keep = chance.random() < 0.3
    done: list[bytes | None] = []
    tried = 0

    async def upload(number: int, joins_after: float) -> None:
        nonlocal tried
        await asyncio.sleep(joins_after)
        if not read.is_joinable:
            return
        tried += 1
        result = await consume(
            read,
            read.join(f"target{number}"),
            slot,
            begins_after=chance.choice([0.0, 0.0, 0.1, 3.0, 60.0]),
            takes=chance.choice([0.0, 0.1, 5.0]),
            stops_at=chance.choice([None, None, len(data) // 2, len(data) * 3 // 4]),
        )
        done.append(result)

    tasks = [
        asyncio.create_task(upload(number, 0.0 if number == 0 else chance.choice([0.0, 0.0, 0.5, 100.0])))
        for number in range(chance.randint(1, 4))
    ]
    if chance.random() < 0.3:
        await asyncio.sleep(chance.choice([0.0, 0.1, 4.0, 70.0]))
        tasks[chance.randrange(len(tasks))].cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended

    # Nobody reads any more: no connection and no slot waits for the end of all.
    assert source.open == 0
    assert slot.held == 0
    is_kept = read.is_kept
    assert read.is_idle
    await read.close()
    assert slot.held == 0
    assert not any(result is not None and result != data for result in done)
    assert not (lies and any(done))
    assert not (lies and is_kept)
    assert staging.used == staging.open_files == 0
    assert not list(folder.glob("tmp/*"))


DATA = random.Random(1).randbytes(20_000)
BLOB = described(DATA)


class Uploads:
    """A read, and what is sent of it to some targets; times are those of the loop."""

    def __init__(self, staging: Staging | None = None, *, keep: bool = False) -> None:
        self.source, self.slot = Source(DATA), Slot()
        self.read = SharedRead(reading_of(self.source, BLOB), staging=staging, slot_again=self.slot.again)
        self.read.keep = keep
        self.ended: dict[str, float] = {}

    async def to(self, host: str, *, joins_after: float = 0.0, **how: float) -> bytes | None:
        await asyncio.sleep(joins_after)
        assert self.read.is_joinable
        result = await consume(self.read, self.read.join(host), self.slot, **how)  # type: ignore[arg-type]
        self.ended[host] = asyncio.get_running_loop().time()
        return result


def test_those_that_keep_up_read_once_and_hold_one_slot() -> None:
    async def play() -> None:
        uploads = Uploads()
        results = await asyncio.gather(*(uploads.to(host, takes=0.1) for host in "abc"))

        assert results == [DATA] * 3
        assert (uploads.source.reads, uploads.slot.taken) == (1, 1)
        await uploads.read.close()

    run(play())


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_slow_one_holds_nobody_up_for_long_and_takes_the_rest_from_disk_or_by_a_second_read(
    tmp_path: Path, *, on_disk: bool
) -> None:
    async def play() -> None:
        uploads = Uploads(Staging(tmp_path, None if on_disk else 0))
        results = await asyncio.gather(uploads.to("fast"), uploads.to("slow", takes=10.0))

        assert results == [DATA] * 2
        assert uploads.source.reads == (1 if on_disk else 2)
        assert 0.25 <= uploads.ended["fast"] < 0.5
        assert uploads.slot.taken == uploads.source.reads
        await uploads.read.close()

    run(play())


def test_who_waits_for_a_slot_of_its_target_is_waited_for_a_moment_and_without_the_source_s_slot(
    tmp_path: Path,
) -> None:
    """Its target's slots may be held by those who wait for the source."""

    async def play() -> None:
        uploads = Uploads(Staging(tmp_path, None))
        async with asyncio.TaskGroup() as group:
            quick = group.create_task(uploads.to("quick"))
            waiting = group.create_task(uploads.to("waiting", begins_after=1000.0))
            await quick
            assert uploads.ended["quick"] < 0.5
            assert (uploads.slot.held, uploads.source.open) == (0, 0)

        assert waiting.result() == DATA
        assert uploads.source.reads == 1
        await uploads.read.close()

    run(play())


def test_without_a_disk_who_waited_takes_a_slot_of_its_own() -> None:
    async def play() -> None:
        uploads = Uploads()
        results = await asyncio.gather(uploads.to("quick"), uploads.to("waiting", begins_after=1000.0))

        assert results == [DATA] * 2
        assert (uploads.source.reads, uploads.slot.taken, uploads.slot.held) == (2, 2, 0)
        await uploads.read.close()

    run(play())


def test_where_the_one_that_reads_fails_who_waited_goes_on_where_it_was() -> None:
    async def play() -> None:
        uploads = Uploads()
        failing, waiting = await asyncio.gather(
            uploads.to("failing", takes=0.5, stops_at=1000), uploads.to("waiting", begins_after=1.0)
        )

        assert (failing, waiting) == (None, DATA)
        assert uploads.slot.taken == 2
        assert uploads.source.given <= len(DATA) + 2000
        await uploads.read.close()

    run(play())


def test_one_that_comes_late_joins_where_nothing_is_gone_yet_or_all_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        uploads = Uploads(Staging(tmp_path, None), keep=True)
        early, later, latest = await asyncio.gather(
            uploads.to("early", takes=1.0),
            uploads.to("later", joins_after=5.0),
            uploads.to("latest", joins_after=500.0),
        )

        assert early == later == latest == DATA
        assert (uploads.source.reads, uploads.slot.taken) == (1, 1)
        assert uploads.read.is_kept
        await uploads.read.close()
        assert not uploads.read.is_joinable

    run(play())


def test_what_is_partly_gone_and_not_on_disk_takes_nobody_in(tmp_path: Path) -> None:
    async def play() -> None:
        for staging, keep in ((Staging(tmp_path, None), False), (Staging(tmp_path, 0), True)):
            uploads = Uploads(staging, keep=keep)
            task = asyncio.create_task(uploads.to("early", takes=1.0))
            assert uploads.read.is_joinable
            await asyncio.sleep(5)
            assert not uploads.read.is_joinable
            await task
            assert not uploads.read.is_kept
            await uploads.read.close()

    run(play())


def test_a_lie_is_not_kept(tmp_path: Path) -> None:
    async def play() -> None:
        uploads = Uploads(Staging(tmp_path, None), keep=True)
        uploads.source.data = DATA[:-1] + b"?"
        assert await uploads.to("a") is None
        assert isinstance(uploads.read.failure, VerificationError)
        assert not uploads.read.is_kept
        assert not uploads.read.is_joinable
        await uploads.read.close()

    run(play())


@pytest.mark.parametrize("after", [0.0, 0.5, 3.0, 30.0])
def test_where_who_began_is_cut_off_the_slot_is_given_back_once_and_the_others_go_on(
    tmp_path: Path, after: float
) -> None:
    async def play() -> None:
        uploads = Uploads(Staging(tmp_path, None))
        first = asyncio.create_task(uploads.to("first", takes=0.3))
        second = asyncio.create_task(uploads.to("second", begins_after=0.1, takes=2.5))
        await asyncio.sleep(after)
        first.cancel()
        await asyncio.wait([first])

        assert await second == DATA
        assert (uploads.slot.held, uploads.source.open) == (0, 0)
        await uploads.read.close()

    run(play())


def test_a_source_is_slow_only_where_it_is_waited_for() -> None:
    async def play() -> list[bool]:
        told: list[bool] = []
        for pause, takes in ((0.0, 100.0), (5.0, 0.0)):
            uploads = Uploads()
            uploads.source.pauses = (pause,)
            task = asyncio.create_task(uploads.to("a", takes=takes))
            await asyncio.sleep(4)
            told.append(uploads.read.is_slow())
            await task
            await uploads.read.close()
        return told

    assert run(play()) == [False, True]


def test_a_target_that_was_late_is_waited_for_less_each_time_and_longer_again_once_it_keeps_up() -> None:
    patience = Patience()
    seconds = [patience.of("a")]
    for _ in range(6):
        patience.missed("a")
        seconds.append(patience.of("a"))
    assert seconds == [0.25 / 4**misses for misses in (0, 1, 2, 3, 4, 4, 4)]
    assert patience.of("b") == 0.25
    for _ in range(6):
        patience.kept_up("a")
    assert patience.of("a") == 0.25


async def test_who_has_no_room_on_disk_does_not_wait_for_those_who_had_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_read, "_PATIENCE", 0.0)
    uploads = Uploads(staging := Staging(tmp_path, BLOB.size))
    other = await staging.open(BLOB.size)
    assert other is not None
    read = uploads.read
    slow, middle, fast = (read.join(host) for host in ("slow", "middle", "fast"))
    for branch in (slow, middle, fast):
        uploads.slot.take(read, branch)
        await read.begin(branch)
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
    await fast.leave()
    await middle.leave()

    assert await consume(read, slow, uploads.slot) == DATA
    assert (uploads.source.open, uploads.slot.held) == (0, 0)
    await read.close()


def test_who_must_read_again_reads_for_those_who_will_take_from_disk_and_still_wait_for_their_slots(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        uploads = Uploads(staging := Staging(tmp_path, BLOB.size))
        read = uploads.read
        other = await staging.open(BLOB.size)
        assert other is not None
        slow, waiting, fast = (read.join(host) for host in ("slow", "waiting", "fast"))
        for branch in (slow, fast):
            uploads.slot.take(read, branch)
            await read.begin(branch)
        # A piece ahead of the slow one, so that it is left behind when there is room on disk again.
        begun = await waiting.next()
        for _ in range(3):
            await fast.next()
        other.close()
        for _ in range(5):
            await fast.next()
        assert (slow.behind is not None, waiting.behind is not None) == (True, True)
        await fast.leave()

        assert await consume(read, slow, uploads.slot) == DATA
        rest = await consume(read, waiting, uploads.slot)
        assert rest is not None
        assert begun + rest == DATA
        # One by the slow one, which began before the disk did, and the first one in two parts.
        assert uploads.source.reads == 3
        await read.close()

    run(play())


@pytest.mark.parametrize("begins_after", [2.5, 5.0, 9.0])
def test_a_branch_that_catches_up_while_a_piece_is_being_written_goes_on_from_disk(
    tmp_path: Path, begins_after: float
) -> None:
    async def play() -> None:
        uploads = Uploads(Staging(tmp_path, None))
        results = await asyncio.gather(uploads.to("fast"), uploads.to("slow", begins_after=begins_after))

        assert results == [DATA] * 2
        assert uploads.source.reads == 1
        await uploads.read.close()

    run(play(), thread=0.5)


class SlowlyOpened(Staging):
    """A disk on which it takes a minute to make a file."""

    async def open(self, size: int) -> Spool | None:
        await asyncio.sleep(60)
        return await super().open(size)


def test_a_branch_that_takes_a_piece_while_the_file_is_made_shifts_nothing_for_the_others(tmp_path: Path) -> None:
    async def play() -> None:
        uploads = Uploads(SlowlyOpened(tmp_path, None))
        results = await asyncio.gather(uploads.to("fast"), uploads.to("slow", takes=10.0))

        assert results == [DATA] * 2
        assert uploads.source.reads == 1
        await uploads.read.close()

    run(play())


def test_who_is_cut_off_while_the_file_is_made_leaves_the_others_able_to_go_on(tmp_path: Path) -> None:
    async def play() -> None:
        uploads = Uploads(SlowlyOpened(tmp_path, None), keep=True)
        first = asyncio.create_task(uploads.to("first"))
        second = asyncio.create_task(uploads.to("second"))
        await asyncio.sleep(30)
        first.cancel()

        assert await second == DATA
        await uploads.read.close()

    run(play())
