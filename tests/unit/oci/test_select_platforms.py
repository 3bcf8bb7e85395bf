"""An index cut down to the platforms that are wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Manifest, parse, select_platforms
from ocync.oci.platform import Platform


def entry(name: str, platform: str = "", **fields: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "mediaType": media.OCI_MANIFEST,
        "digest": str(Digest.of(name.encode())),
        "size": 7,
        **fields,
    }
    if platform:
        described["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return described


def attestation(name: str, of: str) -> dict[str, Any]:
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": str(Digest.of(of.encode())),
    }
    return entry(name, "unknown/unknown", annotations=about)


def index(*entries: dict[str, Any], **fields: Any) -> Manifest:
    raw = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries, **fields}).encode()
    return parse(raw, content_type=None, digest=Digest.of(raw), where="cgr.dev/a:1")


def select(manifest: Manifest, *platforms: str) -> Manifest:
    return select_platforms(manifest, tuple(map(Platform.parse, platforms)))


AMD64, ARM64, ARM7 = entry("amd64", "linux/amd64"), entry("arm64", "linux/arm64/v8"), entry("arm7", "linux/arm/v7")


def names(manifest: Manifest) -> list[str]:
    known = {
        Digest.of(name.encode()): name for name in ("amd64", "arm64", "arm7", "att-amd64", "att-arm64", "plain")
    }
    return [known[child.digest] for child in manifest.children]


def test_only_the_wanted_entries_stay_in_their_order() -> None:
    cut = select(index(ARM64, AMD64, ARM7), "linux/amd64", "linux/arm64")

    assert names(cut) == ["arm64", "amd64"]


def test_the_index_that_comes_out_reads_as_what_was_returned() -> None:
    cut = select(index(AMD64, ARM64, annotations={"k": "é\ud800"}, subject=entry("subject")), "linux/arm64")

    again = parse(cut.raw, content_type=None, digest=cut.digest, where="cgr.dev/a:1")

    assert again == cut
    assert cut.digest == Digest.of(cut.raw)
    assert json.loads(cut.raw)["annotations"] == {"k": "é\ud800"}


def test_an_error_names_a_dozen_of_many_platforms_and_little_of_each() -> None:
    large = index(*(entry(f"{number}", f"{number:04}" + "\U000e0001" * 124 + "/x/y") for number in range(2000)))

    with pytest.raises(ValueError, match=r"the index has 0000.* and 1988 more") as caught:
        select(large, "linux/amd64")

    assert len(str(caught.value)) < 1000


def test_entries_keep_all_their_fields() -> None:
    odd = entry("arm64", "linux/arm64/v8", **{"x-unknown": [1, {"y": None}], "annotations": {"b": "1", "a": "2"}})

    cut = select(index(AMD64, odd), "linux/arm64")

    assert json.loads(cut.raw)["manifests"] == [odd]


def test_the_same_index_comes_back_when_nothing_is_left_out() -> None:
    whole = index(AMD64, ARM64, attestation("att-amd64", "amd64"))

    assert select(whole, "linux/amd64", "linux/arm64") is whole


def test_an_attestation_goes_with_the_entry_that_it_names() -> None:
    whole = index(AMD64, ARM64, attestation("att-amd64", "amd64"), attestation("att-arm64", "arm64"))

    assert names(select(whole, "linux/arm64")) == ["arm64", "att-arm64"]


def test_entries_without_a_platform_are_left_out() -> None:
    assert names(select(index(entry("plain"), AMD64), "linux/amd64")) == ["amd64"]


def test_an_entry_of_another_platform_is_left_out_though_its_digest_is_the_same() -> None:
    cut = select(index(AMD64, entry("amd64", "linux/arm64")), "linux/amd64")

    assert [child.platform for child in cut.children] == [Platform("linux", "amd64")]


@pytest.mark.parametrize(
    ("whole", "present"),
    [
        pytest.param(index(AMD64, ARM7), "the index has linux/amd64, linux/arm/v7", id="others"),
        pytest.param(index(), "the index has no platforms", id="empty"),
        pytest.param(index(manifests=None), "the index has no platforms", id="null"),
        pytest.param(index(entry("plain")), "the index has no platforms", id="without platforms"),
        pytest.param(
            index(entry("x", "li\x1b[2Jnux/\ud800")), r"the index has li\x1b[2Jnux/\ud800", id="odd names"
        ),
    ],
)
def test_no_match_is_an_error_that_names_what_there_is(whole: Manifest, present: str) -> None:
    with pytest.raises(ValueError, match="no entry for linux/s390x; ") as caught:
        select(whole, "linux/s390x")

    assert str(caught.value).endswith(present)


def test_what_is_nested_deeply_is_written_anew() -> None:
    whole = index(AMD64, ARM64, x=json.loads("[" * 300 + "]" * 300))

    assert names(select(whole, "linux/amd64")) == ["amd64"]


# Around the depth at which Python gives up on a document, which depends on its version, and far beyond.
@pytest.mark.parametrize("depth", [*range(800, 1000, 10), 5000, 20_000, 60_000])
def test_what_is_nested_too_deeply_is_refused_and_nothing_else_happens(depth: int) -> None:
    raw = index(AMD64, ARM64).raw[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"

    try:
        whole = parse(raw, content_type=None, digest=Digest.of(raw), where="cgr.dev/a:1")
        cut = select(whole, "linux/amd64")
    except (ProtocolError, ValueError) as error:
        assert "nested too deeply" in str(error)
    else:
        assert names(cut) == ["amd64"]


PLATFORMS = st.sampled_from(["linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v6", "linux/arm/v7"])


@given(
    entries=st.lists(st.tuples(st.sampled_from(["amd64", "arm64", "arm7"]), st.just("") | PLATFORMS), max_size=5),
    wanted=st.lists(PLATFORMS, min_size=1, max_size=2),
)
def test_every_entry_that_stays_is_wanted_and_every_other_is_not(
    entries: list[tuple[str, str]], wanted: list[str]
) -> None:
    whole = index(*(entry(name, platform) for name, platform in entries))
    asked = [Platform.parse(text) for text in wanted]

    try:
        cut = select(whole, *wanted)
    except ValueError:
        stayed: list[Any] = []
    else:
        stayed = list(cut.children)

    expected = [
        child for child in whole.children if child.platform and any(each.selects(child.platform) for each in asked)
    ]
    assert stayed == expected
