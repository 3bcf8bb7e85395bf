"""Warnings of registries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.notices import MAX_BYTES, texts


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(['299 - "one"'], ["one"], id="one"),
        pytest.param(['299 - "one"', '299 - "two"'], ["one", "two"], id="two fields"),
        pytest.param(['299 - "one", 299 - "two, with a comma"'], ["one", "two, with a comma"], id="one field"),
        pytest.param([r'299 - "a \"quoted\" \\ word"'], ['a "quoted" \\ word'], id="escapes"),
        pytest.param(['199 - "x"', '299 agent "x"', "299 - x", '299 - "x', ""], [], id="other forms"),
        pytest.param(['299 - "' + "x" * MAX_BYTES + '"', '299 - "y"'], [], id="too long"),
    ],
)
def test_texts_are_read_from_the_one_allowed_form(values: list[str], expected: list[str]) -> None:
    assert list(texts(values)) == expected


@given(st.lists(st.text(max_size=300), max_size=20))
def test_any_warning_is_read_or_left_out(values: list[str]) -> None:
    assert sum(len(text) for text in texts(values)) <= MAX_BYTES


@given(st.text(alphabet=st.characters(blacklist_characters='"\\', min_codepoint=32), max_size=100))
def test_a_text_comes_back_as_it_was_quoted(text: str) -> None:
    assert list(texts([f'299 - "{text}"'])) == [text]
