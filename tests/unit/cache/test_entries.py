"""The serialisation of entries, and input that is damaged or hostile."""

from __future__ import annotations

import gzip
import io
import json
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.cache import entries
from ocync.cache.entries import CacheEntries, CacheEntry, EntryKind, Key
from ocync.cache.hints import Hints
from ocync.oci.digest import Digest

NOW = 1_700_000_000.0
HOST, INDEX, BLOB = "registry.example", Digest.of(b"index"), Digest.of(b"blob", "sha512")
GOOD: list[object] = ["hint", "level", "", "name", "12", NOW - 1, NOW]


def filled() -> CacheEntries:
    hints = Hints(clock=lambda: NOW)
    hints.learn_blob(HOST, "app", BLOB)
    hints.learn_blob(HOST, "other", BLOB)
    hints.forget_blob(HOST, "other", BLOB)
    hints.learn_seen(HOST, "app", "v1", INDEX)
    hints.learn_moved(HOST, "team/app", "v1", INDEX)
    hints.learn_looked_below(HOST, "team/app", "v1", INDEX)
    hints.learn_hint("level", HOST, "ä\n\ud800")
    return hints.all()


def line(fields: object) -> bytes:
    """Return a line with the right checksum."""
    text = json.dumps(fields).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def read(lines: bytes, now: float = NOW) -> CacheEntries:
    return entries.read(io.BytesIO(entries.HEADER + lines), now)[0]


def test_what_is_written_is_read() -> None:
    known = filled()

    assert len(known) == 6
    assert read(entries.lines_of(known)) == known
    assert entries.unpacked(entries.packed(known), NOW) == known


def test_equal_entries_pack_into_equal_bytes_without_a_time() -> None:
    known = filled()

    assert entries.packed(known) == entries.packed(dict(reversed(known.items())))


@given(st.data())
def test_the_later_of_two_entries_counts_and_equal_values_are_merged(data: st.DataObject) -> None:
    drawn = st.builds(
        lambda value, since, more: CacheEntry(value, since, since + more),
        st.sampled_from(["a", "b", None]),
        st.integers(0, 5),
        st.integers(0, 5),
    )
    one, other = data.draw(drawn), data.draw(drawn)

    both = entries.merged(one, other)

    assert entries.merged(None, one) == one
    assert both.learned == max(one.learned, other.learned)
    if one.value == other.value:
        assert both == (one.value, min(one.since, other.since), both.learned)
    elif one.learned != other.learned:
        assert both == max(one, other, key=lambda fact: fact.learned)
    else:
        assert both == other


@given(st.integers(0, 8 * len(line(GOOD)) - 1))
def test_only_the_line_with_a_flipped_bit_is_skipped(bit: int) -> None:
    spoilt = bytearray(line(GOOD))
    spoilt[bit // 8] ^= 1 << bit % 8
    other = line([*GOOD[:3], "other", *GOOD[4:]])

    found = read(other + bytes(spoilt) + b"\n" + other)

    # The end of a line is none of the fact, and hex digits may be of either case.
    assert found.pop((EntryKind.HINT, "level", "", "other")) == CacheEntry("12", NOW - 1, NOW)
    assert set(found.values()) <= {CacheEntry("12", NOW - 1, NOW)}


@pytest.mark.parametrize(
    "fields",
    [
        None,
        1,
        "text",
        {},
        [],
        GOOD[:6],
        [*GOOD, 1],
        ["of a later version", *GOOD[1:]],
        [1, *GOOD[1:]],
        [[], *GOOD[1:]],
        *([*GOOD[:at], odd, *GOOD[at + 1 :]] for at in (1, 2, 3) for odd in (None, 1, [], {})),
        *([*GOOD[:4], odd, *GOOD[5:]] for odd in (1, [], {})),
        *([*GOOD[:5], *odd] for odd in (("", NOW), (-1, NOW), (NOW + 1, NOW), (float("nan"), NOW), (0, None))),
        *([*GOOD[:5], 0, odd] for odd in (float("nan"), float("inf"), 10**400, 1 << 60, "1")),
    ],
)
def test_intact_lines_with_invalid_fields_are_skipped(fields: object) -> None:
    assert len(read(line(GOOD) + line(fields))) == 1


@pytest.mark.parametrize("content", [b"[" * 40_000, b"{", b"\xff", b"1" * 10_000, b"", b"nan"])
def test_lines_that_are_not_json_are_skipped(content: bytes) -> None:
    lines = b"%08x %b\n" % (zlib.crc32(content), content) + content + b"\n" + line(GOOD)

    assert len(read(lines)) == 1


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.text(), st.lists).map(line)), max_size=5)
)
def test_no_content_of_a_line_is_an_error(lines: list[bytes]) -> None:
    hints = Hints(clock=lambda: NOW)

    hints.add(read(b"\n".join(lines)))

    assert hints.holders(HOST, BLOB) == []


