"""What a pass has seen at a host, and who brings what there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from memory import Place, put_image, put_index
from ocync.cache.hints import Hints
from ocync.lib.errors import NetworkError, NotFoundError, QuotaError, ServerError
from ocync.oci.digest import Digest
from ocync.transfer.claims import Claims, Commit, Flight, Lead, Present, Wait
from scheduling import run

if TYPE_CHECKING:
    from memory import MemoryRepository
    from ocync.lib.errors import OcyncError
    from ocync.transfer.claims import Present as _Present

BLOB = Digest.of(b"a layer")


def host(**how: bool) -> tuple[Claims, MemoryRepository, MemoryRepository]:
    """Return the claims of a place, and two repositories of it."""
    at = Place("a", **how)
    return Claims("a"), at.repository("one"), at.repository("two")


def claim(claims: Claims, repository: MemoryRepository, **how: bool) -> _Present | Wait | Commit | Lead:
    return claims.claim_blob(repository, BLOB, source="source", **how)


# Evidence


async def test_a_manifest_lacks_each_part_that_this_pass_has_not_seen_in_this_very_repository() -> None:
    source = Place("source").repository("app")
    index = put_index(source, "1", (b"amd64",), (b"arm64",))
    child = await source.manifest(str(index.children[0].digest))
    claims, one, two = host()

    assert claims.lacking(one, index) == [each.digest for each in index.children]
    assert claims.lacking(one, child) == [blob.digest for blob in child.blobs]
    for blob in child.blobs:
        claims.blob_seen(two, blob.digest, is_new=True)
    assert len(claims.lacking(one, child)) == len(child.blobs)
    for blob in child.blobs:
        claims.blob_seen(one, blob.digest)
    assert claims.lacking(one, child) == []
    claims.manifest_seen(one, child.digest)
    claims.manifest_seen(two, index.children[1].digest)
    assert claims.lacking(one, index) == [index.children[1].digest]


async def test_what_an_earlier_pass_has_seen_is_a_hint_and_no_evidence() -> None:
    memory = Hints()
    memory.learn_blob("a", "one", BLOB)
    _, one, two = host()
    claims = Claims("a", memory=memory)
    image = put_image(Place("source").repository("app"), "1", b"a layer")

    known, hinted = claim(claims, one), claim(claims, two, alone=True)

    assert isinstance(known, Lead)
    assert (known.is_known, known.holder, known.hint) == (True, None, None)
    assert isinstance(hinted, Lead)
    assert (hinted.is_known, hinted.holder, hinted.hint) == (False, None, "one")
    assert BLOB in claims.lacking(one, image)
    assert not claims.has_anywhere(BLOB)


async def test_hints_that_were_wrong_are_forgotten_or_where_none_was_ever_right_not_asked_for() -> None:
    memory = Hints()
    for number in range(3):
        memory.learn_blob("a", "one", Digest.of(bytes([number])))
    _, _, two = host()
    claims = Claims("a", memory=memory)

    def hint(number: int) -> str | None:
        lead = claims.claim_blob(two, Digest.of(bytes([number])), source="source", alone=True)
        assert isinstance(lead, Lead)
        return lead.hint

    claims.hint_was_right("one", Digest.of(bytes([0])))
    claims.hint_was_wrong("one", Digest.of(bytes([1])))
    assert (hint(1), hint(2)) == (None, "one")
    other = Claims("a", memory=memory)
    other.hint_was_wrong("one", Digest.of(bytes([0])))
    claims = other
    assert hint(2) is None
    assert memory.holders("a", Digest.of(bytes([2]))) == ["one"]


async def test_what_was_lost_is_missing_again_and_is_sent_and_not_mounted() -> None:
    claims, one, two = host()
    claims.blob_seen(one, BLOB)
    claims.blob_seen(two, BLOB)
    claims.manifest_seen(one, Digest.of(b"m"))
    claims.lost(one, BLOB)
    claims.lost(one, Digest.of(b"m"))

    assert not claims.has_blob(one, BLOB)
    assert not claims.has_manifest(one, Digest.of(b"m"))
    assert claims.has_blob(two, BLOB)
    lead = claim(claims, one)
    assert isinstance(lead, Lead)
    assert (lead.holder, lead.hint) == (None, None)


async def test_a_repository_is_empty_until_something_is_found_there_that_nobody_has_brought() -> None:
    claims, one, two = host()
    claims.found_empty(one)
    claims.blob_seen(one, BLOB, is_new=True)
    assert claims.is_empty(one)
    claims.blob_seen(one, Digest.of(b"old"))
    assert not claims.is_empty(one)
    # A list that comes after others have written there tells nothing.
    claims.blob_seen(two, BLOB, is_new=True)
    claims.found_empty(two)
    assert not claims.is_empty(two)


async def test_each_blob_is_told_of_when_it_is_seen() -> None:
    told: list[Digest] = []
    _, one, two = host()
    claims = Claims("a", arrived=told.append)
    claims.blob_seen(one, BLOB)
    claims.blob_seen(two, Digest.of(b"another"), is_new=True)

    assert told == [BLOB, Digest.of(b"another")]


# Who brings


async def test_one_brings_a_blob_to_a_host_and_the_others_wait_and_then_mount() -> None:
    claims, one, two = host()
    lead = claim(claims, one)
    assert isinstance(lead, Lead)
    assert claim(claims, one) == claim(claims, two) == Wait(lead.flight)
    claims.blob_seen(one, BLOB, is_new=True)
    claims.release(one, BLOB, lead.flight)
    claims.release(one, BLOB, lead.flight)

    assert lead.flight.done.done()
    assert claim(claims, one) == Present()
    mount = claim(claims, two)
    assert isinstance(mount, Lead)
    assert mount.holder is one


async def test_who_brings_it_alone_takes_no_claim_from_another() -> None:
    claims, one, two = host()
    lead, alone = claim(claims, one), claim(claims, one, alone=True)
    assert isinstance(lead, Lead)
    assert isinstance(alone, Lead)
    claims.release(one, BLOB, alone.flight)
    assert claim(claims, one) == claim(claims, two) == Wait(lead.flight)
    claims.release(one, BLOB, lead.flight)
    assert isinstance(claim(claims, two), Lead)


async def test_where_mounts_need_a_commit_who_comes_later_waits_for_it() -> None:
    claims, one, two = host(mounts_after_commit=True)
    first = claims.mounts.begin(one, [BLOB], is_immediate=True)
    second = claims.mounts.begin(two, [BLOB], is_immediate=True)
    assert first is not None
    claims.blob_seen(one, BLOB, is_new=True)

    assert claims.claim_blob(two, BLOB, source="source", unit=second) == Commit(first.ended)
    claims.mounts.end(first, committed=True)
    assert isinstance(claims.claim_blob(two, BLOB, source="source", unit=second), Lead)


async def test_one_puts_a_manifest() -> None:
    claims, one, two = host()
    lead = claims.claim_manifest(one, BLOB)
    assert isinstance(lead, Lead)
    assert claims.claim_manifest(one, BLOB) == Wait(lead.flight)
    other = claims.claim_manifest(two, BLOB)
    assert isinstance(other, Lead)
    claims.manifest_absent(one, BLOB)
    assert claims.is_absent(one, BLOB)
    claims.manifest_seen(one, BLOB)
    claims.release(one, BLOB, lead.flight)
    assert claims.claim_manifest(one, BLOB) == Present()
    assert not claims.is_absent(one, BLOB)


# Flights


@pytest.mark.parametrize(
    ("source", "is_slow", "seconds"),
    [
        ("source", True, 1000.0),
        ("other", True, 0.5),
        ("other", False, 1000.0),
        ("other", None, 10.0),
    ],
    ids=["same source", "slow", "not slow", "not begun"],
)
def test_only_who_has_another_source_leaves_a_blob_whose_source_drips_or_that_is_not_begun(
    source: str, is_slow: bool | None, seconds: float
) -> None:
    async def play() -> tuple[bool, float]:
        loop = asyncio.get_running_loop()
        flight = Flight("source")
        if is_slow is not None:
            flight.is_source_slow = lambda: is_slow
        loop.call_later(1000.0, flight.done.set_result, None)
        return await flight.wait(source), loop.time()

    came, when = run(play())

    assert came is (seconds == 1000.0)
    assert seconds <= when < seconds + 1.1


def test_a_wait_for_a_flight_ends_with_it() -> None:
    async def play() -> float:
        flight = Flight("source")
        flight.is_source_slow = lambda: False
        asyncio.get_running_loop().call_later(0.25, flight.done.set_result, None)
        assert await flight.wait("other")
        return asyncio.get_running_loop().time()

    assert run(play()) < 0.3


# Failures


async def test_a_failure_is_that_of_one_source_and_one_repository_until_all_is_tried_again() -> None:
    claims, one, two = host()
    source, other = (Place(name).repository("app") for name in ("source", "other"))
    claims.failed(source, one, BLOB, NotFoundError("gone"))

    with pytest.raises(NotFoundError, match="gone"):
        claims.check_failure(source, one, BLOB)
    claims.check_failure(source, two, BLOB)
    claims.check_failure(other, one, BLOB)
    claims.forget_failures()
    claims.check_failure(source, one, BLOB)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ServerError("disk full", host="a"), True),
        (QuotaError("project full", host="a"), True),
        (NotFoundError("no such repository", host="a"), False),
        (NetworkError("reset", host="source"), False),
    ],
    ids=str,
)
async def test_a_host_that_takes_nothing_is_sent_one_blob_now_and_then(error: OcyncError, *, counts: bool) -> None:
    now = 0.0
    claims = Claims("a", clock=lambda: now)

    def is_let_through() -> bool:
        try:
            claims.check_refusal()
        except type(error) as refusal:
            assert str(error.message) in refusal.message
            return False
        return True

    assert is_let_through()
    for _ in range(8):
        claims.refused(error)
    assert is_let_through() is not counts
    now = 20.0
    assert is_let_through()
    assert is_let_through() is not counts
    claims.took()
    assert is_let_through()


async def test_upload_sessions_are_bounded_for_each_source() -> None:
    claims, one, _ = host()
    source, other = (Place(name, slots=2).repository("app") for name in ("source", "other"))

    assert claims.sessions(source, one) is claims.sessions(source, one)
    assert claims.sessions(source, one) is not claims.sessions(other, one)
    assert claims.sessions(source, one).limit == 4
