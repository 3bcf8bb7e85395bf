from __future__ import annotations

import pytest

from ocync.config.yaml.document import parse
from ocync.config.yaml.node import NOWHERE, Position, Scalar, Value, at, key_position, render
from ocync.config.yaml.substitute import substitute

TREE = parse(b"a:\n  - b: c\n    d: [e]\n", "c.yaml")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("mappings", 3, "tags", "latest"), "mappings[3].tags.latest"),
        (("registries", "ecr-east_1"), "registries.ecr-east_1"),
        (("registries", "ecr.east", "url"), 'registries["ecr.east"].url'),
        (("registries", 'a"b\n'), 'registries["a\\"b\\n"]'),
        (("registries", "é"), 'registries["é"]'),
        (("a b",), '["a b"]'),
    ],
)
def test_paths_are_rendered_with_dots_and_brackets(path: tuple[str | int, ...], text: str) -> None:
    assert render(path) == text


def test_a_path_leads_to_its_node() -> None:
    assert at(TREE, ("a", 0, "d", 0)) == Scalar(Position(3, 9), "e", True)
    assert at(TREE, ()) is TREE


@pytest.mark.parametrize("path", [("x",), ("a", 1), ("a", -1), ("a", "b"), ("a", 0, 0), ("a", 0, "b", "c"), (0,)])
def test_a_path_may_lead_nowhere(path: tuple[str | int, ...]) -> None:
    assert at(TREE, path) is None
    assert key_position(TREE, path) == NOWHERE


def test_a_path_has_the_position_of_its_last_key_or_item() -> None:
    assert key_position(TREE, ("a", 0, "d")) == Position(3, 5)
    assert key_position(TREE, ("a", 0)) == Position(2, 5)
    assert key_position(TREE, ()) == Position(1, 1)


def test_a_value_keeps_its_content_out_of_its_repr() -> None:
    value = Value(Position(1, 2), "hunter2", substitute("${X}", {"X": "hunter2"}))

    assert repr(value) == "Value(str at 1:2)"
