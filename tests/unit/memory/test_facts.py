from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocync.memory.facts import (
    Kind,
    Row,
    digest_key,
    repository_key,
)
from ocync.oci.digest import Digest

digests = st.builds(Digest.of, st.binary(max_size=8), st.sampled_from(["sha256", "sha384", "sha512"]))


@given(st.integers(0, 8 * 44 - 1))
def test_a_flipped_bit_is_noticed(bit: int) -> None:
    row = Row.of(int(Kind.ARTIFACT_SET), digest_key(Digest.of(b"index")), 0, b"0123456789", 1_700_000_000_000)
    text = bytearray(row.key + row.value + b"x")
    text[bit // 8] ^= 1 << bit % 8
    flipped = Row(row.kind, bytes(text[:33]), row.repository, bytes(text[33:43]), row.learned, row.mark)

    assert Row.read(row.fields) == row
    assert (Row.read(flipped.fields) is None) == (bit // 8 != 43)


@given(digests, digests)
def test_keys_tell_digests_apart(one: Digest, other: Digest) -> None:
    assert (digest_key(one) == digest_key(other)) == (one == other)


def test_a_repository_has_a_number_of_its_own_in_every_file() -> None:
    assert repository_key("a.example", "team/app") == repository_key("a.example", "team/app")
    assert len({repository_key("a.example", f"team/app{n}") for n in range(1000)}) == 1000
    assert repository_key("a.example", "b") != repository_key("a.example/b", "")
