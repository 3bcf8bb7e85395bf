"""URLs: their origins, and what request lines ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.http.origin import Url


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://h/up", "https://h/up?digest=sha256:ab"),
        ("https://h/up?_state=a%2Bb&x=", "https://h/up?_state=a%2Bb&x=&digest=sha256:ab"),
    ],
)
def test_the_digest_is_added_and_the_query_kept(location: str, expected: str) -> None:
    assert Url.parse(location).with_query("digest=sha256:ab").text == expected


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
    assert Url.parse(url).target == expected


@given(st.text(max_size=100))
def test_any_url_makes_a_request_line_that_can_be_sent(text: str) -> None:
    try:
        target = Url.parse(f"https://h/{text}").target
    except ValueError:
        return
    assert all(0x20 < byte < 0x7F for byte in target)


@pytest.mark.parametrize(
    "url", ["https://a b/", "https://a\x00/", "https://\u00e4.example/", "https:///x", "ftp://h/"]
)
def test_a_host_that_can_t_stand_in_a_header_is_no_origin(url: str) -> None:
    with pytest.raises(ValueError):
        Url.parse(url)


PRINTABLE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)


@given(PRINTABLE, PRINTABLE)
def test_a_url_that_can_be_sent_as_it_is_is_sent_as_it_is(path: str, query: str) -> None:
    path, query = path.replace("?", "").replace("#", ""), query.replace("#", "")

    assert Url.parse(f"https://h/{path}?{query}").target == f"/{path}?{query}".encode()


@given(st.text(max_size=30))
def test_the_origin_does_not_depend_on_what_follows_the_host(rest: str) -> None:
    assert Url.parse(f"https://h.io:5000/{rest}").origin == Url.parse("https://h.io:5000").origin
    assert Url.parse("http://h.io:80/").origin == Url.parse("http://h.io").origin
    assert Url.parse("https://h.io/").origin != Url.parse("http://h.io/").origin
