"""How long a token says that it lives."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.auth.jwt import life_of


def jwt(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


@pytest.mark.parametrize(
    ("claims", "life"),
    [
        ({"iat": 1000, "exp": 4600}, 3600.0),
        ({"nbf": 1000, "exp": 1600.5}, 600.5),
        ({"exp": 4600}, 7.0),
        ({"iat": 1000}, 7.0),
        ({"iat": 1000, "exp": 1000}, 7.0),
        ({"iat": 1000, "exp": 10**400}, 7.0),
        ({"iat": True, "exp": 1000}, 7.0),
        ({"iat": "1000", "exp": "4600"}, 7.0),
        ([1], 7.0),
    ],
)
def test_the_life_of_a_token_is_from_its_beginning_to_its_end(claims: object, life: float) -> None:
    assert life_of(jwt(claims), otherwise=7.0) == life


@given(st.one_of(st.text(), st.builds(lambda a, b, c: f"{a}.{b}.{c}", st.text(), st.text(), st.text())))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert life_of(text, otherwise=7.0) > 0
