from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ocync.config.yaml.document import MAX_BYTES, parse
from ocync.config.yaml.node import Items, Node, Position, Scalar, Table, at
from ocync.config.yaml.syntax import MAX_DEPTH
from ocync.lib.errors import ConfigError


def tree(text: str | bytes) -> Table[Scalar]:
    return parse(text if isinstance(text, bytes) else text.encode(), "c.yaml")


def written(node: Node[Scalar]) -> Any:
    """The tree as dicts, lists and the text of scalars."""
    match node:
        case Table():
            return {key: written(value) for key, value in node.entries.items()}
        case Items():
            return [written(item) for item in node.items]
        case _:
            return node.text


def refused(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        tree(text)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(caught.value.problems)
    return [line.removeprefix("c.yaml:").strip() for line in lines]


def test_scalars_are_the_text_that_was_written() -> None:
    text = "a: [no, on, 1.10, 012, 12:30:45, 2024-01-01, 0o7, ~, null, yes, 1_000, .inf, =, <<]"

    assert written(tree(text))["a"] == text[4:-1].split(", ")


def test_quoted_scalars_are_known_from_plain_ones() -> None:
    table = tree("a: 1\nb: '1'\nc: \"1\"\nd: |\n  1\ne: !!str 1\nf: !!int '1'\n")

    plain = {key: node.plain for key, node in table.entries.items() if isinstance(node, Scalar)}

    assert plain == {"a": True, "b": False, "c": False, "d": False, "e": False, "f": True}


def test_every_value_and_key_has_its_position() -> None:
    table = tree("# one\na:\n  - b: c\n    dé: [x, yy]\n")

    assert table.keys["a"] == Position(2, 1)
    assert at(table, ("a", 0)).position == Position(3, 5)
    assert at(table, ("a", 0, "b")).position == Position(3, 8)
    assert at(table, ("a", 0)).keys["dé"] == Position(4, 5)
    assert at(table, ("a", 0, "dé", 1)).position == Position(4, 13)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("", "1:1: is empty", id="an empty file"),
        pytest.param("\ufeff", "1:1: is empty", id="only a byte order mark"),
        pytest.param("# nothing\n", "1:1: is empty", id="only a comment"),
        pytest.param("---\n...\n", "is empty", id="an empty document"),
        pytest.param("~\n", "1:1: has text at its top", id="null"),
        pytest.param("- a\n- b\n", "1:1: has a list at its top", id="a list at the top"),
        pytest.param("registries\n", "1:1: has text at its top", id="text at the top"),
        pytest.param("a:\n\tb: 1\n", "2:1: a tab can't indent", id="a tab"),
        pytest.param("a:\n  b: 1\n\tc: 2\n", "3:1: a tab can't indent", id="a tab after blanks"),
        pytest.param("a:\n  - b\n  \t- c: d\n   e: f\n", "3:3: a tab can't indent", id="a tab behind blanks"),
        pytest.param(b"a: b\nc: d\xff\n", "2:5: the byte 0xff is not UTF-8", id="a byte that is not UTF-8"),
        pytest.param("a: b".encode("utf-16"), "1:1: the byte 0xff is not UTF-8", id="UTF-16"),
        pytest.param("é: \u0007\n", "1:4: the invisible character U+0007", id="a control character"),
        pytest.param("a: \x00\n", "1:4: the invisible character U+0000", id="a zero byte"),
        pytest.param(
            "a: 1\nb: 2\na: 3\n", "3:1: the key 'a' stands twice in this map, first in line 1", id="twice"
        ),
        pytest.param("a: {b: 1, 'b': 2}\n", "1:11: the key 'b' stands twice", id="twice, quoted"),
        pytest.param("<<: {a: 1}\n<<: {b: 2}\n", "2:1: << stands twice", id="two merges"),
        pytest.param("'': 1\n", "1:1: a key is missing", id="no key"),
        pytest.param("? [a]\n: b\n", "1:3: a key has to be text", id="a list as key"),
        pytest.param("a: &x b\n*x : c\n", "2:1: a key can't be an alias", id="an alias as key"),
        pytest.param("a: !!python/object:os.system ls\n", "1:4: tags such as", id="a Python object"),
        pytest.param("a: !!python/object/apply:os.system [ls]\n", "1:4: tags such as", id="a Python call"),
        pytest.param("a: !!binary aGk=\n", "1:4: tags such as", id="a binary"),
        pytest.param("a: !!timestamp 2024-01-01\n", "1:4: tags such as", id="a timestamp"),
        pytest.param("a: !!set {b}\n", "1:4: tags such as", id="a set"),
        pytest.param("a: !secret b\n", "1:4: tags such as", id="a tag of one's own"),
        pytest.param("exclude: !*-dev\n", "1:10: tags such as", id="a pattern with an exclamation mark"),
        pytest.param("a: !e!x b\n", "1:4: tags such as", id="a tag with a handle"),
        pytest.param("a: 1\n---\nb: 2\n", "2:1: a second document", id="two documents"),
        pytest.param("a: &x [*x]\n", "1:8: an alias stands inside", id="an alias inside of itself"),
        pytest.param("glob: *-slim\n", "1:7: no anchor of this name is here: a * at", id="an unquoted pattern"),
        pytest.param("glob: [*-a, b]\n", "quote it", id="an unquoted pattern in a list"),
        pytest.param("glob: *.1\n", "1:8: a * at the beginning", id="an unquoted pattern with a dot"),
        pytest.param("glob: *\n", "a * at the beginning", id="an unquoted star"),
        pytest.param("glob: *-rc*\n", "a * at the beginning", id="an unquoted pattern with two stars"),
        pytest.param("semver: >=1.0\n", "1:10: a > or | at the beginning", id="an unquoted range"),
        pytest.param("a: b: c\n", "1:5: a colon doesn't fit", id="two colons"),
        pytest.param("a: @b\n", "1:4: a value can't begin with this character", id="an at sign"),
        pytest.param("a: 'b' c\n", "1:8: a key was expected", id="text behind quotes"),
        pytest.param("a: [b, c\nd: e\n", "2:2: the list in brackets isn't closed", id="an open bracket"),
        pytest.param("a: {b: c\nd: e\n", "the map in braces isn't closed", id="an open brace"),
        pytest.param('a: "b\nc: d\n', "1:4: the quoted text that begins here isn't closed", id="an open quote"),
        pytest.param('a: "\\q"\n', "1:5: this backslash begins no escape", id="a bad escape"),
        pytest.param("a: 1\nb\nc: 2\n", "a key without a colon", id="no colon"),
        pytest.param("a:\n  b: 1\n c: 2\n", "3:2: a key was expected here", id="a wrong indentation"),
        pytest.param("a: - b\n", "1:4: a list's item doesn't fit", id="a list on the line of its key"),
        pytest.param("[" * 1000, f"1:{MAX_DEPTH + 1}: is nested more than", id="deep brackets"),
        pytest.param("- " * 1000, "is nested more than", id="deep dashes"),
        pytest.param(
            "a: &b [[[[[[[[[[1]]]]]]]]]]\n" + "c: " + "[" * 60 + "*b", "is nested", id="deep with aliases"
        ),
        pytest.param("<<: [a]\n", "<< takes an alias for a map", id="a merge of text"),
    ],
)
def test_a_problem_is_one_line_with_its_position(text: str | bytes, line: str) -> None:
    assert line in refused(text)[0]
    assert len(refused(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: *hunter2\n",
        "a: *hunter2!\n",
        "a: !hunter2 b\n",
        "a: &hunter2 [*hunter2]\n",
        "a: @hunter2\n",
        "a: 'x' hunter2\n",
    ],
)
def test_what_may_be_a_password_is_not_shown(text: str) -> None:
    assert "hunter2" not in "".join(refused(text))


