"""Unpacking gzip that comes in pieces."""

from __future__ import annotations

import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.content_encoding import Gunzip


@given(st.lists(st.binary(max_size=2000), max_size=4), st.data())
def test_members_cut_anywhere_come_out_whole(members: list[bytes], data: st.DataObject) -> None:
    packed = b"".join(gzip.compress(member) for member in members)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=6)))
    unpacker = Gunzip()

    edges = [0, *cuts, len(packed)]
    out = [piece for start, end in itertools.pairwise(edges) for piece in unpacker.feed(packed[start:end])]

    assert b"".join(out) == b"".join(members)
    assert unpacker.complete


@given(st.binary(min_size=1, max_size=500), st.integers(1, 30))
def test_what_ends_early_is_not_complete(data: bytes, missing: int) -> None:
    packed = gzip.compress(data)
    unpacker = Gunzip()

    list(unpacker.feed(packed[: max(1, len(packed) - missing)]))

    assert not unpacker.complete


@given(st.binary(max_size=300))
def test_garbage_is_an_error_or_incomplete(data: bytes) -> None:
    unpacker = Gunzip()
    try:
        list(unpacker.feed(data))
    except zlib.error:
        return
    assert not data or not unpacker.complete or data[:2] == b"\x1f\x8b"


def test_a_bomb_comes_in_bounded_pieces() -> None:
    bomb = gzip.compress(bytes(50_000_000))

    assert max(len(piece) for piece in Gunzip().feed(bomb)) <= 256 * 1024


def test_what_follows_a_member_has_to_be_one() -> None:
    with pytest.raises(zlib.error):
        list(Gunzip().feed(gzip.compress(b"x") + b"trailing"))


def test_nothing_is_complete() -> None:
    assert Gunzip().complete
