"""The minimum that rules have to select."""

from __future__ import annotations

import pytest

from ocync.lib.errors import ErrorKind, TagRuleError
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.select import require_minimum, select

TAGS = ["1.0", "1.1", "1.2", "1.2-dev", "latest"]


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(TagRules(), id="none asked for"),
        pytest.param(TagRules(min_tags=5), id="just enough"),
        pytest.param(TagRules(semver=">=1.2", include=("latest",), min_tags=3), id="names count"),
    ],
)
def test_enough_tags_pass(rules: TagRules) -> None:
    require_minimum(select(TAGS, rules), rules)


def test_too_few_tags_are_an_error_that_says_where_the_others_went() -> None:
    rules = TagRules(semver=">=1.1", default_exclude=("*-dev",), sort=SortOrder.SEMVER, min_tags=4)

    with pytest.raises(TagRuleError) as caught:
        require_minimum(select([*TAGS, "0.9"], rules), rules)

    assert caught.value.kind is ErrorKind.TAG_RULES
    assert caught.value.message == (
        "2 of the source's 6 tags were selected, fewer than min_tags 4; "
        'most of the others (3) were dropped by semver ">=1.1"'
    )


def test_an_empty_source_is_an_error_too() -> None:
    rules = TagRules(min_tags=1)

    with pytest.raises(TagRuleError, match="0 of the source's 0 tags were selected, fewer than min_tags 1;"):
        require_minimum(select([], rules), rules)


def test_the_minimum_counts_after_latest() -> None:
    rules = TagRules(sort=SortOrder.ALPHA, latest=1, min_tags=2)

    with pytest.raises(TagRuleError, match="dropped by latest 1"):
        require_minimum(select(TAGS, rules), rules)