def test_all_problems_that_leave_the_rest_readable_are_reported() -> None:
    assert [line.split(":")[0] for line in refused("a: 1\na: 2\nb: !x y\nc: *gone\nd: [\n")] == ["2", "3", "4", "6"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: b\r\nc:\r\n  - d\r\n", id="Windows line ends"),
        pytest.param("\ufeffa: b\nc:\n  - d\n", id="a byte order mark"),
        pytest.param("%YAML 1.2\n---\na: b\nc: [d]\n...\n", id="a directive and markers"),
        pytest.param("a:\tb\nc: [d]", id="a tab between key and value"),
        pytest.param("{a: b, c: [d]}", id="flow style"),
        pytest.param('{"a": "b", "c": ["d"]}', id="JSON"),
        pytest.param("!!map {a: !!str b, c: !!seq [d]}", id="tags of YAML's own"),
    ],
)
def test_common_styles_are_read(text: str) -> None:
    assert written(tree(text)) == {"a": "b", "c": ["d"]}


def test_variables_need_no_quotes_anywhere() -> None:
    text = "a: { url: ${HOST}, b: [${A:-x, y}, '${B}'] }\nc: ${P:?set it: now #1}  # ${comment}\nd: x${E}{y\n"

    assert written(tree(text)) == {
        "a": {"url": "${HOST}", "b": ["${A:-x, y}", "${B}"]},
        "c": "${P:?set it: now #1}",
        "d": "x${E}{y",
    }


