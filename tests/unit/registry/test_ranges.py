"""Whether a 206 is the rest of a blob, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.http.message import Headers
from ocync.registry.ranges import asking_from, is_rest


def test_all_from_a_byte_on_is_asked_for_and_for_the_whole_nothing() -> None:
    assert asking_from(0) == {}
    assert asking_from(700) == {"Range": "bytes=700-"}


def headers(**fields: str) -> Headers:
    return Headers([(name.replace("_", "-"), value) for name, value in fields.items()])


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_the_exact_rest_is_taken(start: int, length: int) -> None:
    size = start + length

    assert is_rest(headers(content_range=f"bytes {start}-{size - 1}/{size}"), start, size)
    assert is_rest(headers(content_range=f"Bytes {start}-{size - 1}/*", content_length=str(length)), start, size)


@given(*[st.integers(0, 10**6)] * 5)
def test_nothing_else_is_taken(start: int, size: int, first: int, last: int, total: int) -> None:
    found = is_rest(headers(content_range=f"bytes {first}-{last}/{total}"), start, size)

    assert found == ((first, last, total) == (start, size - 1, size))


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    assert is_rest(headers(content_range=text), 5, 10) in (True, False)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content_range": "bytes 5-9/*", "content_encoding": "gzip"},
        {"content_range": "bytes 5-9/80", "content_encoding": "gzip"},
        {"content_range": "bytes 5-9/10", "content_encoding": "gzip", "content_length": "40"},
        {"content_range": "bytes 5-9/10", "content_length": "6"},
        {"content_range": "bytes */10"},
        {"content_range": "bytes 5-9"},
        {"content_range": "items 5-9/10"},
        {"content_range": "bytes \u0665-9/10"},
        {"content_type": "multipart/byteranges; boundary=x"},
        {"content_range": "bytes " + "5" * 5000 + "-9/10"},
    ],
)
def test_what_only_looks_like_it_is_not_taken(fields: dict[str, str]) -> None:
    assert not is_rest(headers(**fields), 5, 10)


def test_the_part_of_a_whole_that_is_as_long_as_the_blob_is_one_of_the_blob_whatever_its_label() -> None:
    assert is_rest(headers(content_range="bytes 5-9/10", content_encoding="gzip", content_length="5"), 5, 10)
