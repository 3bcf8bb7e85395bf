"""The pass as a whole: isolation, the second try, dry runs, and ending early."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image, put_index
from ocync.config.model import ArtifactRules, TagRules
from ocync.lib.errors import AuthError, ErrorKind, NetworkError, NotFoundError
from ocync.lib.shutdown import Stop
from ocync.plan.model import Reason
from ocync.transfer.events import BytesExpected, BytesMoved, ImageFinished, MappingResolved
from ocync.transfer.result import ArtifactCounts, Status
from passes import MemoryPlaces, failing, mapping, run

if TYPE_CHECKING:
    from ocync.lib.errors import OcyncError
    from ocync.transfer.events import Event


async def test_all_tags_of_all_mappings_arrive_and_the_second_pass_moves_nothing() -> None:
    source, a, b = Place("source"), Place("a"), Place("b")
    for path in ("app", "db"):
        for tag in ("1", "2"):
            put_image(source.repository(path), tag, b"base", f"{path}{tag}".encode())
    repositories = MemoryPlaces(source, a, b)
    mappings = [mapping("app", "a", "b"), mapping("db", "a")]

    first = await run(repositories, *mappings)
    reads, manifests = source.count("read"), source.count("manifest")
    second = await run(repositories, *mappings)

    assert Counter((r.status, r.reason) for r in first.values()) == {(Status.SYNCED, Reason.NEW): 6}
    assert Counter((r.status, r.reason) for r in second.values()) == {(Status.SKIPPED, Reason.UP_TO_DATE): 6}
    assert (source.count("read"), source.count("manifest")) == (reads, manifests)
    assert a.tagged == {"app": source.tagged["app"], "db": source.tagged["db"]}


async def test_a_source_is_asked_as_often_for_three_targets_as_for_one() -> None:
    asked: list[Counter[str]] = []
    for targets in ("a", "abc"):
        source = Place("source")
        for tag in ("1", "2"):
            put_index(source.repository("app"), tag, (b"base", tag.encode()), (b"base", b"arm"))
        repositories = MemoryPlaces(source, *(Place(name) for name in targets))
        for _ in range(2):
            results = await run(repositories, mapping("app", *targets))
            assert all(result.status is not Status.FAILED for result in results.values())
        counts: Counter[str] = Counter()
        for (operation, _, _), count in source.calls.items():
            counts[operation] += count
        asked.append(counts)

    assert asked[0] == asked[1]


async def test_a_moved_tag_is_copied_and_tells_from_where_to_where() -> None:
    source, a = Place("source"), Place("a")
    old = put_image(source.repository("app"), "1", b"old")
    repositories = MemoryPlaces(source, a)
    await run(repositories, mapping("app"))
    new = put_image(source.repository("app"), "1", b"new")

    result = (await run(repositories, mapping("app")))["a/app:1"]

    assert (result.status, result.reason) == (Status.SYNCED, Reason.MOVED)
    assert (result.previous_digest, result.digest) == (str(old.digest), str(new.digest))
    assert result.bytes_transferred == len(b"new")


async def test_a_mapping_that_fails_does_not_stop_the_others() -> None:
    source, a = Place("source", step=failing("tags", AuthError("no pull"), path="bad")), Place("a")
    put_image(source.repository("good"), "1", b"x")

    results = await run(MemoryPlaces(source, a), mapping("bad"), mapping("good"))

    assert results["a/good:1"].status is Status.SYNCED
    failed = results["a/bad"]
    assert (failed.status, failed.error and failed.error.kind) == (Status.FAILED, ErrorKind.AUTH)


async def test_a_defect_in_one_image_is_one_failed_image() -> None:
    def step(operation: str, _path: str, subject: str) -> tuple[int, OcyncError | None]:
        if operation == "head" and subject == "2":
            raise ZeroDivisionError
        return 0, None

    source, a = Place("source", step=step), Place("a")
    for tag in ("1", "2"):
        put_image(source.repository("app"), tag, tag.encode())
    a.repository("app")
    a.tagged["app"] = dict(source.tagged["app"])

    results = await run(MemoryPlaces(source, a), mapping("app"))

    assert results["a/app:2"].status is Status.FAILED
    assert results["a/app:2"].error is not None
    assert results["a/app:2"].error.kind is ErrorKind.INTERNAL
    assert "ZeroDivisionError" in results["a/app:2"].error.message


async def test_what_failed_for_a_passing_reason_is_tried_once_more_at_the_end() -> None:
    source, a = Place("source"), Place("a", step=failing("put", NetworkError("reset"), times=1))
    put_image(source.repository("app"), "1", b"x")

    result = (await run(MemoryPlaces(source, a), mapping("app")))["a/app:1"]

    assert result.status is Status.SYNCED
    assert result.blobs.transferred == 2  # both rounds are counted


async def test_the_second_try_is_the_last() -> None:
    source, a, b = Place("source"), Place("a", step=failing("put", NetworkError("reset"))), Place("b")
    put_image(source.repository("app"), "1", b"x")

    results = await run(MemoryPlaces(source, a, b), mapping("app", "a", "b"))

    assert results["a/app:1"].status is Status.FAILED
    assert results["b/app:1"].status is Status.SYNCED
    assert a.count("put") == 2


async def test_a_mapping_that_could_not_be_listed_is_tried_once_more() -> None:
    source, a = Place("source", step=failing("tags", NetworkError("reset"), times=1)), Place("a")
    put_image(source.repository("app"), "1", b"x")

    results = await run(MemoryPlaces(source, a), mapping("app"))

    assert results["a/app:1"].status is Status.SYNCED


async def test_a_dry_run_asks_both_sides_and_writes_nothing() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    put_image(source.repository("app"), "2", b"y")
    put_image(a.repository("app"), "1", b"old")

    results = await run(MemoryPlaces(source, a), mapping("app"), dry_run=True)

    assert (results["a/app:1"].reason, results["a/app:2"].reason) == (Reason.MOVED, Reason.NEW)
    assert a.count("open") == a.count("put") == source.count("read") == 0


async def test_immutable_tags_that_are_there_cost_no_request() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1.0", b"x")
    put_image(source.repository("app"), "latest", b"x")
    put_image(a.repository("app"), "1.0", b"something else")
    put_image(a.repository("app"), "latest", b"x")

    results = await run(MemoryPlaces(source, a), mapping("app", tags=TagRules(immutable_tags="[0-9]*")))

    assert results["a/app:1.0"].reason is Reason.IMMUTABLE_TAG
    assert results["a/app:latest"].reason is Reason.UP_TO_DATE
    assert [subject for (call, _, subject) in a.calls if call in ("head", "manifest")] == ["latest"]


async def test_tags_that_are_named_need_no_list_and_a_missing_one_fails() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")

    named = replace(mapping("app", tags=TagRules(glob=("1", "2"))), artifacts=ArtifactRules(enabled=False))

    results = await run(MemoryPlaces(source, a), named)

    assert results["a/app:1"].status is Status.SYNCED
    assert results["a/app:2"].error is not None
    assert results["a/app:2"].error.kind is ErrorKind.NOT_FOUND
    assert source.count("tags") == 0


async def test_a_target_that_can_t_be_asked_fails_for_itself_alone() -> None:
    source, a, b = Place("source"), Place("a", step=failing("manifest", AuthError("no"))), Place("b")
    put_image(source.repository("app"), "1", b"x")
    for host in (a, b):
        put_image(host.repository("app"), "1", b"old")

    results = await run(MemoryPlaces(source, a, b), mapping("app", "a", "b"))

    assert results["a/app:1"].status is Status.FAILED
    assert results["b/app:1"].status is Status.SYNCED


async def test_events_tell_what_comes_and_what_moved() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"four", b"eleven bytes")
    events: list[Event] = []

    await run(MemoryPlaces(source, a), mapping("app"), sink=events.append)

    moved = sum(event.count for event in events if isinstance(event, BytesMoved))
    assert (
        moved
        == sum(event.count for event in events if isinstance(event, BytesExpected))
        == 16 + len('{"layers": 2}')
    )
    assert [event.images for event in events if isinstance(event, MappingResolved)] == [1]
    assert isinstance(events[-1], ImageFinished)


class Slow:
    """Holds reads of a repository until it is told, and notes what was begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    def host(self) -> Place:
        slow = self

        class Gated(Place):
            async def call(self, operation: str, path: str, subject: object) -> None:
                await super().call(operation, path, subject)
                if operation == "piece":
                    slow.begun.set()
                    await slow.gate.wait()

        return Gated("source")


