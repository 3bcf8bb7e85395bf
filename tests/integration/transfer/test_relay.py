"""One blob from a registry to others over real sockets: one read, verified on its way, retried as a whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clients import Side, descriptor
from ocync.lib.errors import (
    NetworkError,
    NotFoundError,
    OcyncError,
    ProtocolError,
    QuotaError,
    ServerError,
    VerificationError,
)
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.transfer.blob_reads import BlobReads, Delivery
from relays import BLOB, CONTENT, GET, UPLOADS, Course, course
from scripted import Bearer, GeneratedBlob, ScriptedRegistry, User, faults
from scripted.content import Bytes

if TYPE_CHECKING:
    from scripted.rules import Action


@pytest.mark.parametrize("targets", [1, 2, 5])
async def test_one_read_feeds_all_targets(targets: int) -> None:
    async with course(targets=targets) as at:
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True] * targets
        assert at.reads == 1
        assert sum(at.moved) == targets * BLOB.size
        assert max(at.moved) <= 1024 * 1024
        for target in at.targets:
            assert [r.method for r in target.requests.matching("POST|PUT|DELETE|HEAD", UPLOADS)] == ["POST", "PUT"]
        assert at.side.waits.seconds == []


@pytest.mark.parametrize("size", [0, 1, 2, 256 * 1024, 256 * 1024 + 1])
async def test_blobs_of_all_sizes_arrive(size: int) -> None:
    data = b"x" * size
    blob = descriptor(data)

    async with course(targets=2) as at:
        at.put(Bytes(data), blob)
        await at.run(blob)

        for target in at.targets:
            assert target.repository("team/app").read(str(blob.digest)) == data


SILENT = {
    "no answer": faults.reset(),
    "silence": faults.stall(30),
    "503": faults.answer(503),
    "429": faults.too_many(seconds=3),
    "cut before the first byte": faults.cut(after=0),
}
LYING = {
    "a flipped bit": faults.flip_bit(at=1_000_000),
    "a flipped bit at the end": faults.flip_bit(at=1_499_999),
    "a wrong length": faults.claim_length(-1),
    "too short, in chunks": faults.chain(faults.chunked(), faults.answer(200, b"short")),
    "a login page": faults.chain(faults.chunked(), faults.html()),
    "nothing, in chunks": faults.chain(faults.chunked(), faults.answer(200, b"")),
}


@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT)
async def test_a_read_that_never_begins_is_made_again_and_costs_no_session(fault: Action) -> None:
    async with course(targets=2) as at:
        at.source.on("GET", GET, times=2, respond=fault)
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert 3 <= at.reads <= 4
        for target in at.targets:
            assert [r.method for r in target.requests.matching("POST|PUT|DELETE|HEAD", UPLOADS)] == ["POST", "PUT"]


@pytest.mark.parametrize("fault", LYING.values(), ids=LYING)
async def test_a_read_that_lies_is_made_again_into_new_sessions(fault: Action) -> None:
    async with course(targets=2) as at:
        at.source.on("GET", GET, times=2, respond=fault)
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True, True]
        assert 3 <= at.reads <= 4
        for target in at.targets:
            assert target.count("PUT", UPLOADS, status=201) == 1
            assert target.uploads.opened <= 3


@pytest.mark.parametrize("fault", [*SILENT.values(), *LYING.values()], ids=[*SILENT, *LYING])
async def test_what_stays_broken_ends_in_time_and_nothing_is_ever_committed(fault: Action) -> None:
    async with course(targets=2, attempts=3, idle=0.15) as at:
        at.source.on("GET", GET, respond=fault)
        deliveries = await at.run()

        assert [delivery.done for delivery in deliveries] == [False, False]
        assert all(isinstance(delivery.error, OcyncError) and delivery.error.retryable for delivery in deliveries)
        assert at.held() == [False, False]
        assert 3 <= at.reads <= 4
        for target in at.targets:
            assert target.count("PUT", UPLOADS, status=201) == 0


async def test_bytes_that_lie_are_never_sent_whole() -> None:
    async with course(attempts=2) as at:
        at.source.on("GET", GET, respond=faults.flip_bit(at=0))
        (delivery,) = await at.run()

        assert isinstance(delivery.error, VerificationError)
        assert str(BLOB.digest) in str(delivery.error)
        assert all(put.received < BLOB.size for put in at.targets[0].requests.matching("PUT"))


async def test_a_blob_that_is_gone_at_the_source_is_not_asked_for_again_and_costs_no_session() -> None:
    async with course(targets=2) as at:
        at.source.repository("team/app").blobs.clear()
        deliveries = await at.run()

        assert all(isinstance(delivery.error, NotFoundError) for delivery in deliveries)
        assert at.reads == 1
        for target in at.targets:
            assert target.count("PUT", UPLOADS) == 0
            assert not target.uploads.sessions


REFUSED = {
    "405 in the middle": (faults.refuse_upload(405, after=100_000), ProtocolError),
    "quota": (faults.error(403, "DENIED", "Quota exceeded", read_body=False), QuotaError),
    "405": (faults.error(405, "UNSUPPORTED", read_body=False), ProtocolError),
}


@pytest.mark.parametrize(("fault", "kind"), REFUSED.values(), ids=REFUSED)
async def test_a_target_that_refuses_for_good_drops_out_and_the_others_go_on(
    fault: Action, kind: type[OcyncError]
) -> None:
    async with course(targets=3) as at:
        at.targets[1].on("PUT", UPLOADS, respond=fault)
        deliveries = await at.run()

        assert [delivery.done for delivery in deliveries] == [True, False, True]
        assert isinstance(deliveries[1].error, kind)
        assert at.reads == 1
        assert at.targets[1].count("PUT", UPLOADS) == 1


PASSING = {
    "503": faults.answer(503, read_body=False),
    "reset": faults.reset_upload(after=400_000),
    "a stall": faults.stall_upload(30, after=400_000),
    "silence": faults.stall(30),
    "a session that is lost": faults.error(404, "BLOB_UPLOAD_UNKNOWN"),
    "a session of another node": faults.error(400, "BLOB_UPLOAD_INVALID"),
    "bytes lost on the way": faults.error(400, "DIGEST_INVALID"),
    "429": faults.too_many(seconds=2),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_a_target_that_fails_in_passing_is_tried_again_alone(fault: Action) -> None:
    async with course(targets=3) as at:
        at.targets[1].on("PUT", UPLOADS, times=1, respond=fault)
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.held() == [True] * 3
        assert at.reads == 2
        assert [target.count("PUT", UPLOADS) for target in at.targets] == [1, 2, 1]


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_a_target_that_stays_so_fails_alone_with_its_own_error(fault: Action) -> None:
    async with course(targets=2, attempts=3, idle=0.15) as at:
        at.targets[0].on("PUT|PATCH", UPLOADS, respond=fault)
        deliveries = await at.run()

        assert [delivery.done for delivery in deliveries] == [False, True]
        error = deliveries[0].error
        assert error is not None
        assert error.retryable
        assert at.targets[0].host in str(error)
        assert at.reads == 3
        assert at.targets[1].count("PUT", UPLOADS) == 1


async def test_a_token_that_is_refused_at_the_bytes_costs_one_more_session() -> None:
    robot = User(name="robot", password="secret")
    async with (
        ScriptedRegistry(auth=Bearer(users=(robot,), anonymous=None)) as target,
        ScriptedRegistry() as source,
        Side(account=("robot", "secret")) as side,
    ):
        made = Course(side, source, (target,))
        made.put(CONTENT)
        challenge = f'Bearer realm="{target.url}/token",service="scripted",scope="repository:team/app:pull,push"'
        ended = faults.error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge}, read_body=False)
        target.on("PUT", UPLOADS, authorized=True, times=1, respond=ended)
        (delivery,) = await made.run()

        assert delivery.done
        assert target.count("PUT", UPLOADS) == 2
        refused, taken = target.requests.matching("PUT", UPLOADS)
        assert refused.fingerprint != taken.fingerprint


async def test_an_answer_that_was_lost_after_the_commit_costs_a_look_and_no_second_upload() -> None:
    async with course(targets=2) as at:
        at.targets[0].on("PUT", UPLOADS, times=1, respond=faults.lose_answer())
        deliveries = await at.run()

        assert all(delivery.done for delivery in deliveries)
        assert at.reads == 1
        assert [target.count("PUT", UPLOADS) for target in at.targets] == [1, 1]
        assert at.targets[0].count("HEAD", GET) == 1


async def test_an_answer_that_never_comes_after_the_commit_costs_no_second_upload() -> None:
    async with course(idle=0.15) as at:
        at.targets[0].on("PUT", UPLOADS, times=1, respond=_late(1.0))
        (delivery,) = await at.run()

        assert delivery.done
        assert at.reads == 1
        assert at.targets[0].count("PUT", UPLOADS) == 1


async def test_a_target_whose_sessions_can_t_be_had_any_more_fails_alone_and_may_be_tried_later() -> None:
    async with course(targets=2, attempts=3) as at:
        at.targets[0].on("PUT", UPLOADS, respond=faults.answer(503))
        at.targets[0].on("POST", UPLOADS, after=1, respond=faults.answer(503))
        deliveries = await at.run()

        assert [delivery.done for delivery in deliveries] == [False, True]
        assert isinstance(deliveries[0].error, ServerError)
        assert deliveries[0].error.retryable
        # Each request has had its attempts; they do not multiply.
        assert at.targets[0].count("POST", UPLOADS) == 1 + 3
        assert at.reads == 1


async def test_when_all_targets_have_dropped_out_the_read_ends() -> None:
    content = GeneratedBlob(1 << 32, 3)
    blob = Descriptor(media_type="x", digest=Digest.of(b"never reached"), size=content.size)

    async with course(targets=2) as at:
        at.put(content, blob)
        for target in at.targets:
            target.on("PUT", UPLOADS, respond=faults.refuse_upload(405, after=1_000_000))
        deliveries = await at.run(blob)

        assert all(isinstance(delivery.error, ProtocolError) for delivery in deliveries)
        assert at.reads == 1
        assert at.source.requests.matching("GET", GET)[0].sent < 100_000_000


async def test_a_slow_target_slows_the_read_and_nothing_piles_up() -> None:
    content = GeneratedBlob(256 * 1024 * 1024, 4)
    blob = Descriptor(media_type="x", digest=Digest.of(b"never reached"), size=content.size)

    async with course(targets=2, idle=1.5, attempts=1) as at:
        at.put(content, blob)
        at.targets[1].on("PUT", UPLOADS, respond=faults.stall_upload(30, after=1_000_000))
        running = asyncio.create_task(at.run(blob))
        await asyncio.sleep(0.2)
        # What sockets hold on both ways, and two pieces.
        assert at.source.requests.matching("GET", GET)[0].sent < 40_000_000
        assert max(at.targets[0].requests.matching("PUT")[0].received, sum(at.moved)) < 40_000_000
        at.source.on("GET", GET, respond=faults.reset())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_relay_that_is_cancelled_leaves_nothing_running_and_nothing_stored() -> None:
    async with course(targets=2) as at:
        at.source.on("GET", GET, respond=faults.stall(30, after=700_000))
        before = asyncio.all_tasks()
        running = asyncio.create_task(at.run())
        while not at.moved:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert at.held() == [False, False]
        for registry in (at.source, *at.targets):
            assert at.side.repository(registry.url).slots.statistics.held == 0
        mine = {task for task in asyncio.all_tasks() - before if "scripted" not in repr(task.get_coro())}
        assert not {task for task in mine if not task.done() and "_serve" not in repr(task.get_coro())}


async def test_a_nearer_repository_is_read_and_the_source_only_where_that_fails() -> None:
    async with course() as at:
        target = at.targets[0]
        target.seed_blob("team/base", str(BLOB.digest), CONTENT)
        near = at.side.repository(target.url, "team/base")
        (delivery,) = await at.run(nearer=near)

        assert delivery.done
        assert at.reads == 0


@pytest.mark.parametrize(
    "fault",
    [faults.answer(404), faults.answer(403), faults.answer(503), faults.flip_bit(at=5), faults.cut(after=0)],
    ids=["404", "403", "503", "a lie", "cut"],
)
async def test_a_nearer_repository_that_fails_is_tried_once_and_costs_no_wait(fault: Action) -> None:
    async with course() as at:
        target = at.targets[0]
        target.seed_blob("team/base", str(BLOB.digest), CONTENT)
        target.on("GET", GET, respond=fault)
        near = at.side.repository(target.url, "team/base")
        (delivery,) = await at.run(nearer=near)

        assert delivery.done
        assert at.held() == [True]
        assert at.reads == 1
        assert target.count("GET", GET) <= 2
        assert at.side.waits.seconds == []


async def carry(reads: BlobReads, side: Side, blob: Descriptor, source: str, target: str, *, to: str) -> None:
    """Bring a blob from a repository at a URL to one at another, named `to` there."""
    repository = side.repository(target, to)
    upload = await repository.open_upload(blob)
    assert upload is not None
    await reads.send(Delivery(blob, repository, upload), side.repository(source, "team/app", writable=False))


async def test_one_slot_is_enough_even_where_source_and_targets_are_one_registry() -> None:
    async with Side(slots=1) as side, ScriptedRegistry() as registry, asyncio.timeout(10):
        registry.seed_blob("team/app", str(BLOB.digest), CONTENT)
        reads = BlobReads(side.policy)
        async with asyncio.TaskGroup() as group:
            for name in ("other/one", "other/two"):
                group.create_task(carry(reads, side, BLOB, registry.url, registry.url, to=name))

        assert all(str(BLOB.digest) in registry.repository(f"other/{name}").blobs for name in ("one", "two"))


async def test_blobs_in_both_directions_at_once_do_not_wait_for_each_other_for_ever() -> None:
    async with Side(slots=1) as side, ScriptedRegistry() as one, ScriptedRegistry() as two, asyncio.timeout(20):
        contents = [GeneratedBlob(100_000, number) for number in range(10)]
        blobs = [Descriptor(media_type="x", digest=Digest.parse(c.digest()), size=c.size) for c in contents]
        for content, blob in zip(contents, blobs, strict=True):
            one.seed_blob("team/app", str(blob.digest), content)
            two.seed_blob("team/app", str(blob.digest), content)
        reads = BlobReads(side.policy)

        async with asyncio.TaskGroup() as group:
            for blob in blobs:
                group.create_task(carry(reads, side, blob, one.url, two.url, to="a/app"))
                group.create_task(carry(reads, side, blob, two.url, one.url, to="b/app"))

        assert len(two.repository("a/app").blobs) == len(one.repository("b/app").blobs) == 10


async def test_a_source_that_is_down_fails_all_targets_with_its_name() -> None:
    async with course(targets=2, attempts=2) as at:
        await at.source.stop()
        deliveries = await at.run()

        assert all(isinstance(delivery.error, NetworkError) for delivery in deliveries)
        assert all(at.source.host in str(delivery.error) for delivery in deliveries)


def _late(seconds: float) -> Action:
    async def action(request, proceed):  # type: ignore[no-untyped-def]
        response = await proceed()
        await asyncio.sleep(seconds)
        return response

    return action
