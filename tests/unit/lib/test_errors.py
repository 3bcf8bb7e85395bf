"""What errors keep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import LONGEST, ConfigError, Problem, ServerError


@given(st.text(alphabet=st.characters(), max_size=50), st.integers(0, 5000))
def test_an_error_keeps_no_more_of_a_stranger_s_words_than_fit(text: str, times: int) -> None:
    error = ServerError(f"can't look: {text * times}: the end", hint=text * times)

    for kept, whole in ((error.message, f"can't look: {text * times}: the end"), (error.hint or "", text * times)):
        size = len(whole.encode("utf-8", "backslashreplace"))
        assert len(kept.encode("utf-8", "backslashreplace")) <= LONGEST
        assert (kept == whole) is (size <= LONGEST)
    assert error.message.startswith("can't look: ")
    assert error.message.endswith(": the end")
    assert error.args == (error.message,)


def test_a_configuration_error_lists_all_problems() -> None:
    problems = tuple(Problem(message="is wrong " * 20, line=number) for number in range(1, 101))

    assert str(ConfigError.of("config.yaml", problems)).count("\n") == 99
