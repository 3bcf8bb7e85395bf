"""Pages of tag lists: anything a server may send is a page or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.registry.call import Answer
from ocync.registry.http.message import Headers
from ocync.registry.http.origin import Url
from ocync.registry.tag_list import Listing, read_page

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)


def page(body: bytes | object, *links: str) -> Listing:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = Headers([("Link", link) for link in links])
    answer = Answer(
        status=200, headers=headers, reason="OK", body=raw, url=Url.parse("https://r.example/v2/a/tags/list")
    )
    return read_page(answer, what="list the tags of a", host="r.example")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_page_or_refused(body: bytes) -> None:
    try:
        found = page(body)
    except ProtocolError:
        return
    assert all(found.entries)


@given(st.dictionaries(st.sampled_from(["tags", "name", "errors", "x"]), JSON), st.text(max_size=60))
def test_any_document_and_link_are_a_page_or_refused(body: dict[str, object], link: str) -> None:
    try:
        found = page(body, link)
    except ProtocolError:
        return
    entries = body.get("tags") or []
    assert isinstance(entries, list)
    assert found.entries == [entry for entry in entries if isinstance(entry, str) and entry]
    assert found.next is None or found.next.text.startswith("https://r.example/")


@pytest.mark.parametrize("body", [{"tags": False}, {"tags": 0}, {"tags": ""}, {"tags": {}}])
def test_what_is_empty_and_no_list_is_not_taken_for_an_empty_list(body: object) -> None:
    with pytest.raises(ProtocolError):
        page(body)


def test_a_page_is_full_with_as_many_entries_as_were_asked_for() -> None:
    assert page({"tags": ["a"] * 999 + [None]}).is_full
    assert not page({"tags": ["a"] * 999}).is_full
    assert not page({"tags": ["a"] * 1001}).is_full