@pytest.mark.parametrize("finishes", [True, False], ids=["in time", "too slow"])
async def test_after_a_stop_nothing_begins_and_what_is_in_flight_gets_the_grace(finishes: bool) -> None:
    slow, a = Slow(), Place("a")
    source = slow.host()
    for tag in ("1", "2", "3"):
        put_image(source.repository("app"), tag, tag.encode())
    stop = Stop(grace=0.3)

    async def interrupt() -> None:
        await slow.begun.wait()
        stop.request("signal SIGTERM")
        if finishes:
            slow.gate.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(interrupt())
        task = group.create_task(run(MemoryPlaces(source, a), mapping("app"), stop=stop, at_once=1))
    results = task.result()

    kinds = Counter(result.error.kind if result.error else None for result in results.values())
    assert kinds == ({None: 1, ErrorKind.INTERRUPTED: 2} if finishes else {ErrorKind.INTERRUPTED: 3})
    assert len(a.tagged["app"]) == (1 if finishes else 0)
    assert a.incomplete == []


async def test_a_second_request_ends_the_grace() -> None:
    slow, a = Slow(), Place("a")
    source = slow.host()
    put_image(source.repository("app"), "1", b"x")
    stop = Stop(grace=3600)

    async def interrupt() -> None:
        await slow.begun.wait()
        stop.request("signal SIGTERM")
        await asyncio.sleep(0)
        stop.request("signal SIGTERM")

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(interrupt())
        task = group.create_task(run(MemoryPlaces(source, a), mapping("app"), stop=stop))

    assert task.result()["a/app:1"].error is not None


