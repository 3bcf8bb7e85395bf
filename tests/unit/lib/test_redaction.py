import base64
import io
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.redaction import Redactor, excerpt, printable, without_credentials

SECRET = "p/a s+s:\"w\\ö{$}'=="


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(quote(SECRET, safe=""), id="quoted for a path"),
        pytest.param(quote(SECRET), id="quoted, slashes kept"),
        pytest.param(quote_plus(SECRET), id="quoted for a form"),
        pytest.param(json.dumps(SECRET), id="in JSON"),
        pytest.param(json.dumps(SECRET, ensure_ascii=False), id="in JSON, other scripts kept"),
        pytest.param(repr(SECRET), id="in a repr"),
        pytest.param(basic("me", SECRET), id="as Basic credentials"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="in base64"),
    ],
)
def test_a_known_secret_is_found_in_every_form_it_is_sent_in(form: str) -> None:
    redactor = Redactor()
    redactor.add(SECRET, username="me")
    assert redactor(f"before {form} after").replace('"', "").replace("'", "") == "before *** after"


def test_the_line_end_of_a_file_does_not_hide_the_secret() -> None:
    redactor = Redactor()
    redactor.add("from-a-file\n")
    assert redactor("sent from-a-file today") == "sent *** today"


def test_the_longer_of_two_secrets_is_replaced_completely() -> None:
    redactor = Redactor()
    redactor.add("token")
    redactor.add("token-with-more")
    assert redactor("token-with-more") == "***"


def test_a_secret_of_three_characters_would_be_everywhere_and_is_left_alone() -> None:
    redactor = Redactor()
    redactor.add("abc", username="user")
    assert redactor("abcdef") == "abcdef"
    assert redactor(basic("user", "abc")) == "***"


def test_an_empty_secret_changes_nothing() -> None:
    redactor = Redactor()
    redactor.add("")
    assert redactor("as it was") == "as it was"


def test_a_secret_that_contains_another_is_replaced_completely_in_any_order() -> None:
    redactor = Redactor()
    for secret in ("middle-part", "the-middle-part-and-more", "part"):
        redactor.add(secret)
    assert redactor("the-middle-part-and-more, middle-part, part") == "***, ***, ***"


def test_of_the_tokens_of_months_the_last_are_remembered_and_those_that_come_again() -> None:
    redactor = Redactor()
    for number in range(1000):
        redactor.add("of the configuration")
        redactor.add(f"{number:04}" * 400, username="oauth2accesstoken")

    assert redactor("0999" * 400) == redactor("0900" * 400) == redactor("of the configuration") == "***"
    # They would fill the memory, and be looked for in each line.
    assert int(repr(redactor).split()[2]) < 2500


def test_the_repr_shows_no_secret() -> None:
    redactor = Redactor()
    redactor.add("hush-hush")
    assert "hush" not in repr(redactor)


