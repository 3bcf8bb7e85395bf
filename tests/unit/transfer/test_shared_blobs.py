"""Blobs that many images need: brought once, failed once, and never waited for without end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image
from ocync.errors import NetworkError, NotFoundError
from ocync.oci.digest import Digest
from ocync.registry.waiting import RetryPolicy
from ocync.transfer.blob import bring_blob
from ocync.transfer.destination import Destination
from ocync.transfer.ledger import Ledger, Wait
from ocync.transfer.result import Status
from passes import MemoryPlaces, mapping, no_sleep, run

if TYPE_CHECKING:
    from memory import MemoryRepository
    from ocync.errors import OcyncError

POLICY = RetryPolicy(attempts=2, sleep=no_sleep)


def to(repository: MemoryRepository, ledger: Ledger) -> Destination:
    return Destination(
        repository=repository,
        ledger=ledger,
        is_empty=False,
        expected=lambda _size: None,
        moved=lambda _size: None,
    )


@pytest.mark.parametrize("turns", range(12))
async def test_a_copy_that_is_cancelled_at_any_moment_leaves_no_claim_behind(turns: int) -> None:
    source, places = Place("source"), {name: Place(name) for name in "ab"}
    ledgers = {name: Ledger() for name in "ab"}
    blob = put_image(source.repository("app"), "1", b"x").blobs[1]
    # Both places have it in another repository: it is mounted there.
    for name, place in places.items():
        put_image(place.repository("other"), "1", b"x")
        ledgers[name].blob_arrived(place.repository("other"), blob.digest)
    destinations = [to(place.repository("app"), ledgers[name]) for name, place in places.items()]

    task = asyncio.ensure_future(bring_blob(blob, source.repository("app"), destinations, POLICY))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    for destination in destinations:
        claim = destination.ledger.claim_blob(destination.repository, blob.digest)
        assert not isinstance(claim, Wait)


@pytest.mark.parametrize("error", [NetworkError("reset"), NotFoundError("gone")], ids=["passing", "for good"])
async def test_a_blob_that_can_t_be_read_is_not_tried_once_for_every_image_that_needs_it(error: OcyncError) -> None:
    source, a = Place("source"), Place("a")
    repository = source.repository("app")
    for number in range(40):
        put_image(repository, f"t{number}", b"shared", f"own {number}".encode())
    bad = str(Digest.of(b"shared"))

    def step(called: str, _path: str, subject: str) -> tuple[int, OcyncError | None]:
        return 3, error if called == "read" and subject == bad else None

    source.step = step

    results = await run(MemoryPlaces(source, a), mapping("app"), at_once=20)

    assert {result.status for result in results.values()} == {Status.FAILED}
    assert {result.error.message for result in results.values() if result.error} == {error.message}
    reads = sum(count for (called, _, subject), count in source.calls.items() if (called, subject) == ("read", bad))
    # Two attempts, and two more at the end, where that may help.
    assert reads <= (4 if error.retryable else 1)


async def test_an_image_of_another_source_reads_the_blob_for_itself() -> None:
    source, a = Place("source"), Place("a")
    for path in ("bad", "good"):
        put_image(source.repository(path), "1", b"shared")
    shared = str(Digest.of(b"shared"))

    def step(called: str, path: str, subject: str) -> tuple[int, OcyncError | None]:
        return 5, NotFoundError("gone") if (called, path, subject) == ("read", "bad", shared) else None

    source.step = step

    results = await run(MemoryPlaces(source, a), mapping("bad"), mapping("good"))

    assert Counter(result.status for result in results.values()) == {Status.FAILED: 1, Status.SYNCED: 1}
    assert results["a/good:1"].status is Status.SYNCED


async def test_a_target_repository_that_refuses_does_not_fail_the_others_of_its_registry() -> None:
    source, a = Place("source"), Place("a")
    for path in ("bad", "good"):
        put_image(source.repository(path), "1", b"shared")

    def step(called: str, path: str, _subject: str) -> tuple[int, OcyncError | None]:
        return 5, NotFoundError("no such repository") if (called, path) == ("open", "bad") else None

    a.step = step

    results = await run(MemoryPlaces(source, a), mapping("bad"), mapping("good"))

    assert results["a/bad:1"].status is Status.FAILED
    assert results["a/good:1"].status is Status.SYNCED


async def test_within_one_registry_blobs_are_mounted_and_not_read() -> None:
    registry = Place("source")
    put_image(registry.repository("staging/app"), "1", b"a layer")
    work = mapping("staging/app", "source")
    work = type(work)(
        name=work.name,
        source=work.source,
        source_repository=work.source_repository,
        targets=((work.source, "prod/app"),),
    )

    results = await run(MemoryPlaces(registry), work)

    assert results["source/prod/app:1"].blobs.mounted == 2
    assert registry.count("read") == 0
    assert registry.tagged["prod/app"] == registry.tagged["staging/app"]
