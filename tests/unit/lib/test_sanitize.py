import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.sanitize import printable


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        pytest.param("static:latest", "static:latest", id="plain"),
        pytest.param("größer 日本 🐍", "größer 日本 🐍", id="other scripts"),
        pytest.param("a\x1b[2J\x1b[Hb", r"a\x1b[2J\x1b[Hb", id="a terminal's command"),
        pytest.param("a\x9b31mb", r"a\x9b31mb", id="the same in one byte"),
        pytest.param("a\r\nERROR b\tc", r"a\r\nERROR b\tc", id="a forged line"),
        pytest.param("a\u2028b\x85c", r"a\u2028b\x85c", id="line ends of Unicode"),
        pytest.param("\u202egnp.exe", r"\u202egnp.exe", id="text turned around"),
        pytest.param("a\ud800b", r"a\ud800b", id="half a surrogate pair"),
        pytest.param("a\x00b\x7f", r"a\x00b\x7f", id="NUL and DEL"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_as_an_escape(given_text: str, shown: str) -> None:
    assert printable(given_text) == shown


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert all(character.isprintable() or ord(character) >= 0x80 for character in shown)
    io.TextIOWrapper(io.BytesIO(), encoding="utf-8").write(shown)


@given(st.text())
def test_what_is_fit_stays_so(text: str) -> None:
    assert printable(printable(text)) == printable(text)
