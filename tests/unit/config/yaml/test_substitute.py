from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.config.yaml.substitute import MAX_LENGTH, SubstitutionError, escape, has_dollars, substitute

ENVIRON = {"A": "one", "B": "two", "EMPTY": "", "my-key.x": "three", "with space": "four", "N": "5"}

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(string.ascii_letters + string.digits + "_.-/ ", min_size=1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${A}", "one"),
        ("a${A}b${B}c", "aonebtwoc"),
        ("${A}${A}", "oneone"),
        ("[${UNSET}]", "[]"),
        ("[${EMPTY}]", "[]"),
        ("${UNSET:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${A:-x}", "one"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b:?c}", "a:-b:?c"),
        ("${UNSET:-two words\nand a line}", "two words\nand a line"),
        ("${A:?never said}", "one"),
        ("${my-key.x}", "three"),
        ("${with space}", "four"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$one"),
        ("$$$$", "$$"),
        ("$", "$"),
        ("a$b", "a$b"),
        ("$A", "$A"),
        ("pa$word$", "pa$word$"),
        ("}{", "}{"),
        ("${A}}", "one}"),
    ],
)
def test_variables_are_filled_in(text: str, value: str) -> None:
    assert substitute(text, ENVIRON).value == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${", "has no }"),
        ("a ${A", "has no }"),
        ("${A} ${B", "has no }"),
        ("${}", "names no variable"),
        ("${:-x}", "names no variable"),
        ("${:?x}", "names no variable"),
        ("${A:-${B}}", "can't be nested"),
        ("${A=1}", "begins no variable"),
        ("${A:=1}", "begins no variable"),
        ("${A:+1}", "begins no variable"),
        ("${ä}", "begins no variable"),
        ("${A\n}", "begins no variable"),
        ("${UNSET:?}", "${UNSET} is not set"),
        ("${EMPTY:? }", "${EMPTY} is empty"),
        ("${UNSET:?ask the platform team}", "ask the platform team (${UNSET} is not set)"),
        ("${EMPTY:?ask: them}", "ask: them (${EMPTY} is empty)"),
    ],
)
def test_a_bad_expression_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(SubstitutionError) as caught:
        substitute(text, ENVIRON)

    assert words in str(caught.value)


def test_what_a_variable_holds_is_not_substituted_again() -> None:
    assert substitute("${X}", {"X": "${A} $$ ${", "A": "no"}).value == "${A} $$ ${"


def test_missing_variables_are_listed_with_the_reason() -> None:
    done = substitute("${A} ${UNSET} ${EMPTY} ${OTHER} ${UNSET} ${GONE:-}", ENVIRON)

    assert done.missing == ("UNSET", "EMPTY", "OTHER")
    assert done.unset == ("UNSET", "OTHER")
    assert done.reason == "${UNSET} and ${OTHER} are not set and ${EMPTY} is empty"
    assert done.named == "${A}, ${UNSET}, ${EMPTY}, ${OTHER} and ${GONE}"


@pytest.mark.parametrize(
    ("text", "whole"), [("${A}", True), ("${A:-x}", True), ("a${A}", False), ("$$", False), ("${A}${B}", False)]
)
def test_a_value_that_is_one_variable_is_known_as_such(text: str, whole: bool) -> None:
    assert substitute(text, ENVIRON).whole is whole


def test_a_value_that_grows_too_large_is_refused() -> None:
    with pytest.raises(SubstitutionError, match="grows beyond"):
        substitute("${X}" * 1000, {"X": "x" * (MAX_LENGTH // 100)})


def test_a_variable_that_is_not_utf_8_is_refused_without_showing_it() -> None:
    with pytest.raises(SubstitutionError) as caught:
        substitute("${X}", {"X": b"secret\xff".decode("utf-8", "surrogateescape")})

    assert "${X} holds bytes" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_repr_shows_what_a_variable_holds() -> None:
    assert "hunter2" not in repr(substitute("a ${X}", {"X": "hunter2"}))


def test_stand_ins_look_like_part_of_a_name_and_are_missing_all_the_same() -> None:
    done = substitute("${AWS_ACCOUNT_ID}.dkr.ecr/${__}", {}, stand_ins=True)

    assert done.value == "aws-account-id.dkr.ecr/x"
    assert done.missing == ("AWS_ACCOUNT_ID", "__")


def test_stand_ins_replace_nothing_that_has_a_value_or_default() -> None:
    assert substitute("${A} ${B:-b} ${C:-}", {"A": "a"}, stand_ins=True).value == "a b "


@given(TEXTS)
def test_any_text_survives_escaping(text: str) -> None:
    assert substitute(escape(text), {}).value == text


@given(TEXTS, NAMES)
def test_any_text_can_be_the_content_of_a_variable(text: str, name: str) -> None:
    assert substitute(f"${{{name}}}", {name: text}).value == text


@given(st.lists(st.one_of(TEXTS.map(lambda text: ("", text)), st.tuples(NAMES, TEXTS))))
def test_a_value_is_its_parts_in_their_order(parts: list[tuple[str, str]]) -> None:
    environ = {name: text for name, text in parts if name}
    template = "".join(f"${{{name}}}" if name else text.replace("$", "$$") for name, text in parts)

    assert substitute(template, environ).value == "".join(environ.get(name, text) for name, text in parts)


@given(st.text("${}:-?=A \n"))
def test_any_template_gives_a_value_or_a_plain_error(text: str) -> None:
    try:
        value = substitute(text, {"A": "a"}).value
    except SubstitutionError as error:
        assert "\n" not in str(error)
    else:
        assert has_dollars(text) or value == text
