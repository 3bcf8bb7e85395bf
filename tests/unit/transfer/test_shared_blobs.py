"""Blobs that many images need: brought once, failed once, and never waited for without end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image
from ocync.lib.errors import ErrorKind, NetworkError, NotFoundError, QuotaError, ServerError
from ocync.oci.digest import Digest
from ocync.registry.retry import RetryPolicy
from ocync.transfer.blob import bring_blob
from ocync.transfer.blob_reads import BlobReads
from ocync.transfer.claims import Claims, Lead
from ocync.transfer.destination import Destination
from ocync.transfer.result import Status
from passes import MemoryPlaces, mapping, no_sleep, run

if TYPE_CHECKING:
    from ocync.lib.errors import OcyncError

CONFIG = str(put_image(Place("any").repository("any"), "1", b"one layer").blobs[0].digest)
"""The one that all images of one layer have here."""
POLICY = RetryPolicy(attempts=2, sleep=no_sleep)


@pytest.mark.parametrize("turns", range(14))
@pytest.mark.parametrize("mounts", [True, False], ids=["mounted", "sent"])
async def test_a_copy_that_is_cancelled_at_any_moment_leaves_no_claim_behind(turns: int, *, mounts: bool) -> None:
    source, host, claims = Place("source"), Place("a", mounts=mounts), Claims("a")
    blob = put_image(source.repository("app"), "1", b"x").blobs[1]
    put_image(host.repository("other"), "1", b"x")
    claims.blob_seen(host.repository("other"), blob.digest)
    repository, reads = host.repository("app"), BlobReads(POLICY)
    destination = Destination(repository=repository, claims=claims)

    task = asyncio.ensure_future(bring_blob(blob, source.repository("app"), destination, reads))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    claims.lost(repository, blob.digest)
    assert isinstance(claims.claim_blob(repository, blob.digest, source="source"), Lead)
    assert claims.sessions(source.repository("app"), repository).statistics.held == 0
    assert source.slots.statistics.held == host.slots.statistics.held == 0
    assert repr(reads) == "<BlobReads: 0 of them, 0 kept on disk>"


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
        targets=((work.source, work.source.repository("prod/app")),),
    )

    results = await run(MemoryPlaces(registry), work)

    assert results["source/prod/app:1"].blobs.mounted == 2
    assert registry.count("read") == 0
    assert registry.tagged["prod/app"] == registry.tagged["staging/app"]


@pytest.mark.parametrize("operation", ["commit", "open"])
async def test_a_place_that_takes_no_blobs_is_not_sent_each_of_them_again_and_again(operation: str) -> None:
    """A full disk answers each PUT with 500: all bytes would be read ten times from the source."""
    source, a, b = Place("source"), Place("a"), Place("b")
    repository = source.repository("app")
    for number in range(200):
        put_image(repository, f"t{number}", f"own {number}".encode())

    def step(called: str, _path: str, subject: str) -> tuple[int, OcyncError | None]:
        return 3, ServerError("disk full", host="a") if called == operation and subject != CONFIG else None

    a.step = step

    results = await run(MemoryPlaces(source, a, b), mapping("app", "a", "b"), at_once=10)

    assert Counter((r.target_host, r.status) for r in results.values()) == {
        ("a", Status.FAILED): 200,
        ("b", Status.SYNCED): 200,
    }
    assert all("disk full" in result.error.message for result in results.values() if result.error)
    assert a.count(operation) < 150


async def test_a_place_that_is_full_for_good_is_not_sent_each_blob_to_learn_it() -> None:
    source, a = Place("source"), Place("a")
    repository = source.repository("app")
    for number in range(200):
        put_image(repository, f"t{number}", f"own {number}".encode())

    def step(called: str, _path: str, subject: str) -> tuple[int, OcyncError | None]:
        return 3, QuotaError("project full", host="a") if called == "commit" and subject != CONFIG else None

    a.step = step

    results = await run(MemoryPlaces(source, a), mapping("app"), at_once=10)

    assert {result.error.kind for result in results.values() if result.error} == {ErrorKind.QUOTA}
    assert len(results) == 200
    assert a.count("commit") < 40


async def test_a_place_that_takes_blobs_again_gets_them_at_the_second_try() -> None:
    source, a = Place("source"), Place("a")
    repository = source.repository("app")
    for number in range(200):
        put_image(repository, f"t{number}", f"own {number}".encode())
    left = [20]

    def step(called: str, _path: str, subject: str) -> tuple[int, OcyncError | None]:
        if called == "commit" and subject != CONFIG and left[0] > 0:
            left[0] -= 1
            return 1, ServerError("disk full", host="a")
        return 1, None

    a.step = step

    results = await run(MemoryPlaces(source, a), mapping("app"), at_once=10)

    assert {result.status for result in results.values()} == {Status.SYNCED}


async def test_a_source_that_fails_is_no_reason_to_spare_the_target() -> None:
    source, a = Place("source"), Place("a")
    for path in ("bad", "good"):
        for number in range(40):
            put_image(source.repository(path), f"t{number}", f"own {number}".encode())

    def step(called: str, path: str, _subject: str) -> tuple[int, OcyncError | None]:
        return 1, ServerError("down", host="source") if (called, path) == ("read", "bad") else None

    source.step = step

    results = await run(MemoryPlaces(source, a), mapping("bad"), mapping("good"), at_once=10)

    assert {r.status for r in results.values() if r.mapping == "good"} == {Status.SYNCED}