def test_variables_do_not_shift_later_positions() -> None:
    assert at(tree("{ a: ${HOST:-x, y}, b: c }"), ("b",)).position == Position(1, 24)


def test_variables_work_in_quotes_and_blocks_as_elsewhere() -> None:
    text = 'a: "${A}\\t${B:-\\"}"\nb: |\n  x ${C}\n  y\nc: >-\n  ${D:-a\n  b}\n'

    assert written(tree(text)) == {"a": '${A}\t${B:-"}', "b": "x ${C}\ny\n", "c": "${D:-a b}"}


def test_characters_of_the_private_use_area_are_kept() -> None:
    assert written(tree("a: \U000f0024${X}\n")) == {"a": "\U000f0024${X}"}


def test_aliases_are_expanded() -> None:
    text = "a: &tags {glob: '1.*'}\nb: *tags\nc: &name text\nd: [*name, *name]\n"

    assert written(tree(text)) == {
        "a": {"glob": "1.*"},
        "b": {"glob": "1.*"},
        "c": "text",
        "d": ["text", "text"],
    }


def test_merges_add_keys_that_the_map_lacks() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd:\n  <<: *b\n  w: 4\n"

    assert written(tree(text))["c"] == {"x": "3", "y": "1", "z": "2"}
    assert written(tree(text))["d"] == {"w": "4", "y": "2", "z": "2"}
    assert tree(text).entries["d"].keys["z"] == Position(2, 14)


def bomb(levels: int, width: int, *, merge: bool = False) -> str:
    lines = ["a0: &a0 {k: lol}" if merge else "a0: &a0 [lol]"]
    for level in range(1, levels + 1):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{aliases}]}}" if merge else f"[{aliases}]"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(bomb(9, 10), id="a billion laughs"),
        pytest.param(bomb(50, 2), id="doubled fifty times"),
        pytest.param(bomb(9, 10, merge=True), id="merged"),
        pytest.param("a: &a " + "x" * (1 << 20) + "\nb: [" + "*a, " * 10_000 + "]", id="a long text many times"),
        pytest.param("- a\n" * 1_000_000, id="a million values"),
    ],
)
@pytest.mark.timeout(300)
def test_bombs_are_refused_before_they_go_off(text: str) -> None:
    # One that goes off takes more memory and time than there is.
    assert "values, aliases expanded" in refused(text)[0]


def test_a_file_that_is_too_large_is_refused() -> None:
    assert "is larger than 8 MiB" in refused("#" * (MAX_BYTES + 1))[0]
    assert written(tree("a: 1\n#" + "x" * (MAX_BYTES - 6))) == {"a": "1"}


LEAVES = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(LEAVES.filter(bool), inner, max_size=4)),
    max_leaves=20,
)


@given(st.dictionaries(LEAVES.filter(bool), TREES, min_size=1, max_size=5), st.booleans())
def test_the_output_of_another_yaml_library_is_read_unchanged(data: dict[str, Any], flow: bool) -> None:
    text = yaml.dump(data, Dumper=yaml.SafeDumper, allow_unicode=True, default_flow_style=flow)

    if "<<" not in text:
        assert written(tree(text)) == data


@given(st.binary(max_size=200))
def test_any_bytes_give_a_tree_or_problems(data: bytes) -> None:
    try:
        tree(data)
    except ConfigError as error:
        assert error.problems
        assert all(len(problem.render("f").splitlines()) == 1 for problem in error.problems)


SIGNS = [*"ab-[]{},:?&*!|>'%@#$\"\\\t\n ", "a: ", "- ", "\n  ", "\n- ", "${", "${A}", "<<: ", "&a ", "*a ", "!!str"]


@given(st.lists(st.sampled_from(SIGNS)))
def test_any_characters_give_a_tree_or_problems(signs: list[str]) -> None:
    try:
        table = tree("".join(signs))
    except ConfigError as error:
        assert all(len(problem.render("f").splitlines()) == 1 for problem in error.problems)
    else:
        assert isinstance(table, Table)


@given(st.characters(max_codepoint=0x7F, exclude_characters="\r\n"))
def test_ascii_files_and_others_refuse_the_same_characters(sign: str) -> None:
    def problem(text: str) -> str:
        try:
            parse(text.encode(), "f")
        except ConfigError as error:
            return str(error)
        return ""

    alone, beside = f"a: 'x{sign}y'\n", f"a: 'x{sign}y'\nb: '\u00e4'\n"
    assert ("invisible character" in problem(alone)) is ("invisible character" in problem(beside))
    assert ("invisible character" in problem(alone)) is (sign != "\t" and (sign < " " or sign == "\x7f"))