async def test_a_stop_before_the_start_leaves_everything_to_do() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    stop = Stop(grace=1)
    stop.request("deadline")

    results = await run(MemoryPlaces(source, a), mapping("app"), stop=stop)

    assert results["a/app"].error is not None
    assert results["a/app"].error.kind is ErrorKind.INTERRUPTED
    assert not source.calls


async def test_thousands_of_tags_are_in_flight_only_a_few_at_a_time() -> None:
    source, a = Place("source", slots=1000), Place("a", slots=1000)
    repository = source.repository("app")
    for number in range(2000):
        put_image(repository, f"t{number}", b"x")
    flying = peak = 0

    class Counting(Place):
        async def call(self, operation: str, path: str, subject: object) -> None:
            nonlocal flying, peak
            flying += operation == "manifest"
            peak = max(peak, flying)
            await super().call(operation, path, subject)
            flying -= operation == "manifest"

    source.__class__ = Counting

    results = await run(MemoryPlaces(source, a), mapping("app"), at_once=7)

    assert len(results) == 2000
    assert peak <= 7


async def test_a_missing_repository_is_told_by_name() -> None:
    source, a = Place("source", step=failing("tags", NotFoundError("source/app is not there"))), Place("a")

    result = (await run(MemoryPlaces(source, a), mapping("app")))["a/app"]

    assert result.error is not None
    assert result.error.kind is ErrorKind.NOT_FOUND


async def test_signature_tags_follow_the_images_they_belong_to_and_no_others() -> None:
    source, a = Place("source"), Place("a")
    repository = source.repository("app")
    kept, left = put_image(repository, "2.0", b"kept"), put_image(repository, "1.0", b"left out")
    index = put_index(repository, "3.0", (b"amd64",), (b"arm64",))
    child = index.children[0].digest
    for image in (kept.digest, left.digest, index.digest, child):
        put_image(repository, f"sha256-{image.encoded}.sig", f"signature of {image}".encode())
    rules = TagRules(semver=">=2.0")

    first = await run(MemoryPlaces(source, a), mapping("app", tags=rules))
    # The index does not move, and a signature is added to its second child.
    late = index.children[1].digest
    put_image(repository, f"sha256-{late.encoded}.sig", b"a late signature")
    second = await run(MemoryPlaces(source, a), mapping("app", tags=rules))
    third = await run(MemoryPlaces(source, a), mapping("app", tags=rules))

    wanted = {f"sha256-{digest.encoded}.sig" for digest in (kept.digest, index.digest, child, late)}
    assert set(first) == {"a/app:2.0", "a/app:3.0"}
    assert set(a.tagged["app"]) == wanted | {"2.0", "3.0"}
    assert first["a/app:3.0"].artifacts == ArtifactCounts(source=2, target=2, transferred=2)
    assert (second["a/app:3.0"].status, second["a/app:3.0"].reason) == (Status.SYNCED, Reason.ARTIFACTS)
    assert second["a/app:3.0"].artifacts == ArtifactCounts(source=3, target=3, transferred=1)
    assert second["a/app:2.0"].status is third["a/app:3.0"].status is Status.SKIPPED
    assert third["a/app:3.0"].artifacts == ArtifactCounts(source=3, target=3)


async def test_signature_tags_stay_where_artifacts_are_switched_off() -> None:
    source, a = Place("source"), Place("a")
    image = put_image(source.repository("app"), "1", b"x")
    put_image(source.repository("app"), f"sha256-{image.digest.encoded}.sig", b"signature")
    rules = replace(mapping("app"), artifacts=ArtifactRules(enabled=False))

    await run(MemoryPlaces(source, a), rules)

    assert set(a.tagged["app"]) == {"1"}


async def test_an_include_that_the_source_lacks_is_no_failure() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")

    results = await run(
        MemoryPlaces(source, a), mapping("app", tags=TagRules(glob=("1",), include=("latest-dev",)))
    )

    assert set(results) == {"a/app:1"}


async def test_a_mapping_whose_rules_select_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")

    results = await run(MemoryPlaces(source, a), mapping("app", tags=TagRules(semver=">=2")))

    assert results == {}
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().startswith("source/app: none of the source's 1 tags is selected by")
