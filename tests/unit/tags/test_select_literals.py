"""Rules that name their tags."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import TagRuleError
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.select import literal_tags, select

SIGNATURE = "sha256-" + "a" * 64 + ".sig"


@pytest.mark.parametrize(
    ("rules", "tags"),
    [
        pytest.param({"glob": ("latest",)}, ("latest",), id="one name"),
        pytest.param({"glob": ("1.2", "1.3")}, ("1.2", "1.3"), id="several"),
        pytest.param({"glob": ("{1.2,1.3}-dev",)}, ("1.2-dev", "1.3-dev"), id="names in braces"),
        pytest.param({"glob": ("1.2",), "include": ("latest", "1.2")}, ("latest", "1.2"), id="include goes first"),
        pytest.param({"glob": ("1.2", "1.3"), "exclude": ("*.3",)}, ("1.2",), id="the mapping's exclude"),
        pytest.param(
            {"glob": ("1.2", "1.2-dev"), "include": ("1.3-dev",), "default_exclude": ("*-dev",)},
            ("1.3-dev", "1.2"),
            id="the defaults' exclude spares include",
        ),
        pytest.param({"glob": ("1.2-rc1", "1.2")}, ("1.2",), id="the built-in exclude"),
        pytest.param({"glob": ("1.2", "2.0", "x"), "semver": ">=2"}, ("2.0",), id="semver looks at names alone"),
        pytest.param({"glob": ("1.2", "2.0"), "sort": SortOrder.SEMVER}, ("2.0", "1.2"), id="sorted"),
        pytest.param(
            {"glob": ("1.2", "2.0"), "sort": SortOrder.SEMVER, "latest": 2}, ("2.0", "1.2"), id="latest is enough"
        ),
        pytest.param({"glob": ("1.2", "no/tag", "", "a" * 129)}, ("1.2",), id="no names of tags"),
        pytest.param({"glob": (SIGNATURE,)}, (SIGNATURE,), id="a signature by name"),
        pytest.param({"glob": ("1.2",), "exclude": ("*",)}, (), id="nothing is left"),
    ],
)
def test_tags_that_are_named_need_no_list(rules: dict[str, Any], tags: tuple[str, ...]) -> None:
    assert literal_tags(TagRules(**rules)) == tags


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({}, id="no rules are all tags"),
        pytest.param({"include": ("latest",)}, id="no glob is all tags"),
        pytest.param({"glob": ("1.*",)}, id="a wildcard in glob"),
        pytest.param({"glob": ("1.2",), "include": ("*-dev",)}, id="a wildcard in include"),
        pytest.param({"glob": ("1.2",), "min_tags": 1}, id="a minimum"),
        pytest.param(
            {"glob": ("1.2", "2.0"), "sort": SortOrder.SEMVER, "latest": 1}, id="latest depends on what is there"
        ),
    ],
)
def test_other_rules_need_a_list(rules: dict[str, Any]) -> None:
    assert literal_tags(TagRules(**rules)) is None


def test_bad_rules_are_refused_as_select_refuses_them() -> None:
    with pytest.raises(TagRuleError, match="the version range"):
        literal_tags(TagRules(glob=("1.2",), semver="newest"))
    with pytest.raises(TagRuleError, match="the pattern"):
        literal_tags(TagRules(glob=("{1.2",)))


NAMES = st.sampled_from(["1.0", "1.1", "2.0", "1.0-dev", "2.0-rc1", "latest", "{1.0,3.0}", "edge"])


@given(
    glob=st.lists(NAMES, max_size=3).map(tuple),
    include=st.lists(NAMES, max_size=2).map(tuple),
    exclude=st.lists(st.sampled_from(["*-dev", "1.*", "latest"]), max_size=1).map(tuple),
    default_exclude=st.lists(st.sampled_from(["*-dev", "2.*"]), max_size=1).map(tuple),
    semver=st.sampled_from([None, ">=1.1", "<2"]),
    sort=st.sampled_from([None, SortOrder.SEMVER, SortOrder.ALPHA]),
    latest=st.integers(0, 4),
    source=st.lists(
        st.sampled_from(["1.0", "1.1", "2.0", "3.0", "1.0-dev", "2.0-rc1", "latest", "x"]), unique=True
    ),
)
def test_the_named_tags_that_exist_are_what_a_list_would_give(
    latest: int, sort: SortOrder | None, source: list[str], **rules: Any
) -> None:
    compiled = TagRules(**rules, sort=sort, latest=latest if sort else None)

    tags = literal_tags(compiled)

    if tags is not None:
        listed = select(source, compiled).kept
        present = tuple(tag for tag in tags if tag in source)
        assert sorted(present) == sorted(listed)
        if sort:
            assert present == listed
