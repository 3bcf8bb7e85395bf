"""Link, Location and redirects."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.registry import links

BASE = "https://registry.example:5000/v2/team/app/tags/list?n=2"


def next_page(headers: list[str]) -> str | None:
    return links.next_page(headers, BASE, what="list the tags", host="registry.example")


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
def test_a_header_of_great_length_that_says_nothing_is_the_end_of_the_list(unit: str) -> None:
    # Without end, as good as, if what follows was looked at anew for each part.
    assert next_page([unit * (256 * 1024 // len(unit))]) is None


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
    assert links.resolve(location, "https://h/v2/a/blobs/uploads/", what="x", host="h") == expected


@pytest.mark.parametrize("location", [None, "", "ftp://h/x", "http://h/x", "https://[bad/x"])
def test_a_location_that_leads_nowhere_good_is_refused(location: str | None) -> None:
    with pytest.raises(ProtocolError):
        links.resolve(location, "https://h/v2/", what="x", host="h")


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
        links.resolve(location, "https://h/v2/", what="x", host="h")


@given(st.text(max_size=200))
def test_any_location_is_resolved_or_refused(location: str) -> None:
    try:
        found = links.resolve(location, "https://h/v2/", what="x", host="h")
    except ProtocolError as error:
        assert len(error.message) < 300
        return
    assert found.startswith("https://")
    assert links.origin(found)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://h/up", "https://h/up?digest=sha256:ab"),
        ("https://h/up?_state=a%2Bb&x=", "https://h/up?_state=a%2Bb&x=&digest=sha256:ab"),
    ],
)
def test_the_digest_is_added_and_the_query_kept(location: str, expected: str) -> None:
    assert links.with_digest(location, "sha256:ab") == expected


SIGNED = "/up;x=1?sig=a%2Fb+c%20d%2b==&empty=&~=%7E;x&q=a/b:c@d"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h", b"/"),
        ("https://h?a=b", b"/?a=b"),
        (f"https://h{SIGNED}", SIGNED.encode()),
        ("https://h/up?a b", b"/up?a%20b"),
        # Fields are read as Latin-1, so this byte came as E9 and goes as that.
        ("https://h/caf\xe9", b"/caf%E9"),
        ("https://h/up?x#fragment", b"/up?x"),
    ],
)
def test_a_request_line_asks_for_what_the_url_says_byte_for_byte(url: str, expected: bytes) -> None:
    assert links.target(url) == expected


@given(st.text(max_size=100))
def test_any_url_makes_a_request_line_that_can_be_sent(text: str) -> None:
    try:
        target = links.target(f"https://h/{text}")
    except ValueError:
        return
    assert all(0x20 < byte < 0x7F for byte in target)


@pytest.mark.parametrize(
    "url", ["https://a b/", "https://a\x00/", "https://\u00e4.example/", "https:///x", "ftp://h/"]
)
def test_a_host_that_can_t_stand_in_a_header_is_no_origin(url: str) -> None:
    with pytest.raises(ValueError):
        links.origin(url)


PRINTABLE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)


@given(PRINTABLE, PRINTABLE)
def test_a_url_that_can_be_sent_as_it_is_is_sent_as_it_is(path: str, query: str) -> None:
    path, query = path.replace("?", "").replace("#", ""), query.replace("#", "")

    assert links.target(f"https://h/{path}?{query}") == f"/{path}?{query}".encode()


@given(st.text(max_size=30))
def test_the_origin_does_not_depend_on_what_follows_the_host(rest: str) -> None:
    assert links.origin(f"https://h.io:5000/{rest}") == links.origin("https://h.io:5000")
    assert links.origin("http://h.io:80/") == links.origin("http://h.io")
    assert links.origin("https://h.io/") != links.origin("http://h.io/")
