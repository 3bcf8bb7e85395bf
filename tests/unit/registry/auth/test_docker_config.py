"""Docker's config.json: which entry serves which repository."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logins import encoded
from ocync.lib.errors import ConfigError
from ocync.registry.auth.credential import BearerToken, IdentityToken, UserPassword
from ocync.registry.auth.docker_config import DockerConfig, HelperCall, Inline, path_of

FILE = Path("/home/nonroot/.docker/config.json")
ENTRY = {"auth": encoded("u", "p")}


def config(**document: object) -> DockerConfig:
    return DockerConfig.parse(json.dumps(document).encode(), file=FILE)


def found(host: str, repository: str = "team/app", **document: object) -> list[str]:
    return [candidate.key for candidate in config(**document).candidates(host, repository)]


def inline(entry: dict[str, object]) -> object:
    (candidate,) = config(auths={"ghcr.io": entry}).candidates("ghcr.io", "a")
    assert isinstance(candidate, Inline)
    return candidate.credential("there")


@pytest.mark.parametrize(
    "key",
    [
        "ghcr.io",
        "https://ghcr.io",
        "http://ghcr.io",
        "https://ghcr.io/",
        "https://ghcr.io/v1/",
        "https://ghcr.io/v2/",
        "GHCR.io",
        " ghcr.io ",
    ],
)
def test_a_key_is_found_in_all_its_spellings(key: str) -> None:
    assert found("ghcr.io", auths={key: ENTRY}) == [key]


@pytest.mark.parametrize(
    "key",
    [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "registry-1.docker.io",
        "registry.hub.docker.com",
        "https://registry-1.docker.io/v2/",
        "docker.io/library",
    ],
)
def test_docker_hub_is_found_under_all_its_names(key: str) -> None:
    assert found("docker.io", "library/nginx", auths={key: ENTRY}) == [key]


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("localhost:5000", "localhost"),
        ("localhost", "localhost:5000"),
        ("localhost:5000", "localhost:5001"),
        ("registry.example:443", "registry.example"),
        ("example", "registry.example"),
        ("registry.example", "example"),
        ("docker.io.evil.example", "docker.io"),
        ("ghcr.io", "ghcr.io/other"),
        ("ghcr.io", "ghcr.io/tea"),
        ("ghcr.io", "ghcr.io/team/app/sub"),
    ],
)
def test_another_host_port_or_path_is_not_taken(host: str, key: str) -> None:
    assert found(host, auths={key: ENTRY}, credHelpers={key: "x"}) == []


def test_the_longest_path_is_the_first_choice() -> None:
    keys = ["quay.io", "quay.io/team", "https://quay.io/team/app", "quay.io/team/app/deeper"]

    assert found("quay.io", "team/app", auths=dict.fromkeys(keys, ENTRY)) == keys[2::-1]
    assert found("quay.io", "team/other", auths=dict.fromkeys(keys, ENTRY)) == keys[1::-1]
    assert found("quay.io", "", auths=dict.fromkeys(keys, ENTRY)) == ["quay.io"]


def test_the_plain_spelling_of_one_place_wins() -> None:
    assert found("ghcr.io", auths={"https://ghcr.io/v2/": ENTRY, "ghcr.io": ENTRY, "https://ghcr.io": ENTRY}) == [
        "ghcr.io"
    ]


def test_a_host_s_helper_comes_before_its_entry_and_the_store() -> None:
    document = {"auths": {"ghcr.io": ENTRY}, "credHelpers": {"ghcr.io": "special"}, "credsStore": "desktop"}

    assert found("ghcr.io", **document) == ["special ghcr.io", "ghcr.io"]
    assert found("quay.io", **document) == ["desktop quay.io"]


def test_an_empty_helper_turns_the_store_off_for_a_host() -> None:
    document = {"auths": {"ghcr.io": ENTRY}, "credHelpers": {"ghcr.io": ""}, "credsStore": "desktop"}

    assert found("ghcr.io", **document) == ["ghcr.io"]


def test_helpers_know_docker_hub_by_its_old_index() -> None:
    for key in ("docker.io", "index.docker.io", "https://index.docker.io/v1/"):
        assert found("docker.io", credHelpers={key: "x"}) == ["x https://index.docker.io/v1/"]
    assert found("docker.io", credsStore="x") == ["x https://index.docker.io/v1/"]


def test_a_store_is_asked_as_docker_login_was() -> None:
    assert found("a.example", auths={"https://a.example": {}}, credsStore="x") == ["x https://a.example"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"credHelpers": {"ghcr.io": "x"}}, True),
        ({"credsStore": "x", "auths": {"ghcr.io": {}}}, True),
        ({"credsStore": "x", "auths": {"quay.io": {}}}, False),
        ({"credsStore": "x"}, False),
        ({"credsStore": "x", "auths": {"ghcr.io": ENTRY}}, False),
    ],
    ids=["a helper for the host", "an empty entry", "another's entry", "nothing", "an entry that can do without"],
)
def test_a_file_promises_something_for_a_host_or_does_not(document: dict[str, object], expected: bool) -> None:
    first = config(**document).candidates("ghcr.io", "a")[0]

    assert isinstance(first, HelperCall)
    assert first.expected is expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(ENTRY, UserPassword(username="u", password="p", origin=""), id="auth"),
        pytest.param(
            {"auth": encoded("u", "p:with:colons")},
            UserPassword(username="u", password="p:with:colons", origin=""),
            id="colons in the password",
        ),
        pytest.param(
            {"auth": base64.b64encode(b"u:p\0\0").decode()},
            UserPassword(username="u", password="p", origin=""),
            id="zeros",
        ),
        pytest.param(
            {"auth": encoded("us", "er").rstrip("=")},
            UserPassword(username="us", password="er", origin=""),
            id="unpadded",
        ),
        pytest.param(
            {"auth": encoded("u", "x" * 80)[:76] + "\n" + encoded("u", "x" * 80)[76:] + "\n"},
            UserPassword(username="u", password="x" * 80, origin=""),
            id="wrapped",
        ),
        pytest.param(
            {"username": "u", "password": "p"}, UserPassword(username="u", password="p", origin=""), id="two fields"
        ),
        pytest.param(
            {"auth": encoded("a", "b"), "username": "u", "password": "p"},
            UserPassword(username="a", password="b", origin=""),
            id="auth wins over the fields",
        ),
        pytest.param(
            {"auth": encoded("<token>", "t")}, IdentityToken(token="t", origin=""), id="a token for a user name"
        ),
        pytest.param({"identitytoken": "t"}, IdentityToken(token="t", origin=""), id="identity token"),
        pytest.param(
            {"auth": encoded("u", ""), "identitytoken": "t"},
            IdentityToken(token="t", username="u", origin=""),
            id="identity token with a user",
        ),
        pytest.param(
            {"registrytoken": "r", "identitytoken": "t", **ENTRY},
            BearerToken(token="r", origin=""),
            id="registry token",
        ),
        pytest.param(
            {"IdentityToken": "t", "Auth": ""}, IdentityToken(token="t", origin=""), id="names in any case"
        ),
        pytest.param(
            {"auth": base64.b64encode("ü:ß".encode()).decode()},
            UserPassword(username="ü", password="ß", origin=""),
            id="not ASCII",
        ),
    ],
)
def test_an_entry_is_read(entry: dict[str, object], expected: object) -> None:
    assert inline(entry) == expected


@pytest.mark.parametrize("entry", [{}, None, {"auth": ""}, {"email": "a@b"}, {"username": "u"}, {"password": "p"}])
def test_an_entry_without_a_credential_is_none(entry: object) -> None:
    assert found("ghcr.io", auths={"ghcr.io": entry}) == []


@pytest.mark.parametrize(
    "auth",
    [
        "!!!",
        base64.b64encode(b"nocolon-s3cret").decode(),
        base64.b64encode(b":s3cret").decode(),
        "\xff",
        "YTpi\xe4",
    ],
)
def test_an_auth_that_is_no_user_and_password_is_told_without_showing_it(auth: str) -> None:
    with pytest.raises(ConfigError, match="there: auth is not base64 of user:password") as caught:
        inline({"auth": auth})

    assert auth not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1, column 1: it is not valid JSON"),
        (b'{"auths": {"ghcr.io": {"auth": "s3cret"}', "line 1, column 41: it is not valid JSON"),
        (b"[" * 100_000, "it is not valid JSON"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"[]", "the whole has to be an object"),
        (b'"s3cret"', "the whole has to be an object"),
        (b'{"auths": ["s3cret"]}', "auths has to be an object"),
        (b'{"auths": {"ghcr.io": "s3cret"}}', "auths, entry ghcr.io has to be an object"),
        (b'{"auths": {"ghcr.io": {"auth": 7}}}', "auths, entry ghcr.io: auth has to be a string"),
        (b'{"credHelpers": "s3cret"}', "credHelpers has to be an object"),
        (b'{"credHelpers": {"ghcr.io": 1}}', "credHelpers, entry ghcr.io has to be the NAME"),
        (b'{"credHelpers": {"ghcr.io": "../../bin/sh"}}', "credHelpers, entry ghcr.io has to be the NAME"),
        (b'{"credsStore": "a b"}', "credsStore has to be the NAME"),
        (b'{"credsStore": {}, "auths": 1}', "auths has to be an object"),
    ],
)
def test_a_broken_file_is_an_error_that_names_it_and_quotes_nothing(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DockerConfig.parse(content, file=FILE)

    assert str(caught.value).startswith(f"docker config {FILE}: {message}")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"\xef\xbb\xbf{}",
        b'{"auths": null, "credHelpers": null, "credsStore": null}',
        b'{"HttpHeaders": {}, "x": 1}',
    ],
)
def test_a_file_without_credentials_is_fine(content: bytes) -> None:
    assert DockerConfig.parse(content, file=FILE).candidates("ghcr.io", "a") == ()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/nonroot"}, "/home/nonroot/.docker/config.json"),
        ({"HOME": "/home/nonroot", "DOCKER_CONFIG": "/etc/docker-config"}, "/etc/docker-config/config.json"),
        ({"HOME": "/home/nonroot", "DOCKER_CONFIG": ""}, "/home/nonroot/.docker/config.json"),
        ({}, None),
    ],
)
def test_the_file_is_where_the_environment_says(environ: dict[str, str], expected: str | None) -> None:
    path = path_of(environ)

    assert (str(path) if path else None) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["auth", "ghcr.io", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    auths=JSON
    | st.dictionaries(st.text(max_size=20), st.dictionaries(st.sampled_from(["auth", "identitytoken"]), JSON)),
    helpers=JSON | st.dictionaries(st.text(max_size=20), st.text(max_size=10)),
    store=JSON,
    host=st.text(max_size=20),
    repository=st.text(max_size=20),
)
def test_any_document_is_read_or_refused(
    auths: object, helpers: object, store: object, host: str, repository: str
) -> None:
    content = json.dumps({"auths": auths, "credHelpers": helpers, "credsStore": store}).encode()
    try:
        candidates = DockerConfig.parse(content, file=FILE).candidates(host, repository)
        for candidate in candidates:
            if isinstance(candidate, Inline):
                candidate.credential("there")
    except ConfigError:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        DockerConfig.parse(content, file=FILE)
    except ConfigError as error:
        assert str(FILE) in str(error)
