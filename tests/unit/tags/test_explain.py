"""Tag rules and selections in words."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ocync.tags.explain import none_selected, rules_in_short, selection_in_full
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.select import select

SIGNATURE = "sha256-" + "a" * 64 + ".sig"
EVERY_RULE: dict[str, Any] = {
    "glob": ("v*", "1.*"),
    "semver": ">=1",
    "exclude": ("nightly",),
    "default_exclude": ("*-dev",),
    "sort": SortOrder.ALPHA,
    "latest": 3,
    "include": ("latest",),
    "min_tags": 2,
}


def test_rules_are_described_in_one_line() -> None:
    assert rules_in_short(TagRules(**EVERY_RULE)) == (
        "glob v* 1.*, semver >=1, exclude nightly *-dev, sort alpha, latest 3, include latest, min_tags 2"
    )


def test_no_rules_are_all_tags() -> None:
    assert rules_in_short(TagRules()) == "all tags"


@pytest.mark.parametrize("name", [field.name for field in fields(TagRules) if field.name != "immutable_tags"])
def test_the_description_contains_every_rule(name: str) -> None:
    assert rules_in_short(TagRules(**{name: EVERY_RULE[name]})) != "all tags"


def test_a_selection_is_shown_in_full() -> None:
    rules = TagRules(
        semver=">=1",
        default_exclude=("*-dev",),
        sort=SortOrder.SEMVER,
        latest=2,
        include=("latest", "stable", "1.2-dev"),
        min_tags=3,
    )
    tags = [f"0.{minor}" for minor in range(7)] + ["1.0", "1.1", "1.2", "1.2-dev", "1.1-dev", "latest", SIGNATURE]

    assert selection_in_full(select(tags, rules), rules) == [
        "source tags: 14",
        "stages:",
        "  signatures and referrers, which follow their image  14 -> 13  (-1)",
        '  semver ">=1"                                        13 ->  5  (-8)',
        "  exclude                                              5 ->  3  (-2)",
        "  sort semver                                          3 ->  3",
        "  latest 2                                             3 ->  2  (-1)",
        '  include "latest", "stable", "1.2-dev"                2 ->  4  (+2)',
        "kept: 4",
        "  latest  (include)",
        "  1.2-dev  (include)",
        "  1.2",
        "  1.1",
        "dropped: 10",
        '  7 by semver ">=1": 0.0, 0.1, 0.2, 0.3, 0.4 and 2 more',
        f"  1 by signatures and referrers, which follow their image: {SIGNATURE}",
        '  1 by exclude of the defaults "*-dev": 1.1-dev',
        "  1 by latest 2: 1.0",
        "  (include brings back what the built-in exclude and that of the defaults drop)",
        "not at the source: stable",
        "min_tags: 3, kept 4, satisfied",
    ]


def test_verbose_shows_every_dropped_tag() -> None:
    rules = TagRules(semver=">=1")
    selection = select([f"0.{minor}" for minor in range(7)], rules)

    lines = selection_in_full(selection, rules, verbose=True)

    assert '  7 by semver ">=1": 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6' in lines


def test_rescued_tags_are_marked() -> None:
    rules = TagRules(default_exclude=("*-dev",), include=("*-dev",))

    assert "  1.0-dev  (rescued by include)" in selection_in_full(select(["1.0-dev"], rules), rules)


def test_a_missed_minimum_is_shown() -> None:
    rules = TagRules(min_tags=2)

    assert selection_in_full(select(["1.0"], rules), rules)[-1] == (
        "min_tags: 2, kept 1, NOT satisfied: the mapping fails"
    )


def test_a_selection_without_rules_is_short() -> None:
    assert selection_in_full(select(["1.0"], TagRules()), TagRules()) == ["source tags: 1", "kept: 1", "  1.0"]


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        pytest.param([], "the source has no tags", id="no tags"),
        pytest.param(
            ["latest", "0.1", SIGNATURE],
            "none of the source's 3 tags is selected by semver >=1: there are latest, 0.1",
            id="others",
        ),
        pytest.param(
            [SIGNATURE],
            "none of the source's 1 tags is selected by semver >=1: all of them are signatures or referrers",
            id="only signatures",
        ),
    ],
)
def test_an_empty_selection_names_tags_of_the_source(tags: list[str], text: str) -> None:
    rules = TagRules(semver=">=1")

    assert none_selected(select(tags, rules), rules) == text
