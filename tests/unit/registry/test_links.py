"""Link, Location and redirects."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.registry import links
from ocync.registry.http.origin import Url

BASE = "https://registry.example:5000/v2/team/app/tags/list?n=2"


def next_page(headers: list[str]) -> str | None:
    found = links.next_page(headers, Url.parse(BASE), what="list the tags", host="registry.example")
    return found and found.text


def resolve(location: str | None, url: str) -> str:
    return links.resolve(location, Url.parse(url), what="x", host="h").text


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], None, id="none"),
        pytest.param(
            ['</v2/team/app/tags/list?last=b&n=2>; rel="next"'],
            "https://registry.example:5000/v2/team/app/tags/list?last=b&n=2",
            id="path-absolute",
        ),
        pytest.param(
            ["<list?last=b>; rel=next"], "https://registry.example:5000/v2/team/app/tags/list?last=b", id="relative"
        ),
        pytest.param(
            ["<https://registry.example:5000/x?a=1,2;3>; rel=next"],
            "https://registry.example:5000/x?a=1,2;3",
            id="comma and semicolon inside",
        ),
        pytest.param(
            ['</first>; rel="first", </next>; title="a, b"; rel="prev next"'],
            "https://registry.example:5000/next",
            id="several links, several relations",
        ),
        pytest.param(
            ['</a>; rel="first"', '</b>; REL="NEXT"'], "https://registry.example:5000/b", id="two headers"
        ),
        pytest.param(["</a>; rel=first"], None, id="no next"),
        pytest.param([""], None, id="empty"),
        pytest.param(["rel=first"], None, id="garbled, and of another page"),
        pytest.param(['</a>; rel="first"; title="rel=next"'], None, id="the word in a title"),
        pytest.param(['</a>; rel="prev"; title="<b>; rel=next"'], None, id="a link in a title"),
        pytest.param(["</rel=next>; rel=first"], None, id="the word in a target"),
        pytest.param(["</a>; rel=nextish"], None, id="another word"),
        pytest.param(["</a>;;rel='next'"], "https://registry.example:5000/a", id="apostrophes"),
        pytest.param(['</a> ; title=x ; REL = "Next"'], "https://registry.example:5000/a", id="spaces"),
        pytest.param(['</a>; rel="next", /b; rel="last"'], "https://registry.example:5000/a", id="read so far"),
        pytest.param(
            ['</a>; rel="first"; rel="next"'], "https://registry.example:5000/a", id="two relations, of which one"
        ),
    ],
)
def test_the_next_page_is_found_in_all_forms_of_link(headers: list[str], expected: str | None) -> None:
    assert next_page(headers) == expected


@pytest.mark.parametrize(
    "header",
    [
        'v2/team/app/tags/list?last=b; rel="next"',
        "rel=next",
        'rel="next"; </v2/team/app/tags/list?last=b>',
        "</a; rel=next",
        "</a; rel=next, </b>; rel=last",
        "/a>; rel=next",
        "<</a>>; rel=next",
        "<>; rel=next",
        '<  >; rel="next"',
        '</a> rel="next"',
        '</a>, rel="next"',
        '</a>; rel="next',
        "</a>; rel: next",
        '</a>; rel="first", /b; rel="NEXT"',
        '</a>; rel="first", /b; REL=last next',
        "<http://[::1>; rel=next",
        "<mailto:a@b.example>; rel=next",
    ],
)
def test_a_next_page_that_can_t_be_read_is_not_the_end_of_the_list(header: str) -> None:
    with pytest.raises(ProtocolError, match="goes on in a way that can't be read: Link: ") as caught:
        next_page(["</first>; rel=first", header])

    assert caught.value.host == "registry.example"
    assert "next" in str(caught.value).partition("Link: ")[2].lower()


@pytest.mark.parametrize(
    "unit", ["<>,", '<>;a="', "<>;;; ", "<", "<> ", "x rel" + " " * 40, "<> rel" + " " * 45, "rel "]
)
def test_a_header_of_the_greatest_length_that_says_nothing_is_the_end_of_the_list(unit: str) -> None:
    # Without end, as good as, if what follows was looked at anew for each part.
    assert next_page([unit * (1024 * 1024 // len(unit))]) is None


def test_a_header_is_quoted_as_far_as_it_helps() -> None:
    with pytest.raises(ProtocolError) as caught:
        next_page([f"/{'a' * 100_000}; rel=next"])
    assert len(str(caught.value)) < 600

    with pytest.raises(ProtocolError):
        next_page(["rel=" * 50_000 + "; rel=next"])


@pytest.mark.parametrize(
    "target", ["https://evil.example/x", "http://registry.example:5000/x", "https://registry.example/x", "//evil/x"]
)
def test_a_next_page_at_another_origin_is_refused(target: str) -> None:
    with pytest.raises(ProtocolError):
        next_page([f"<{target}>; rel=next"])


@pytest.mark.parametrize("target", ["http://[::1", "https://registry.example:99999/x", "http://a b/"])
def test_a_next_page_that_is_no_url_is_refused(target: str) -> None:
    with pytest.raises(ProtocolError):
        next_page([f"<{target}>; rel=next"])


@given(st.text(max_size=200))
def test_any_link_header_is_read_or_refused(header: str) -> None:
    try:
        found = next_page([header])
    except ProtocolError:
        return
    assert found is None or urlsplit(found).hostname == "registry.example"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("/v2/a/blobs/uploads/1", "https://h/v2/a/blobs/uploads/1", id="path"),
        pytest.param(
            "1?_state=x%2By", "https://h/v2/a/blobs/uploads/1?_state=x%2By", id="relative keeps its query"
        ),
        pytest.param("https://other:444/up?sig=a/b+c%3D", "https://other:444/up?sig=a/b+c%3D", id="other host"),
        pytest.param("//other/up", "https://other/up", id="no scheme"),
    ],
)
def test_a_location_is_resolved_against_the_url_that_answered(location: str, expected: str) -> None:
    assert resolve(location, "https://h/v2/a/blobs/uploads/") == expected


@pytest.mark.parametrize("location", [None, "", "ftp://h/x", "http://h/x", "https://[bad/x"])
def test_a_location_that_leads_nowhere_good_is_refused(location: str | None) -> None:
    with pytest.raises(ProtocolError):
        resolve(location, "https://h/v2/")


@pytest.mark.parametrize(
    "location",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://0xa9fea9fe/",
        "https://[fd00:ec2::254]/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://localhost:6443/",
        "//127.0.0.1/",
    ],
)
def test_a_location_that_leads_to_this_machine_or_its_metadata_is_refused(location: str) -> None:
    with pytest.raises(ProtocolError, match="which belongs to this machine; it is not taken"):
        resolve(location, "https://h/v2/")


@given(st.text(max_size=200))
def test_any_location_is_resolved_or_refused(location: str) -> None:
    try:
        found = resolve(location, "https://h/v2/")
    except ProtocolError as error:
        assert len(error.message) < 300
        return
    assert found.startswith("https://")
    assert Url.parse(found).origin.host