LIKE_CREDENTIALS = [
    pytest.param("Authorization: Bearer eyJ.abc", "Authorization: ***", id="a header"),
    pytest.param("authorization: AWS4-HMAC-SHA256 Credential=A, Signature=b", "authorization: ***", id="SigV4"),
    pytest.param("{'Authorization': 'Basic eDp5'}", "{'Authorization': '***'}", id="a dict"),
    pytest.param("[(b'authorization', b'Bearer xyz'), 1]", "[(b'authorization', b'***'), 1]", id="raw headers"),
    pytest.param('{"Proxy-Authorization": "Basic eDp5"}', '{"Proxy-Authorization": "***"}', id="a proxy's"),
    pytest.param("Authorization: Bearer x\nnext: line", "Authorization: ***\nnext: line", id="one header of more"),
    pytest.param("Set-Cookie: id=123; Path=/", "Set-Cookie: ***", id="a cookie"),
    pytest.param("sent Bearer xxx to it", "sent Bearer *** to it", id="a short bearer token"),
    pytest.param("bearer abc-def_ghi.jkl~m+n/o==", "bearer ***", id="every character of a token"),
    pytest.param("Bearer token-of-mine", "Bearer ***", id="a token that begins as prose"),
    pytest.param(f"Basic {basic('user', 'pw')}", "Basic ***", id="Basic"),
    pytest.param("https://user:p@ss@host/path", "https://***@host/path", id="userinfo"),
    pytest.param("https://token@host:5000/v2/", "https://***@host:5000/v2/", id="userinfo without password"),
    pytest.param(
        "https://h/b?X-Amz-Signature=ab12&X-Amz-Date=1", "https://h/b?X-Amz-Signature=***&X-Amz-Date=1", id="S3"
    ),
    pytest.param(
        "?X-Amz-Credential=A%2Fb&x-amz-security-token=c",
        "?X-Amz-Credential=***&x-amz-security-token=***",
        id="STS",
    ),
    pytest.param("https://h/b?sv=1&sig=ab%3D", "https://h/b?sv=1&sig=***", id="Azure"),
    pytest.param("?Policy=p&Signature=s&Key-Pair-Id=K", "?Policy=p&Signature=***&Key-Pair-Id=K", id="CloudFront"),
    pytest.param("?X-Goog-Signature=00ff", "?X-Goog-Signature=***", id="GCS"),
    pytest.param("?verify=123-abc%3D", "?verify=***", id="Cloudflare"),
    pytest.param("https://t/?service=s&access_token=abc", "https://t/?service=s&access_token=***", id="a token"),
    pytest.param('{"token": "abc", "expires_in": 300}', '{"token": "***", "expires_in": 300}', id="an answer"),
    pytest.param("{'refresh_token': 'abc'}", "{'refresh_token': '***'}", id="an answer's repr"),
    pytest.param("password=hunter2", "password=***", id="a named password"),
    pytest.param("Password: hunter2; try again", "Password: ***; try again", id="a named password in prose"),
    pytest.param('{"Username":"u","Secret":"hunter2"}', '{"Username":"u","Secret":"***"}', id="a helper's answer"),
    pytest.param("token: abc123", "token: ***", id="a named token"),
    pytest.param("access_token=abc123", "access_token=***", id="a token in a form"),
    pytest.param("client-secret: xyz", "client-secret: ***", id="a longer name"),
    pytest.param("bad token:abc1", "bad token:***", id="a named token without a space"),
    pytest.param(
        "dial https://user:hunter2@registry.example/", "dial https://***@registry.example/", id="a dialled URL"
    ),
]


