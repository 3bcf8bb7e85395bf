"""What is known as one compressed text, and what others may have made of it."""

from __future__ import annotations

import gzip
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.memory import state, tables
from ocync.memory.facts import Belief, Kind
from ocync.memory.memory import Memory
from ocync.memory.tables import Changes
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor

PLACE, INDEX, BLOB = "registry.example", Digest.of(b"index"), Digest.of(b"blob", "sha512")
CHILD = Descriptor(media_type="a/b", digest=Digest.of(b"child"), size=7)


def filled() -> Memory:
    memory = Memory(clock=lambda: 1_700_000_000.0)
    memory.learn_children(INDEX, [CHILD])
    memory.learn_artifact_set(PLACE, "app", INDEX, "fingerprint")
    memory.learn_no_referrers(PLACE, "app", INDEX)
    memory.learn_blob(PLACE, "app", BLOB)
    memory.learn_manifest(PLACE, "other/app", INDEX)
    memory.learn_owned(PLACE, "owned")
    memory.learn_hint("level", PLACE, "ä")
    memory.forget_repository(PLACE, "other/app")
    return memory


def merged(packed: bytes) -> Memory:
    connection = tables.in_memory()
    tables.merge(connection, state.unpack(packed))
    return Memory(ttl=3600.0, clock=lambda: 1_700_000_001.0, connection=connection)


def text(*lines: object, form: str = state.FORMAT) -> bytes:
    body = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in (form, *lines))
    return gzip.compress(body.encode())


def test_what_is_packed_is_known_after_unpacking() -> None:
    known = filled().all()

    assert state.unpack(state.pack(known)) == known
    memory = merged(state.pack(known))
    assert memory.children(INDEX) == (CHILD,)
    assert memory.artifact_set(PLACE, "app", INDEX) == "fingerprint"
    assert memory.has_no_referrers(PLACE, "app", INDEX)
    assert memory.blob(PLACE, "app", BLOB) is Belief.FRESH
    assert memory.is_owned(PLACE, "owned")
    assert memory.hint("level", PLACE) == "ä"


def test_the_same_facts_are_the_same_bytes_and_hold_no_time_of_packing() -> None:
    known = filled().all()
    backwards = Changes(dict(reversed(known.facts.items())), dict(reversed(known.repositories.items())))

    assert state.pack(known) == state.pack(backwards)


def test_of_two_facts_the_later_one_stays() -> None:
    now = [1_700_000_000.0]
    old, new = (Memory(clock=lambda: now[0]) for _ in range(2))
    old.learn_artifact_set(PLACE, "app", INDEX, "old")
    now[0] += 1
    new.learn_artifact_set(PLACE, "app", INDEX, "new")

    for first, second in ((old, new), (new, old)):
        connection = tables.in_memory()
        for each in (first, second):
            tables.merge(connection, state.unpack(state.pack(each.all())))
        memory = Memory(ttl=60.0, clock=lambda: now[0], connection=connection)
        assert memory.artifact_set(PLACE, "app", INDEX) == "new"


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
        assert all(row is not None and row.is_whole for row in changes.facts.values())


rows = st.lists(st.none() | st.integers() | st.text(max_size=20) | st.lists(st.integers(), max_size=2), max_size=7)


@given(st.lists(rows, max_size=5))
def test_rows_of_any_shape_are_left_out_and_never_an_error(lines: list[object]) -> None:
    connection = tables.in_memory()

    tables.merge(connection, state.unpack(text(*lines, "{", "", "[" * 10_000)))

    assert repr(Memory(connection=connection)).startswith("<Memory: ")


def test_facts_of_unknown_kinds_and_repositories_are_left_out() -> None:
    good = [Kind.HINT, "00", 0, "00", 1]
    odd: list[list[object]] = [
        [99, "00", 0, "00", 1],
        [Kind.BLOB, "00", 12345, "00", 1],
        [Kind.HINT, "00", 1 << 70, "00", 1],
        [Kind.HINT, "00", 0, "00", 1 << 70],
        [Kind.HINT, "00", 0, "00", -1],
        [Kind.HINT, "0" * 10_000, 0, "00", 1],
        [Kind.HINT, "\N{SNOWMAN}", 0, "00", 1],
    ]

    assert len(state.unpack(text(good, *odd)).facts) == 1


def test_a_state_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="another format"):
        state.unpack(text(form="ocync-state-2"))


@pytest.mark.parametrize("line", [True, False], ids=["one line", "many lines"])
def test_a_decompression_bomb_is_refused_before_it_fills_the_memory(line: bool) -> None:
    piece = b" " * 1_000_000 if line else b"[]\n" * 333_333
    bomb = gzip.compress(f"{state.FORMAT}\n".encode() + piece * 200)
    assert len(bomb) < state.MAX_PACKED

    started = time.monotonic()
    with pytest.raises(ValueError, match="longer than any state"):
        state.unpack(bomb)
    assert time.monotonic() - started < 30


def test_of_too_much_the_latest_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_PACKED", 20_000)
    now = [1_700_000_000.0]
    memory = Memory(clock=lambda: now[0])
    noise = random.Random(1)
    digests = [Digest("sha256", noise.randbytes(32).hex()) for _ in range(2000)]
    for digest in digests:
        now[0] += 1
        memory.learn_blob(PLACE, "app", digest)

    packed = state.pack(memory.all())

    assert len(packed) <= 20_000
    connection = tables.in_memory()
    tables.merge(connection, state.unpack(packed))
    memory = Memory(connection=connection)
    there = [bool(memory.holders(PLACE, digest)) for digest in digests]
    assert 200 < sum(there) < 1000
    assert all(there[-sum(there) :])
