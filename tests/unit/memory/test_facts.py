from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.memory.facts import (
    MAX_VALUE,
    Kind,
    Row,
    digest_key,
    pack_children,
    repository_key,
    unpack_children,
)
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor

digests = st.builds(Digest.of, st.binary(max_size=8), st.sampled_from(["sha256", "sha384", "sha512"]))
children = st.builds(
    Descriptor, media_type=st.text(max_size=40), digest=digests, size=st.integers(0, (1 << 63) - 1)
)


@given(st.lists(children, max_size=20))
def test_the_entries_of_an_index_come_back_as_they_were(entries: list[Descriptor]) -> None:
    assert unpack_children(pack_children(entries)) == tuple(entries)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_entries_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack_children(value)


@given(
    st.none() | st.integers() | st.text(min_size=1) | st.lists(st.none() | st.integers() | st.text(), min_size=1)
)
def test_json_of_another_shape_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack_children(zlib.compress(json.dumps(body).encode()))


def test_a_decompression_bomb_is_refused() -> None:
    bomb = zlib.compress(b" " * 64 * 1024 * 1024, 9)
    assert len(bomb) < 2 * MAX_VALUE

    with pytest.raises(ValueError, match="too long"):
        unpack_children(bomb)


@given(st.integers(0, 8 * 44 - 1))
def test_a_flipped_bit_is_noticed(bit: int) -> None:
    row = Row.of(Kind.CHILDREN, digest_key(Digest.of(b"index")), 0, b"0123456789", 1_700_000_000_000)
    text = bytearray(row.key + row.value + b"x")
    text[bit // 8] ^= 1 << bit % 8
    flipped = Row(row.kind, bytes(text[:33]), row.repository, bytes(text[33:43]), row.learned, row.mark)

    assert row.is_whole
    assert flipped.is_whole == (bit // 8 == 43)


@given(digests, digests)
def test_keys_tell_digests_apart(one: Digest, other: Digest) -> None:
    assert (digest_key(one) == digest_key(other)) == (one == other)


def test_a_repository_has_a_number_of_its_own_in_every_file() -> None:
    assert repository_key("a.example", "team/app") == repository_key("a.example", "team/app")
    assert len({repository_key("a.example", f"team/app{n}") for n in range(1000)}) == 1000
    assert repository_key("a.example", "b") != repository_key("a.example/b", "")
