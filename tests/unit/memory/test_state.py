"""What is known as one compressed text, and what others may have made of it."""

from __future__ import annotations

import gzip
import json
import random
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.memory import state, tables
from ocync.memory.facts import Belief, Kind, Row
from ocync.memory.memory import Memory
from ocync.oci.digest import Digest

PLACE, INDEX, BLOB = "registry.example", Digest.of(b"index"), Digest.of(b"blob", "sha512")


def filled() -> Memory:
    memory = Memory(clock=lambda: 1_700_000_000.0)
    memory.learn_artifacts(PLACE, "app", INDEX, [BLOB])
    memory.learn_no_referrers(PLACE, "app", INDEX)
    memory.learn_blob(PLACE, "app", BLOB)
    memory.learn_manifest(PLACE, "other/app", INDEX)
    memory.learn_owned(PLACE, "owned")
    memory.learn_hint("level", PLACE, "ä")
    memory.forget_repository(PLACE, "other/app")
    return memory


def merged(text: bytes) -> Memory:
    connection = tables.in_memory()
    tables.merge(connection, state.unpack(text))
    return Memory(ttl=3600.0, clock=lambda: 1_700_000_001.0, connection=connection)


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BI", kind, len(content)) + content


def fact(kind: int, key: bytes, repository: int, learned: int, *, length: int | None = None) -> bytes:
    """Return a record of a fact; `length` is what it says of its key, where that is a lie."""
    return record(2, struct.pack("<BqqH", kind, repository, learned, len(key) if length is None else length) + key)


def packed(*records: bytes, form: bytes = state.FORMAT) -> bytes:
    return gzip.compress(form + b"".join(records))


def test_what_is_packed_is_known_after_unpacking() -> None:
    known = filled().all()

    assert state.unpack(state.pack(known)) == known
    memory = merged(state.pack(known))
    assert memory.has_artifacts(PLACE, "app", INDEX, [BLOB])
    assert memory.has_no_referrers(PLACE, "app", INDEX)
    assert memory.blob(PLACE, "app", BLOB) is Belief.FRESH
    assert memory.is_owned(PLACE, "owned")
    assert memory.hint("level", PLACE) == "ä"


def test_the_same_facts_are_the_same_bytes_and_hold_no_time_of_packing() -> None:
    assert state.pack(filled().all()) == state.pack(filled().all())


def test_of_two_facts_the_later_one_stays() -> None:
    now = [1_700_000_000.0]
    old, new = (Memory(clock=lambda: now[0]) for _ in range(2))
    old.learn_artifacts(PLACE, "app", INDEX, [INDEX])
    now[0] += 1
    new.learn_artifacts(PLACE, "app", INDEX, [BLOB])

    for first, second in ((old, new), (new, old)):
        connection = tables.in_memory()
        for each in (first, second):
            tables.merge(connection, state.unpack(state.pack(each.all())))
        memory = Memory(ttl=60.0, clock=lambda: now[0], connection=connection)
        assert memory.has_artifacts(PLACE, "app", INDEX, [BLOB])


@given(st.binary(max_size=300))
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it is "):
        state.unpack(data)


@given(st.data())
def test_a_state_that_is_cut_or_has_a_flipped_bit_is_refused_or_another_one(data: st.DataObject) -> None:
    whole = state.pack(filled().all())
    position = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[position] ^= 1 << data.draw(st.integers(0, 7))

    for spoilt in (bytes(broken), whole[:position]):
        try:
            changes = state.unpack(spoilt)
        except ValueError:
            continue
        assert all(row is not None and Row.read(row.fields) == row for row in changes.facts.values())


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=60)), max_size=5))
def test_records_of_any_content_are_left_out_and_never_an_error(records: list[tuple[int, bytes]]) -> None:
    connection = tables.in_memory()

    tables.merge(connection, state.unpack(packed(*(record(*each) for each in records))))

    assert repr(Memory(connection=connection)).startswith("<Memory: ")


@pytest.mark.parametrize("named", [None, 1, [], ["a", "b"], ["a", 1, 1], ["a", "b", -1], ["a" * 2000, "b", 1]])
def test_repositories_of_another_shape_are_left_out(named: object) -> None:
    content = json.dumps(named).encode()

    assert state.unpack(packed(record(1, content), record(1, b"{"), record(1, b"[" * 50_000))).repositories == {}


def test_facts_of_unknown_kinds_and_repositories_are_left_out() -> None:
    good = fact(Kind.HINT, b"key", 0, 1)
    odd = [
        fact(99, b"key", 0, 1),
        fact(3, b"of an earlier version", 0, 1),
        fact(Kind.BLOB, b"key", 12345, 1),
        fact(Kind.HINT, b"other", 0, 1 << 60),
        fact(Kind.HINT, b"other", 0, -1),
        fact(Kind.HINT, b"o" * 10_000, 0, 1),
        fact(Kind.HINT, b"other", 0, 1, length=6),
        record(2, b"short"),
        record(77, b"of a later version"),
    ]

    assert len(state.unpack(packed(good, *odd)).facts) == 1


@pytest.mark.parametrize("tail", [b"\0", struct.pack("<BI", 2, 1 << 31), struct.pack("<BI", 2, 5) + b"four"])
def test_a_record_that_is_cut_is_damage(tail: bytes) -> None:
    with pytest.raises(ValueError, match="it is damaged"):
        state.unpack(packed(fact(Kind.HINT, b"key", 0, 1), tail))


def test_a_state_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="another format"):
        state.unpack(packed(form=b"ocync-state-2\n"))


@pytest.mark.parametrize("piece", [b"\0" * 1_000_000, record(9, b"") * 200_000], ids=["bytes", "records"])
def test_a_decompression_bomb_is_refused_before_it_fills_the_memory(piece: bytes) -> None:
    bomb = packed(*([piece] * 100))
    assert len(bomb) < state.MAX_PACKED

    started = time.monotonic()
    with pytest.raises(ValueError, match="longer than any state"):
        state.unpack(bomb)
    assert time.monotonic() - started < 10


def test_many_records_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than any state"):
        state.unpack(packed(record(9, b"") * 500_000))


def test_of_too_much_the_latest_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_PACKED", 20_000)
    now = [1_700_000_000.0]
    memory = Memory(clock=lambda: now[0])
    noise = random.Random(1)
    digests = [Digest("sha256", noise.randbytes(32).hex()) for _ in range(2000)]
    for digest in digests:
        now[0] += 1
        memory.learn_blob(PLACE, "app", digest)

    cut = state.pack(memory.all())

    assert len(cut) <= 20_000
    connection = tables.in_memory()
    tables.merge(connection, state.unpack(cut))
    memory = Memory(connection=connection)
    there = [bool(memory.holders(PLACE, digest)) for digest in digests]
    assert 200 < sum(there) < 1000
    assert all(there[-sum(there) :])
