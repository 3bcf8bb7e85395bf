"""Texts of refusals that tell how many requests are allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.limits.allowed import allowed_in


def test_what_ghcr_allows_is_read_from_its_refusal() -> None:
    said = "ghcr.io answered 429 TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute"
    assert allowed_in(said) == pytest.approx(2000 / 60)
    assert allowed_in("allowed: 5/second") == 5
    for other in ("slow down", "allowed: 0/minute", "allowed: many/minute", "allowed: 5/fortnight"):
        assert allowed_in(other) is None


@given(st.text())
def test_any_text_of_a_refusal_is_read(text: str) -> None:
    assert allowed_in(text) is None or allowed_in(text) > 0  # type: ignore[operator]
