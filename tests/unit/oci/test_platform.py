"""Platforms, and which entries they select."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.oci.platform import Platform

PARTS = st.text(alphabet="abcxyz0189_.-", min_size=1, max_size=8)


@given(parts=st.lists(PARTS, min_size=2, max_size=3))
def test_a_platform_is_read_and_written_alike(parts: list[str]) -> None:
    text = "/".join(parts)

    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "linux/",
        "/amd64",
        "linux/amd64/",
        "linux//v7",
        "linux/arm/v7/x",
        "linux/amd 64",
        "linux/a\n",
    ],
)
def test_other_texts_are_no_platforms(text: str) -> None:
    with pytest.raises(ValueError, match="is not a platform: write os/arch or os/arch/variant"):
        Platform.parse(text)


@given(text=st.text(alphabet="aA1/._- \n", max_size=12))
def test_any_text_is_a_platform_or_refused(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert str(platform) == text.lower()
        assert platform.selects(platform)


@pytest.mark.parametrize(
    ("wanted", "entry", "selected"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v7", "linux/arm", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/v9", "linux/arm64", False),
        ("linux/arm64/v8", "linux/arm64/v9", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/arm64", False),
        ("Linux/AMD64", "linux/amd64", True),
    ],
)
def test_a_platform_selects_entries(wanted: str, entry: str, selected: bool) -> None:
    assert Platform.parse(wanted).selects(Platform.parse(entry)) == selected


def test_the_case_of_an_index_entry_has_no_say() -> None:
    assert Platform.parse("linux/arm64/v8").selects(Platform("Linux", "ARM64", "V8"))
