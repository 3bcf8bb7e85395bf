"""A download that breaks goes on where it broke, into the uploads that are under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.lib.errors import NetworkError, OcyncError, VerificationError
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from relays import BLOB, CONTENT, GET, UPLOADS, Course, course
from scripted import Bearer, BlobStore, GeneratedBlob, ScriptedRegistry, User, faults

if TYPE_CHECKING:
    from scripted.rules import Action

BREAKS = {
    "cut": faults.cut(after=700_000),
    "cut before the last byte": faults.cut(after=1_499_999),
    "reset": faults.cut(after=700_000, reset=True),
    "stall": faults.stall(30, after=700_000),
    "cut, in chunks": faults.chain(faults.chunked(), faults.cut(after=700_000)),
}


def ranges(at: Course) -> list[str | None]:
    """Return what was asked of the source, in the order in which it was asked."""
    return [request.headers.get("range") for request in at.source.requests.matching("GET", GET)]


def one_session_each(at: Course) -> bool:
    """Tell whether no upload was begun twice."""
    return all(
        [r.method for r in target.requests.matching("POST|PUT|DELETE|HEAD", UPLOADS)] == ["POST", "PUT"]
        for target in at.targets
    )


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
async def test_a_read_that_breaks_goes_on_where_it_broke_and_the_uploads_know_nothing_of_it(fault: Action) -> None:
    async with course(targets=2) as at:
        at.source.on("GET", GET, times=1, respond=fault)
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert one_session_each(at)
        first, second = ranges(at)
        assert first is None
        assert second is not None
        assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 1_499_999
        assert sum(at.moved) == 2 * BLOB.size
        assert len(at.side.waits.seconds) == 1


async def test_each_byte_is_read_once_however_often_the_read_breaks() -> None:
    async with course(attempts=2) as at:
        # More often than there are attempts: each time something has come.
        at.source.on("GET", GET, times=14, respond=faults.cut(after=100_000))
        (delivery,) = await at.run()

        assert delivery.done
        assert one_session_each(at)
        offsets = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in ranges(at) if asked]
        assert offsets == [100_000 * number for number in range(1, 15)]
        assert len(at.side.waits.seconds) == 14


async def test_retries_of_reads_are_counted_as_such() -> None:
    counted: list[BaseException] = []
    async with course() as at:
        object.__setattr__(at.side.policy, "on_retry", counted.append)
        at.source.on("GET", GET, times=3, respond=faults.cut(after=100_000))
        await at.run()

    assert len(counted) == 3


async def test_a_source_that_gives_a_little_each_time_is_left_in_the_end() -> None:
    async with course(attempts=3) as at:
        at.source.on("GET", GET, respond=faults.cut(after=1000))
        (delivery,) = await at.run()

        assert isinstance(delivery.error, NetworkError)
        assert delivery.error.retryable
        assert at.held() == [False]
        # The little that came each time is no reason to begin counting anew.
        assert at.reads == 3
        assert at.targets[0].count("PUT", UPLOADS, status=201) == 0


@pytest.mark.parametrize(
    "then",
    [faults.answer(503), faults.reset(), faults.too_many(seconds=2), faults.cut(after=0), faults.stall(30)],
    ids=["503", "no answer", "429", "nothing more", "silence"],
)
async def test_a_source_that_gives_nothing_more_is_left_after_the_attempts_there_are(then: Action) -> None:
    async with course(targets=2, attempts=3, idle=0.15) as at:
        at.source.on("GET", GET, respond=faults.in_turn([faults.cut(after=700_000), *[then] * 50]))
        deliveries = await at.run()

        assert [delivery.done for delivery in deliveries] == [False, False]
        assert all(isinstance(d.error, OcyncError) and d.error.retryable for d in deliveries)
        assert all(at.source.host in str(delivery.error) for delivery in deliveries)
        # A request on a kept connection that is dead is sent a second time at once.
        assert 3 <= at.reads <= 5
        assert at.held() == [False, False]
        for target in at.targets:
            assert target.count("PUT", UPLOADS) == 1
            assert target.count("PUT", UPLOADS, status=201) == 0


UNUSABLE = {
    "416": faults.error(416, "RANGE_INVALID"),
    "another start": faults.headers({"Content-Range": "bytes 699999-1499999/1500000"}),
    "another end": faults.headers({"Content-Range": "bytes 700000-1499998/1500000"}),
    "another size": faults.headers({"Content-Range": "bytes 700000-1499999/1500001"}),
    "no Content-Range": faults.headers({"Content-Range": None}),
    "nonsense": faults.headers({"Content-Range": "bytes 700000-/x"}),
    "an encoding": faults.headers({"Content-Encoding": "gzip", "Content-Range": "bytes 700000-1499999/*"}),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_part_that_is_not_the_one_asked_for_is_not_taken_and_no_other_is_asked_for(answer: Action) -> None:
    async with course(targets=2) as at:
        turns = [faults.cut(after=700_000), answer, faults.cut(after=900_000)]
        at.source.on("GET", GET, respond=faults.in_turn(turns))
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert one_session_each(at)
        assert ranges(at) == [None, "bytes=700000-", None, None]


async def test_a_source_without_parts_is_read_again_and_the_uploads_go_on() -> None:
    async with course(targets=2) as at:
        at.source.behaviour.ranges = False
        at.source.on("GET", GET, times=2, respond=faults.cut(after=700_000))
        at.source.on("GET", GET, after=2, times=1, respond=faults.cut(after=1_000_000))
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert one_session_each(at)
        # Asked once, and then known of the host.
        assert ranges(at) == [None, "bytes=700000-", None, None]


async def test_a_whole_blob_of_another_length_does_not_take_the_place_of_a_part() -> None:
    async with course(attempts=2) as at:
        at.source.behaviour.ranges = False
        turns = [faults.cut(after=700_000), *[faults.answer(200, b"x" * 700_001)] * 50]
        at.source.on("GET", GET, respond=faults.in_turn(turns))
        (delivery,) = await at.run()

        assert isinstance(delivery.error, VerificationError)
        assert at.held() == [False]
        assert at.reads <= 4


async def test_a_body_in_gzip_that_breaks_goes_on_behind_what_was_unpacked() -> None:
    async with course() as at:
        at.source.on("GET", GET, times=1, respond=faults.chain(faults.cut(after=700_000), faults.encode_gzip()))
        (delivery,) = await at.run()

        assert delivery.done
        assert at.held() == [True]
        assert one_session_each(at)


async def test_bytes_of_two_reads_that_do_not_fit_together_are_never_committed() -> None:
    async with course(targets=2, attempts=2) as at:
        at.source.on("GET", GET, respond=faults.in_turn([faults.cut(after=700_000), faults.flip_bit(at=5)]))
        deliveries = await at.run()

        # Read once more from the start, by which time the source had come to itself.
        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert at.reads == 3
        for target in at.targets:
            assert target.count("PUT", UPLOADS, status=201) == 1


@pytest.mark.parametrize("status", [403, 400])
async def test_a_signed_url_that_has_ended_is_asked_for_anew_at_the_registry(status: int) -> None:
    robot = User(name="robot", password="secret")
    async with (
        ScriptedRegistry(auth=Bearer(users=(robot,), anonymous=None)) as source,
        BlobStore() as store,
        ScriptedRegistry() as target,
        Side(account=("robot", "secret")) as side,
    ):
        at = Course(side, source, (target,))
        at.put(CONTENT)
        source.on("GET", GET, authorized=True, respond=store.redirect())
        ended = faults.answer(status, "<Error>Request has expired</Error>")
        store.on("GET", r".*", respond=faults.in_turn([faults.cut(after=700_000), ended]))
        (delivery,) = await at.run()

        assert delivery.done
        assert at.held() == [True]
        # Each read begins at the registry, which signs anew.
        assert source.count("GET", GET, status=307) == 3
        asked = store.requests.matching("GET")
        assert [request.headers.get("range") for request in asked] == [None, "bytes=700000-", "bytes=700000-"]
        assert [request.scheme for request in asked] == [None] * 3
        assert len({request.target for request in asked}) == 3
        assert one_session_each(at)


async def test_a_source_and_a_target_that_break_at_once_cost_the_other_target_nothing() -> None:
    async with course(targets=2) as at:
        at.source.on("GET", GET, times=1, respond=faults.cut(after=700_000))
        at.targets[0].on("PUT", UPLOADS, times=1, respond=faults.reset_upload(after=600_000))
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert [target.count("PUT", UPLOADS) for target in at.targets] == [2, 1]
        assert at.reads == 3


async def test_a_source_and_targets_that_always_break_end_within_bounds() -> None:
    async with course(targets=2, attempts=3, idle=0.15) as at:
        at.source.on("GET", GET, respond=faults.cut(after=300_000))
        for target in at.targets:
            target.on("PUT", UPLOADS, respond=faults.reset_upload(after=600_000))
        deliveries = await at.run(within=20)

        assert [delivery.done for delivery in deliveries] == [False, False]
        assert at.held() == [False, False]
        assert at.reads <= 2 * 3 + 32
        assert all(target.count("PUT|POST", UPLOADS) <= 2 * 3 for target in at.targets)


async def test_no_read_goes_on_when_all_targets_have_dropped_out() -> None:
    async with course(attempts=2) as at:
        at.source.on("GET", GET, times=1, respond=faults.cut(after=700_000))
        at.targets[0].on("PUT", UPLOADS, respond=faults.error(405, "UNSUPPORTED", read_body=False))
        (delivery,) = await at.run()

        assert delivery.error is not None
        assert at.reads <= 2


async def test_what_breaks_at_a_nearer_repository_goes_on_there() -> None:
    async with course() as at:
        target = at.targets[0]
        target.seed_blob("team/base", str(BLOB.digest), CONTENT)
        target.on("GET", GET, times=1, respond=faults.cut(after=700_000))
        (delivery,) = await at.run(nearer=at.side.repository(target.url, "team/base"))

        assert delivery.done
        assert at.reads == 0
        asked = [request.headers.get("range") for request in target.requests.matching("GET", GET)]
        assert asked == [None, "bytes=700000-"]
        assert target.count("PUT", UPLOADS) == 1


async def test_a_nearer_repository_that_stays_broken_is_left_for_the_source() -> None:
    async with course(attempts=2) as at:
        target = at.targets[0]
        target.seed_blob("team/base", str(BLOB.digest), CONTENT)
        target.on("GET", GET, respond=faults.in_turn([faults.cut(after=700_000), faults.answer(503)]))
        (delivery,) = await at.run(nearer=at.side.repository(target.url, "team/base"))

        assert delivery.done
        assert at.held() == [True]
        assert target.count("GET", GET) == 2
        assert at.reads == 1


async def test_while_a_source_is_waited_for_a_stop_ends_the_read() -> None:
    async with course() as at:
        stopping = faults.chain(faults.first(lambda: at.side.stop.request("SIGTERM")), faults.answer(503))
        at.source.on("GET", GET, respond=faults.in_turn([faults.cut(after=700_000), *[stopping] * 50]))
        (delivery,) = await at.run()

        assert not delivery.done
        assert at.held() == [False]
        assert at.reads <= 3


async def test_a_source_that_drips_is_left_when_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocync.transfer.resumable_read.GRACE", 0.3)
    async with course(attempts=2, idle=5) as at:
        at.source.on("GET", GET, respond=faults.drip(size=10, pause=0.05))
        (delivery,) = await at.run()

        assert isinstance(delivery.error, NetworkError)
        assert "bytes in" in str(delivery.error)
        assert at.held() == [False]
        assert at.reads <= 3


async def test_a_large_blob_may_break_more_often() -> None:
    content = GeneratedBlob(1 << 32, 3)
    blob = Descriptor(media_type="x", digest=Digest.of(b"never reached"), size=content.size)
    async with course(attempts=2) as at:
        at.put(content, blob)
        turns = [*[faults.cut(after=1024 * 1024)] * 60, faults.error(404, "BLOB_UNKNOWN")]
        at.source.on("GET", GET, respond=faults.in_turn(turns))
        async with asyncio.timeout(20):
            (delivery,) = await at.run(blob)

        assert delivery.error is not None
        assert at.reads == 61