@pytest.mark.parametrize(("text", "shown"), LIKE_CREDENTIALS)
def test_what_looks_like_credentials_is_replaced(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert excerpt(text) == " ".join(shown.split())


@pytest.mark.parametrize(
    "text",
    [
        "cgr.dev asks for Bearer tokens; give it credentials",
        'Bearer realm="https://cgr.dev/token",service="cgr.dev"',
        "Bearer authentication is what it wants, not Basic authentication",
        "auth_type: basic needs credentials.username and credentials.password",
        "cgr.dev/chainguard/static:latest@sha256:0123456789abcdef -> ghcr.io/myorg/static:latest",
        "https://cgr.dev/v2/chainguard/static/manifests/sha256:abc@def",
        "https://cgr.dev/token?service=cgr.dev&scope=repository:a/b:pull",
        "https://registry/v2/_catalog?n=100&last=a/b",
        "OCYNC_LOG=debug; unauthorized: 401",
        "registries.src.credentials.password: is not used: auth_type is ecr",
        "registries.src.token: is not used: auth_type is ecr",
        "ghcr.io/acme/auth:2.1 and ghcr.io/acme/csrf-token:v1 and oci:./mirror/my-secret:1.2 are copied",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert without_credentials(text) == text


@given(st.text(min_size=4), st.text(), st.text())
def test_no_registered_secret_is_ever_left(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    shown = redactor(f"{before}{secret}{after}")
    assert secret not in shown or secret in "***" or secret in before + "***" + after


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "://" * 300_000,
        "authorization: " * 60_000,
        "?token" * 150_000,
        "Basic " * 150_000,
        '"auth"' * 150_000,
        "auth:" * 150_000,
        "password " * 100_000,
    ],
    ids=["letters", "userinfo", "headers", "parameters", "schemes", "fields", "tokens", "passwords"],
)
def test_enormous_text_is_searched_once(text: str) -> None:
    redactor = Redactor()
    redactor.add("a secret")

    # A search that begins anew at each character takes hours, which the time limit of a test ends.
    assert "a secret" not in redactor(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unauthorized: incorrect username or password", "unauthorized: incorrect username or password"),
        ("error getting token: unauthorized", "error getting token: unauthorized"),
        ("no entry for 123456789012.dkr.ecr.eu-west-1.amazonaws.com", None),
        ("denied: requested access to repository:team/app:pull", None),
        ("two\nlines\r\n\x1b[31mred\x1b[0m", "two lines [31mred [0m"),
        ("password=hunter2", "password=***"),
        ('{"Username":"u","Secret":"hunter2"}', '{"Username":"u","Secret":"***"}'),
        ("token: abc123", "token: ***"),
        ("dial https://user:hunter2@registry.example/", "dial https://***@registry.example/"),
        ("bad eyJhbGciOiJIUzI1NiJ9aa.eyJzdWIiOiIxMjM0NTY3ODkwIn0a.x", "bad ***.***.x"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789 is not valid", "*** is not valid"),
    ],
)
def test_excerpts_keep_prose_and_hide_secrets(text: str, expected: str | None) -> None:
    assert excerpt(text) == (text if expected is None else expected)


def test_a_known_secret_goes_however_it_looks() -> None:
    assert excerpt("you sent correct horse for robot", secrets=["correct horse", ""]) == "you sent *** for robot"
    assert "battery" not in excerpt("correct horse battery", secrets=["horse", "correct horse battery"])


def test_a_long_text_is_cut() -> None:
    assert len(excerpt("word " * 1_000_000)) == 200


@given(st.text(max_size=500), st.lists(st.text(min_size=1, max_size=10), max_size=3))
def test_the_result_is_one_short_line_for_any_text(text: str, secrets: list[str]) -> None:
    shown = excerpt(text, secrets=secrets)

    assert len(shown) <= 200
    assert not any(ord(character) < 32 for character in shown)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        pytest.param("static:latest", "static:latest", id="plain"),
        pytest.param("größer 日本 🐍", "größer 日本 🐍", id="other scripts"),
        pytest.param("a\x1b[2J\x1b[Hb", r"a\x1b[2J\x1b[Hb", id="a terminal's command"),
        pytest.param("a\x9b31mb", r"a\x9b31mb", id="the same in one byte"),
        pytest.param("a\r\nERROR b\tc", r"a\r\nERROR b\tc", id="a forged line"),
        pytest.param("a\u2028b\x85c", r"a\u2028b\x85c", id="line ends of Unicode"),
        pytest.param("\u202egnp.exe", r"\u202egnp.exe", id="text turned around"),
        pytest.param("a\ud800b", r"a\ud800b", id="half a surrogate pair"),
        pytest.param("a\x00b\x7f", r"a\x00b\x7f", id="NUL and DEL"),
    ],
)
def test_control_characters_are_shown_as_escapes(given_text: str, shown: str) -> None:
    assert printable(given_text) == shown


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert all(character.isprintable() or ord(character) >= 0x80 for character in shown)
    io.TextIOWrapper(io.BytesIO(), encoding="utf-8").write(shown)


@given(st.text())
def test_printable_text_does_not_change(text: str) -> None:
    assert printable(printable(text)) == printable(text)
