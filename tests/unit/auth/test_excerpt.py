"""Words of others in our messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.auth.excerpt import excerpt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unauthorized: incorrect username or password", "unauthorized: incorrect username or password"),
        ("error getting token: unauthorized", "error getting token: unauthorized"),
        ("no entry for 123456789012.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("denied: requested access to repository:team/app:pull", None),
        ("two\nlines\r\n\x1b[31mred\x1b[0m", "two lines [31mred [0m"),
        ("password=hunter2", "password=***"),
        ('{"Username":"u","Secret":"hunter2"}', '{"Username":"u","Secret":"***"}'),
        ("token: abc123", "token: ***"),
        ("dial https://user:hunter2@registry.example/", "dial https://***@registry.example/"),
        ("bad eyJhbGciOiJIUzI1NiJ9aa.eyJzdWIiOiIxMjM0NTY3ODkwIn0a.x", "bad ***.***.x"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789 is not valid", "*** is not valid"),
    ],
)
def test_words_stay_and_secrets_go(text: str, expected: str | None) -> None:
    assert excerpt(text) == (text if expected is None else expected)


def test_a_known_secret_goes_however_it_looks() -> None:
    assert excerpt("you sent correct horse for robot", secrets=["correct horse", ""]) == "you sent *** for robot"
    assert "battery" not in excerpt("correct horse battery", secrets=["horse", "correct horse battery"])


def test_a_long_text_is_cut() -> None:
    assert len(excerpt("word " * 1_000_000)) == 200


@given(st.text(max_size=500), st.lists(st.text(min_size=1, max_size=10), max_size=3))
def test_the_result_is_one_short_line_for_any_text(text: str, secrets: list[str]) -> None:
    shown = excerpt(text, secrets=secrets)

    assert len(shown) <= 200
    assert not any(ord(character) < 32 for character in shown)
