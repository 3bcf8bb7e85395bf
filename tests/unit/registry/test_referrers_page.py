"""Pages of referrers, and lists of them under tags: whatever stands in them is read, is none, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.oci import manifest as manifests
from ocync.oci import media, referrers
from ocync.oci.digest import Digest
from ocync.registry.call import Answer
from ocync.registry.http.message import Headers
from ocync.registry.http.origin import Url
from ocync.registry.referrers_api import read_page

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\udc00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
DIGESTS = st.sampled_from([str(Digest.of(bytes([number]))) for number in range(4)])
ENTRIES = st.fixed_dictionaries(
    {"digest": DIGESTS | JSON, "size": st.integers(-1, 9) | JSON, "mediaType": st.just(media.OCI_MANIFEST) | JSON},
    optional={"artifactType": JSON, "annotations": JSON},
)
GOOD = st.fixed_dictionaries(
    {"digest": DIGESTS, "size": st.integers(0, 9), "mediaType": st.just(media.OCI_MANIFEST)},
    optional={"artifactType": st.text(max_size=5), "annotations": st.dictionaries(st.text(max_size=3), st.text())},
)
TYPES = st.sampled_from([media.OCI_INDEX, media.OCI_MANIFEST, "application/json", "text/html", ""])


def answer(body: bytes, content_type: str, link: str = "") -> Answer:
    headers = Headers([("Content-Type", content_type), ("Link", link)])
    url = Url.parse("https://r.example/v2/a/referrers/x")
    return Answer(status=200, headers=headers, reason="OK", body=body, url=url)


@given(st.binary(max_size=200), TYPES)
def test_any_bytes_are_a_page_no_page_or_refused(body: bytes, content_type: str) -> None:
    try:
        assert read_page(answer(body, content_type), what="list", host="r.example") is None
    except ProtocolError:
        assert content_type == media.OCI_INDEX or b'"manifests"' in body


@given(
    st.fixed_dictionaries(
        {}, optional={"manifests": st.lists(ENTRIES, max_size=4) | JSON, "mediaType": TYPES | JSON}
    ),
    TYPES,
    st.text(max_size=40),
)
def test_any_document_and_link_are_a_page_no_page_or_refused(
    body: dict[str, Any], content_type: str, link: str
) -> None:
    raw = json.dumps(body).encode()
    try:
        page = read_page(answer(raw, content_type, link), what="list", host="r.example")
    except ProtocolError:
        return
    if page is not None:
        assert len(page.entries) <= len(body.get("manifests") or [])
        assert page.next is None or page.next.text.startswith("https://r.example/")


@pytest.mark.parametrize("content_type", [media.OCI_INDEX, "application/json", "text/plain", ""])
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"count": 2001}, "manifests lists 2001 entries, more than 2000", id="entries"),
        pytest.param({"count": 40_000}, "it has more than 200000 values", id="values"),
        pytest.param({"entry": {"digest": "x"}}, "field 'size' is missing", id="entry"),
    ],
)
def test_a_list_that_cant_be_read_is_refused_whatever_it_is_sent_as(
    content_type: str, changes: dict[str, Any], why: str
) -> None:
    entry = {"mediaType": media.OCI_MANIFEST, "digest": str(Digest.of(b"")), "size": 0, "annotations": {"a": "b"}}
    listed = [changes.get("entry", entry)] * changes.get("count", 1)
    raw = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()

    with pytest.raises(ProtocolError, match=f"can't list: the list can't be read: {why}"):
        read_page(answer(raw, content_type), what="list", host="r.example")


@given(st.lists(GOOD, max_size=4), st.lists(GOOD, max_size=4))
def test_lists_are_merged_without_loss_or_repetition(there: list[Any], added: list[Any]) -> None:
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": there, "annotations": {"kept": "yes"}}
    raw = json.dumps(body).encode()
    existing = manifests.parse(raw, content_type=media.OCI_INDEX, digest=Digest.of(raw), where="a test")

    merged = referrers.merged(existing, added)

    kept = json.loads(merged.raw)
    assert kept["manifests"][: len(there)] == there
    assert kept["annotations"] == {"kept": "yes"}
    listed = [child.digest for child in merged.children]
    assert set(listed) == {Digest.parse(entry["digest"]) for entry in (*there, *added)}
    new = listed[len(there) :]
    assert len(set(new)) == len(new)
    assert referrers.merged(merged, added) is merged


@given(st.text(max_size=80), st.text(max_size=200))
def test_the_fallback_tag_of_any_digest_is_a_tag(algorithm: str, encoded: str) -> None:
    try:
        digest = Digest.parse(f"{algorithm}:{encoded}")
    except ValueError:
        return
    tag = referrers.fallback_tag(digest)
    assert len(tag) <= 97
    assert set(tag) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
