"""Digests, and bytes checked against them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import VerificationError
from ocync.oci.digest import Digest, Verifier, verify

ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}


@st.composite
def digests(draw: st.DrawFn) -> str:
    algorithm = draw(st.sampled_from(sorted(ALGORITHMS)))
    length = ALGORITHMS[algorithm]
    return f"{algorithm}:{draw(st.text(alphabet='0123456789abcdef', min_size=length, max_size=length))}"


@given(text=digests())
def test_a_digest_is_read_and_written_alike(text: str) -> None:
    digest = Digest.parse(text)

    assert str(digest) == text
    assert digest.short == text.partition(":")[2][:12]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("sha256", id="no colon"),
        pytest.param("sha256:", id="no digits"),
        pytest.param("sha256:" + "a" * 63, id="a digit short"),
        pytest.param("sha256:" + "a" * 65, id="a digit long"),
        pytest.param("sha512:" + "a" * 64, id="length of another algorithm"),
        pytest.param("sha256:" + "A" * 64, id="upper case"),
        pytest.param("SHA256:" + "a" * 64, id="upper case algorithm"),
        pytest.param("sha256:" + "g" * 64, id="no hex"),
        pytest.param("sha256:" + "\u0661" * 64, id="foreign digits"),
        pytest.param("sha256:" + "a" * 64 + "\n", id="a line end"),
        pytest.param(" sha256:" + "a" * 64, id="a blank"),
        pytest.param("md5:" + "a" * 32, id="md5"),
        pytest.param("sha256:../" + "a" * 61, id="a path"),
    ],
)
def test_other_texts_are_no_digests(text: str) -> None:
    with pytest.raises(ValueError, match="is not a digest"):
        Digest.parse(text)


@given(text=st.text(max_size=200))
def test_any_text_is_a_digest_or_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(ValueError, match="is not a digest") as caught:
        Digest.parse(text)

    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=64), algorithm=st.sampled_from(sorted(ALGORITHMS)))
def test_the_digest_of_bytes_verifies_them(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)

    assert digest.encoded == hashlib.new(algorithm, data).hexdigest()
    verify(data, digest, len(data), what="a blob")
    verify(data, digest, None, what="a blob")


@given(data=st.binary(min_size=1, max_size=64), cut=st.integers(0, 63))
def test_pieces_verify_as_the_whole_does(data: bytes, cut: int) -> None:
    verifier = Verifier(Digest.of(data), len(data), what="a blob")

    verifier.update(data[:cut])
    verifier.update(memoryview(data)[cut:])

    verifier.finish()
    assert verifier.received == len(data)


@given(data=st.binary(min_size=1, max_size=64), position=st.integers(0, 63), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(data: bytes, position: int, bit: int) -> None:
    lie = bytearray(data)
    lie[position % len(lie)] ^= 1 << bit

    with pytest.raises(VerificationError, match=r"a blob from cgr\.dev hashes to sha256:[0-9a-f]{64}, not to"):
        verify(bytes(lie), Digest.of(data), len(data), what="a blob", host="cgr.dev")


def test_a_short_body_says_how_short() -> None:
    with pytest.raises(VerificationError, match="a blob from the source ended after 3 of 4 bytes"):
        verify(b"abc", Digest.of(b"abcd"), 4, what="a blob")


def test_a_long_body_is_refused_at_the_piece_that_is_too_much() -> None:
    verifier = Verifier(Digest.of(b"abc"), 3, what="a blob")
    verifier.update(b"abc")

    with pytest.raises(VerificationError, match="longer than the 3 bytes"):
        verifier.update(b"d")
