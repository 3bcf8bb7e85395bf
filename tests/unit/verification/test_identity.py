"""Texts in certificates, which anybody may have written who found an authority to sign them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import signing
from ocync.verification.evidence import UntrustedError
from ocync.verification.identity import Identity, _text


@given(text=st.text(max_size=400).filter(lambda text: "\ufffd" not in text))
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    assert _text(signing._utf8(text)) == text


@given(der=st.binary(max_size=40))
def test_whatever_stands_there_is_a_text_or_refused(der: bytes) -> None:
    try:
        _text(der)
    except UntrustedError:
        return
    assert der[0] == 0x0C


def test_messages_name_who_is_wanted() -> None:
    assert str(Identity(name="a@b", pattern=None, issuer="i")) == "a@b (i)"
    assert str(Identity(name=None, pattern=".*", issuer="i")) == ".* (i)"


@pytest.mark.parametrize(("wanted", "is_right"), [("release@example.com", True), ("RELEASE@example.com", False)])
def test_an_identity_is_compared_letter_by_letter(wanted: str, is_right: bool) -> None:
    made = signing.Sigstore().certificate(signing.new_key(), identity="release@example.com", issuer="i")
    identity = Identity(name=wanted, pattern=None, issuer="i")

    if is_right:
        identity.check(made)
    else:
        with pytest.raises(UntrustedError, match=r"release@example\.com"):
            identity.check(made)
