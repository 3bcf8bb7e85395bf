"""Google's login, by google-auth's own code against a fake; the metadata server's is with the end-to-end tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fakes.google import ACCOUNT, FakeGoogle
from fakes.service import Answer
from logins import docker_config, encoded, nobody, registry
from ocync.config.model import AuthType
from ocync.lib.errors import AuthError, NetworkError, ServerError
from ocync.registry.auth import gcp
from ocync.registry.auth.credential import Anonymous, UserPassword
from ocync.registry.auth.keychain import source_for
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocync.registry.auth.credential import Credential

HOST = "europe-docker.pkg.dev"
REFUSED = Answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


async def found(
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    auth_type: AuthType | None = AuthType.GAR,
    environ: dict[str, str] | None = None,
) -> Credential:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return await source_for(registry(HOST, auth_type), environ or {}, nobody).credential("project/app")


async def test_a_service_account_s_file_gives_a_token(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = await found(google.service_account(tmp_path), monkeypatch)

    assert credential == UserPassword(username="oauth2accesstoken", password=google.token, origin="")
    assert credential.origin == f"Google credentials (service account {ACCOUNT})"
    assert [asked.path for asked in google.asked] == ["/token"]


async def test_an_external_account_s_token_is_exchanged_and_nothing_else_is_asked(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = await found(google.external_account(tmp_path), monkeypatch)

    assert credential == UserPassword(username="oauth2accesstoken", password=google.token, origin="")
    assert credential.origin == "Google credentials (external account)"
    assert [asked.path for asked in google.asked] == ["/v1/token"]


async def test_the_life_of_a_token_is_what_google_says(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.life = 1234
    for name, value in google.service_account(tmp_path).items():
        monkeypatch.setenv(name, value)

    assert gcp.log_in(HOST, ca_file=None).life == pytest.approx(1234, abs=5)


async def test_a_token_that_is_refused_is_fetched_anew(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in google.service_account(tmp_path).items():
        monkeypatch.setenv(name, value)
    source = source_for(registry(HOST), {}, nobody)
    old = await source.credential("")
    google.token = "ya29.google-token-2"

    assert await source.credential("") is old
    new = await source.credential("", refused=old)
    assert new == UserPassword(username="oauth2accesstoken", password="ya29.google-token-2", origin="")


async def test_what_google_refuses_is_an_auth_error_that_says_why(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.refusal = REFUSED
    with pytest.raises(AuthError, match=r"can't log in to Google: .*Invalid JWT Signature") as caught:
        await found(google.service_account(tmp_path), monkeypatch)

    assert "PRIVATE" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_refused_login_of_a_host_that_serves_everybody_is_a_warning(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    google.refusal = REFUSED
    environ = docker_config(tmp_path, {})

    credential = await found(google.service_account(tmp_path), monkeypatch, auth_type=None, environ=environ)

    assert isinstance(credential, Anonymous)
    assert "Invalid JWT Signature" in caplog.text


async def test_a_docker_config_entry_serves_where_there_are_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: {"auth": encoded("_json_key", "{}")}}})

    credential = await found({}, monkeypatch, auth_type=None, environ=environ)

    assert credential == UserPassword(username="_json_key", password="{}", origin="")


async def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthError, match=r"File /nowhere/google\.json was not found"):
        await found({"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/google.json"}, monkeypatch)


async def test_a_broken_or_missing_token_endpoint_is_worth_another_try(
    google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.refusal = Answer(503, {"error": "internal_failure"})
    variables = google.service_account(tmp_path)
    with pytest.raises(ServerError):
        await found(variables, monkeypatch)

    file = tmp_path / "google.json"
    file.write_text(file.read_text().replace(google.url, "http://127.0.0.1:1"))
    with pytest.raises(NetworkError):
        await found(variables, monkeypatch)


async def test_the_authorities_that_the_environment_names_are_trusted_for_google_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    authority = make_authority(tmp_path)
    with FakeGoogle(tls=authority.server_context()) as google:
        variables = google.service_account(tmp_path)
        trusted = await found(variables, monkeypatch, environ={"SSL_CERT_FILE": str(authority.ca_file)})
        with pytest.raises(NetworkError, match="certificate verify failed"):
            await found(variables, monkeypatch)

    assert isinstance(trusted, UserPassword)
