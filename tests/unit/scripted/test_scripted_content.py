"""Content that is kept as bytes, as a file, as a formula, or not at all."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted.content import Bytes, Discarded, FileContent, GeneratedBlob

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 2_500_000
WHOLE = b"".join(GeneratedBlob(SIZE, 7).pieces(0, SIZE))


def test_generated_content_is_the_same_each_time_and_of_its_size() -> None:
    assert len(WHOLE) == SIZE
    assert GeneratedBlob(SIZE, 7).digest() == f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"
    assert hashlib.sha256(WHOLE).hexdigest().startswith("0772895a9bded158")
    assert WHOLE[:1_000_000] != WHOLE[1_048_576:2_048_576]


def test_seeds_make_different_content() -> None:
    assert GeneratedBlob(100, 1).digest() != GeneratedBlob(100, 2).digest()


@given(st.integers(0, SIZE), st.integers(0, SIZE + 100))
def test_any_part_of_generated_content_equals_that_part_of_the_whole(start: int, stop: int) -> None:
    assert b"".join(GeneratedBlob(SIZE, 7).pieces(start, stop)) == WHOLE[start:stop]


@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_parts_of_bytes_are_parts_of_the_whole(start: int, stop: int) -> None:
    assert b"".join(Bytes(WHOLE).pieces(start, stop)) == WHOLE[start:stop]


def test_parts_of_a_file_are_parts_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(WHOLE)
    content = FileContent(tmp_path / "blob")
    assert content.size == SIZE
    assert b"".join(content.pieces(1_000, 700_001)) == WHOLE[1_000:700_001]


def test_a_large_generated_blob_needs_little_memory() -> None:
    tracemalloc.start()
    try:
        assert sum(map(len, GeneratedBlob(1 << 30, 3).pieces(0, 1 << 30))) == 1 << 30
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_discarded_content_cannot_be_read() -> None:
    with pytest.raises(LookupError, match="discarded"):
        Discarded(10).pieces(0, 10)
