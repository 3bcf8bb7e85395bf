"""What header fields say: warnings of registries, and whether a 206 is the rest of a blob."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.headers import MAX_WARNINGS, asking_from, is_rest, warnings
from ocync.registry.http.message import Headers


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(['299 - "one"'], ["one"], id="one"),
        pytest.param(['299 - "one"', '299 - "two"'], ["one", "two"], id="two fields"),
        pytest.param(['299 - "one", 299 - "two, with a comma"'], ["one", "two, with a comma"], id="one field"),
        pytest.param([r'299 - "a \"quoted\" \\ word"'], ['a "quoted" \\ word'], id="escapes"),
        pytest.param(['199 - "x"', '299 agent "x"', "299 - x", '299 - "x', ""], [], id="other forms"),
        pytest.param(['299 - "' + "x" * MAX_WARNINGS + '"', '299 - "y"'], [], id="too long"),
    ],
)
def test_texts_are_read_from_the_one_allowed_form(values: list[str], expected: list[str]) -> None:
    assert list(warnings(values)) == expected


@given(st.lists(st.text(max_size=300), max_size=20))
def test_any_warning_is_read_or_left_out(values: list[str]) -> None:
    assert sum(len(text) for text in warnings(values)) <= MAX_WARNINGS


@given(st.text(alphabet=st.characters(blacklist_characters='"\\', min_codepoint=32), max_size=100))
def test_a_text_comes_back_as_it_was_quoted(text: str) -> None:
    assert list(warnings([f'299 - "{text}"'])) == [text]


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
