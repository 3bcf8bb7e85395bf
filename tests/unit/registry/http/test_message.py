"""Requests as bytes, and answers from bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.http.message import (
    MAX_HEAD,
    Chunked,
    Framing,
    Head,
    Headers,
    HeadReader,
    MalformedError,
    framing_of,
    is_ambiguous,
    parse_head,
    render_request,
)

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Long: a\r\n  b\r\nLink: <a>\r\nLink: <b>\r\n\r\n"


def head_of(*fields: tuple[str, str], status: int = 200, minor: int = 1) -> Head:
    return Head(minor, status, "", Headers(fields))


async def stream() -> None:
    """Stand for a body that is not in memory."""


# Requests.


def test_a_request_is_written_as_it_was_asked_for() -> None:
    request = render_request("GET", b"/v2/?a=%2F", [("Host", "x"), ("Accept", "a, b")], None)

    assert request.head == b"GET /v2/?a=%2F HTTP/1.1\r\nHost: x\r\nAccept: a, b\r\n\r\n"


def test_bytes_get_their_length() -> None:
    assert render_request("PUT", b"/", [], b"abc").head == b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        pytest.param("GET /x HTTP/1.1\r\nA: b\r\n", b"/", [], id="method"),
        pytest.param("", b"/", [], id="no method"),
        pytest.param("GET", b"/ HTTP/1.1\r\nA: b", [], id="target with a line end"),
        pytest.param("GET", b"/a b", [], id="target with a space"),
        pytest.param("GET", "/ä".encode(), [], id="target beyond ASCII"),
        pytest.param("GET", b"", [], id="no target"),
        pytest.param("GET", b"/", [("A", "b\r\nC: d")], id="value with CRLF"),
        pytest.param("GET", b"/", [("A", "b\nC: d")], id="value with LF"),
        pytest.param("GET", b"/", [("A", "b\rC: d")], id="value with CR"),
        pytest.param("GET", b"/", [("A", "b\0")], id="value with NUL"),
        pytest.param("GET", b"/", [("A", "€")], id="value beyond Latin-1"),
        pytest.param("GET", b"/", [("A: b\r\nC", "d")], id="name with a line end"),
        pytest.param("GET", b"/", [("A B", "d")], id="name with a space"),
        pytest.param("GET", b"/", [("", "d")], id="no name"),
        pytest.param("GET", b"/", [("Transfer-Encoding", "chunked")], id="chunks"),
    ],
)
def test_nothing_breaks_out_of_its_line(method: str, target: bytes, fields: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError):
        render_request(method, target, fields, None)


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        pytest.param(["3", "3"], b"abc", id="two"),
        pytest.param(["4"], b"abc", id="wrong"),
        pytest.param(["4"], None, id="no body"),
        pytest.param(["-1"], None, id="negative"),
        pytest.param(["1, 1"], b"a", id="list"),
        pytest.param(["²"], b"ab", id="no ASCII digit"),
    ],
)
def test_a_request_says_the_length_that_its_body_has(lengths: list[str], body: bytes | None) -> None:
    with pytest.raises(ValueError):
        render_request("PUT", b"/", [("content-length", length) for length in lengths], body)


@given(
    st.text(max_size=20),
    st.binary(max_size=30),
    st.lists(st.tuples(st.text(max_size=10), st.text(max_size=20)), max_size=4),
)
def test_a_request_that_is_accepted_has_the_lines_it_was_given(
    method: str, target: bytes, fields: list[tuple[str, str]]
) -> None:
    try:
        request = render_request(method, target, fields, None)
    except ValueError:
        return

    lines = request.head.split(b"\r\n")
    assert lines[0].split(b" ") == [method.encode(), target, b"HTTP/1.1"]
    assert len(lines) == len(fields) + 3
    assert b"\n" not in request.head.replace(b"\r\n", b"")


# Heads.


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_head_is_the_same_however_it_is_cut(end: bytes) -> None:
    data = ANSWER.replace(b"\r\n", end) + b"body"
    for cut in range(1, len(data) - 4):
        reader = HeadReader()
        found = reader.feed(data[:cut]) or reader.feed(data[cut:])

        assert found is not None
        head, rest = found
        assert (head.minor, head.status, head.reason, rest) == (1, 200, "OK", b"body")
        assert head.headers.get("x-long") == "a b"
        assert head.headers.get("LINK") == "<a>, <b>"


def test_a_head_comes_byte_by_byte() -> None:
    reader = HeadReader()

    found = [reader.feed(ANSWER[i : i + 1]) for i in range(len(ANSWER))]

    assert found[:-1] == [None] * (len(ANSWER) - 1)
    assert found[-1] is not None


def test_lines_of_both_ends_may_be_mixed() -> None:
    found = HeadReader().feed(b"HTTP/1.0 404 \nA: b\n\r\n\n")

    assert found is not None
    assert found[0].status == 404
    assert found[1] == b"\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol, at once"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02P", id="TLS alert"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="HTTP/2"),
        pytest.param(b"HTTP/1.1 99 OK\r\n\r\n", id="status of two digits"),
        pytest.param(b"HTTP/1.1  200 OK\r\n\r\n", id="two spaces"),
        pytest.param("HTTP/1.1 \uff12\uff10\uff10 OK\r\n\r\n".encode(), id="other digits"),
        pytest.param(b"\r\nHTTP/1.1 200 OK\r\n\r\n", id="empty line first"),
        pytest.param(b"HTTP/1.1 200 OK\r\n a: b\r\n\r\n", id="folded first"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", id="no colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", id="space before the colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", id="no name"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", id="bare CR"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", id="NUL"),
        pytest.param(b"HTTP/1.1 200 O\rK\r\n\r\n", id="CR in the reason"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 501 + b"\r\n", id="too many fields"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD, id="too long"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD + b"\r\n\r\n", id="too long, whole"),
    ],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        HeadReader().feed(data)


def test_a_long_location_is_fine() -> None:
    location = "https://cdn.example/" + "x" * 20_000
    found = HeadReader().feed(f"HTTP/1.1 307 Moved\r\nLocation: {location}\r\n\r\n".encode())

    assert found is not None
    assert found[0].headers.get("location") == location


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"\r\n"]))))
def test_any_bytes_are_a_head_or_malformed(parts: list[bytes]) -> None:
    reader = HeadReader()
    try:
        for part in parts:
            found = reader.feed(part)
            if found is not None:
                framing_of("GET", found[0])
                assert isinstance(found[0].keeps_connection, bool)
                assert found[0].keep_alive is None or found[0].keep_alive >= 0
    except MalformedError:
        pass


@given(st.binary(max_size=200))
def test_any_fields_are_read_or_malformed(data: bytes) -> None:
    try:
        head = parse_head(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")
        framing_of("GET", head)
    except MalformedError:
        return
    assert head.status == 200
    for name, value in head.headers.items():
        assert name.isascii()
        assert not set(value) & set("\r\n\0")


def test_fields_are_shown_without_their_values() -> None:
    assert repr(Headers([("Location", "https://x/?signature=secret")])) == "<Headers: location>"


# Bodies.


@pytest.mark.parametrize(
    ("method", "head", "expected"),
    [
        pytest.param("GET", head_of(("Content-Length", "5")), (Framing.LENGTH, 5), id="length"),
        pytest.param("GET", head_of(("Content-Length", "5, 5")), (Framing.LENGTH, 5), id="the same twice"),
        pytest.param("GET", head_of(("Content-Length", "0")), (Framing.NONE, 0), id="empty"),
        pytest.param("GET", head_of(("Transfer-Encoding", "Chunked")), (Framing.CHUNKED, 0), id="chunked"),
        pytest.param(
            "GET",
            head_of(("Content-Length", "5"), ("Transfer-Encoding", "chunked")),
            (Framing.CHUNKED, 0),
            id="chunked wins",
        ),
        pytest.param("GET", head_of(), (Framing.UNTIL_CLOSE, 0), id="until the end"),
        pytest.param("HEAD", head_of(("Content-Length", "5")), (Framing.NONE, 0), id="HEAD"),
        pytest.param("GET", head_of(("Content-Length", "5"), status=204), (Framing.NONE, 0), id="204"),
        pytest.param("GET", head_of(("Content-Length", "5"), status=304), (Framing.NONE, 0), id="304"),
        pytest.param("CONNECT", head_of(), (Framing.NONE, 0), id="CONNECT"),
        pytest.param("CONNECT", head_of(("Content-Length", "5"), status=407), (Framing.LENGTH, 5), id="refused"),
    ],
)
def test_the_head_tells_where_the_body_ends(method: str, head: Head, expected: tuple[Framing, int]) -> None:
    assert framing_of(method, head) == expected


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("Content-Length", "5"), ("Content-Length", "6")], id="two lengths"),
        pytest.param([("Content-Length", "+5")], id="sign"),
        pytest.param([("Content-Length", "")], id="nothing"),
        pytest.param([("Content-Length", "5,")], id="comma"),
        pytest.param([("Content-Length", "0x5")], id="hexadecimal"),
        pytest.param([("Content-Length", "9" * 30)], id="endless"),
        pytest.param([("Transfer-Encoding", "gzip, chunked")], id="other coding"),
        pytest.param([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], id="chunked twice"),
        pytest.param([("Transfer-Encoding", "")], id="no coding"),
    ],
)
def test_an_end_that_is_not_clear_is_malformed(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(MalformedError):
        framing_of("GET", head_of(*fields))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(head_of(), True, id="1.1"),
        pytest.param(head_of(minor=0), False, id="1.0"),
        pytest.param(head_of(("Connection", "Keep-Alive"), minor=0), True, id="1.0 that keeps it"),
        pytest.param(head_of(("Connection", "x, Close")), False, id="close"),
        pytest.param(head_of(("Connection", "keep-alive"), ("Connection", "close")), False, id="close, second"),
        pytest.param(head_of(("Connection", "not-close")), True, id="other word"),
    ],
)
def test_the_head_tells_whether_the_connection_is_kept(head: Head, expected: bool) -> None:
    assert head.keeps_connection is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("timeout=5", 5),
        ("max=9, Timeout=7", 7),
        ("timeout=x", None),
        ("timeout", None),
        ("", None),
        ("timeout=²", None),
    ],
)
def test_the_head_may_tell_for_how_long(value: str, expected: float | None) -> None:
    assert head_of(("Keep-Alive", value)).keep_alive == expected


def test_two_ends_of_a_body_are_ambiguous() -> None:
    assert is_ambiguous(head_of(("Content-Length", "5"), ("Transfer-Encoding", "chunked")))
    assert is_ambiguous(head_of(("Transfer-Encoding", "chunked"), minor=0))
    assert not is_ambiguous(head_of(("Transfer-Encoding", "chunked")))


CHUNKS = b'5;name="va;lue"\r\nhello\r\n1 \r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n'


def test_chunks_are_the_same_however_they_are_cut() -> None:
    for cut in range(len(CHUNKS) + 1):
        chunked = Chunked()

        assert chunked.feed(CHUNKS[:cut]) + chunked.feed(CHUNKS[cut:]) == b"hello 0123456789"
        assert chunked.done
        assert chunked.rest == b""


def test_what_follows_the_last_chunk_is_kept_apart() -> None:
    chunked = Chunked()

    assert chunked.feed(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK") == b"a"
    assert chunked.rest == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"x\r\n", id="no number"),
        pytest.param(b"\r\n", id="nothing"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"0x1\r\n", id="prefix"),
        pytest.param(b"F" * 16 + b"\r\n", id="endless"),
        pytest.param(b"1\r\nab\r\n", id="longer than it says"),
        pytest.param(b"1" * 20_000, id="line without end"),
        pytest.param(b"0\r\n" + b"A: b\r\n" * 501, id="trailers without end"),
    ],
)
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Chunked().feed(data)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"5\r\n", b"0\r\n", b"\r\n", b"hello"]))))
def test_any_bytes_are_chunks_or_malformed(parts: list[bytes]) -> None:
    chunked = Chunked()
    fed = b"".join(parts)
    given_out = b""
    try:
        for part in parts:
            given_out += chunked.feed(part)
    except MalformedError:
        pass
    assert len(given_out) <= len(fed)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 7))
def test_what_is_sent_in_chunks_comes_out_again(bodies: list[bytes], step: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\n\r\n"
    chunked = Chunked()

    out = b"".join(chunked.feed(data[i : i + step]) for i in range(0, len(data), step))

    assert out == b"".join(bodies)
    assert chunked.done