def test_entries_that_are_too_old_or_from_the_future_are_skipped() -> None:
    known = filled()
    lines = entries.lines_of(known)

    assert len(read(lines, NOW + entries.MAX_AGE)) == len(known)
    assert read(lines, NOW + entries.MAX_AGE + 1) == {}
    # Another clock may be a little ahead.
    assert len(read(lines, NOW - 60)) == len(known)
    assert read(lines, NOW - 3600) == {}


@pytest.mark.parametrize(
    "path", ["", "../app", "app pull", "app:pull,push repository:other", "app?x=y", "\ud800", "APP"]
)
def test_what_is_no_repository_is_never_asked_for_a_blob(path: str) -> None:
    hints = Hints(clock=lambda: NOW)
    hints.add(read(b"".join(line(["blob", HOST, each, str(BLOB), "", NOW, NOW]) for each in (path, "team/app"))))

    assert hints.holders(HOST, BLOB) == ["team/app"]


def test_an_invalid_digest_is_not_returned() -> None:
    hints = Hints(clock=lambda: NOW)
    hints.add(read(line(["moved", HOST, "app", "v1", "latest", NOW, NOW])))

    assert hints.moved(HOST, "app", "v1") is None


@pytest.mark.parametrize("begin", [b"", b"ocync-memory-3\n", b"ocync-memory-2", b"SQLite format 3\0", b"\0" * 64])
def test_another_format_is_refused(begin: bytes) -> None:
    with pytest.raises(ValueError, match="its format is unknown"):
        entries.read(io.BytesIO(begin), NOW)
    with pytest.raises(ValueError, match="its format is unknown"):
        entries.unpacked(gzip.compress(begin), NOW)


@given(st.binary(max_size=300))
def test_anything_but_a_packed_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it is "):
        entries.unpacked(data, NOW)


@given(st.data())
def test_a_state_that_is_cut_or_has_a_flipped_bit_is_refused_or_tells_less(data: st.DataObject) -> None:
    known = filled()
    whole = entries.packed(known)
    position = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[position] ^= 1 << data.draw(st.integers(0, 7))

    for spoilt in (bytes(broken), whole[:position]):
        try:
            found = entries.unpacked(spoilt, NOW)
        except ValueError:
            continue
        assert found.items() <= known.items()


@pytest.mark.parametrize("piece", [b"\0" * 1_000_000, b"\n" * 1_000_000, line([]) * 100_000])
def test_a_decompression_bomb_is_refused_before_it_fills_the_memory(piece: bytes) -> None:
    bomb = gzip.compress(entries.HEADER + piece * 100)
    assert len(bomb) < entries.MAX_BYTES

    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="too long"):
            entries.unpacked(bomb, NOW)
        assert tracemalloc.get_traced_memory()[1] < 3 * entries.MAX_READ
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b"\n", line([])], ids=["empty", "odd"])
def test_many_lines_of_nothing_are_refused(piece: bytes) -> None:
    with pytest.raises(ValueError, match="too long"):
        entries.unpacked(gzip.compress(entries.HEADER + piece * 500_000), NOW)


def test_of_too_many_bytes_the_latest_entries_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 100_000)
    now = [NOW]
    hints = Hints(clock=lambda: now[0])
    noise = random.Random(1)
    digests = [Digest("sha256", noise.randbytes(32).hex()) for _ in range(2000)]
    for digest in digests:
        now[0] += 1
        hints.learn_blob(HOST, "app", digest)

    cut = entries.packed(hints.all())

    assert len(cut) <= 100_000
    hints = Hints(clock=lambda: now[0])
    hints.add(entries.unpacked(cut, now[0]))
    there = [bool(hints.holders(HOST, digest)) for digest in digests]
    assert 200 < sum(there) < 1000
    assert all(there[-sum(there) :])


def test_of_too_many_entries_the_latest_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_ENTRIES", 10)
    known: dict[Key, CacheEntry] = {
        (EntryKind.HINT, "level", "", str(number)): CacheEntry("1", NOW + number, NOW + number)
        for number in range(30)
    }

    found = entries.unpacked(entries.packed(known), NOW + 30)

    assert sorted(int(name) for _, _, _, name in found) == list(range(20, 30))


def test_entries_about_blobs_are_dropped_before_those_about_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_ENTRIES", 10)
    now = [NOW]
    hints = Hints(clock=lambda: now[0])
    hints.learn_seen(HOST, "app", "v1", INDEX)
    for number in range(30):
        now[0] += 1
        hints.learn_blob(HOST, "app", Digest.of(b"%d" % number))

    found = Hints(clock=lambda: now[0])
    found.add(entries.unpacked(entries.packed(hints.all()), now[0]))

    assert found.first_seen(HOST, "app", "v1", INDEX) == NOW
    assert len(found.all()) == 10
