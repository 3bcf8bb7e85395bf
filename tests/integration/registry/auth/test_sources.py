"""Credentials from files and helpers: read once, and again when they are refused."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from logins import docker_config, encoded, helper, nobody, registry, user
from ocync.config.model import AuthType, Secret
from ocync.lib.errors import AuthError, ConfigError, ExitCode, StorageError
from ocync.registry.auth.credential import Anonymous, IdentityToken, UserPassword
from ocync.registry.auth.keychain import source_for

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.registry.auth.credential import CredentialSource

COUNTING = """
echo run >> "$RUNS"
echo '{"Username":"helped","Secret":"'$(wc -l < "$RUNS")'"}'
"""


def entry(name: str, password: str = "p") -> dict[str, str]:
    return {"auth": encoded(name, password)}


def docker(environ: dict[str, str], host: str = "cgr.dev", auth_type: AuthType | None = None) -> CredentialSource:
    return source_for(registry(host, auth_type), environ, nobody)


@pytest.fixture
def counted(tmp_path: Path) -> dict[str, str]:
    """An environment with a helper for cgr.dev that counts its runs in its answers."""
    environ = docker_config(tmp_path, {"credHelpers": {"cgr.dev": "cgr"}})
    return {**helper(tmp_path / "bin", "cgr", COUNTING, environ), "RUNS": str(tmp_path / "runs")}


async def test_a_helper_is_run_once_however_many_ask(counted: dict[str, str]) -> None:
    source = docker(counted)

    credentials = await asyncio.gather(*(source.credential(f"team/app{n}") for n in range(30)))

    assert set(credentials) == {UserPassword(username="helped", password="1", origin="")}


async def test_a_refused_credential_makes_the_helper_run_again_once(counted: dict[str, str]) -> None:
    source = docker(counted)
    first = await source.credential("team/app")

    again = await asyncio.gather(*(source.credential("team/app", refused=first) for _ in range(10)))

    assert set(again) == {UserPassword(username="helped", password="2", origin="")}
    assert await source.credential("team/app") is again[0]


async def test_a_docker_config_that_changed_is_read_again_after_a_refusal(tmp_path: Path) -> None:
    source = docker(docker_config(tmp_path, {"auths": {"cgr.dev": entry("old")}}))
    old = await source.credential("team/app")
    docker_config(tmp_path, {"auths": {"cgr.dev": entry("new")}})

    assert (await source.credential("team/app")) is old
    assert await source.credential("team/app", refused=old) == UserPassword(username="new", password="p", origin="")


async def test_a_docker_config_that_appears_is_found_after_a_refusal(tmp_path: Path) -> None:
    source = docker({"HOME": str(tmp_path)})
    nobody = await source.credential("team/app")
    docker_config(tmp_path, {"auths": {"cgr.dev": entry("late")}})

    assert isinstance(nobody, Anonymous)
    assert await source.credential("a", refused=nobody) == UserPassword(username="late", password="p", origin="")


async def test_files_of_the_config_are_read_again_after_a_refusal(tmp_path: Path) -> None:
    name, word = tmp_path / "username", tmp_path / "password"
    name.write_text("u\n")
    word.write_text("old\n")
    files = {
        "username": Secret(file=name, origin="username_file"),
        "password": Secret(file=word, origin="password_file"),
    }
    source = source_for(registry("cgr.dev", AuthType.BASIC, **files), {}, nobody)
    old = await source.credential("team/app")
    word.write_text("new\n")

    assert await source.credential("team/app") == UserPassword(username="u", password="old", origin="")
    assert await source.credential("b", refused=old) == UserPassword(username="u", password="new", origin="")
    assert f"password_file ({word})" in old.origin


async def test_a_file_that_vanished_is_an_error_at_the_next_read(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("t0ken")
    source = source_for(registry("a.example", token=Secret(file=tmp_path / "t", origin="token_file")), {}, nobody)
    token = await source.credential("")
    (tmp_path / "t").unlink()

    with pytest.raises(StorageError, match=r"can't read token_file \(.*/t\): No such file"):
        await source.credential("", refused=token)


async def test_each_repository_gets_the_entry_of_its_longest_path(tmp_path: Path) -> None:
    auths = {"quay.io": entry("all"), "quay.io/team": entry("team"), "quay.io/team/app": entry("app")}
    source = docker(docker_config(tmp_path, {"auths": auths}), "quay.io")

    names = [(await source.credential(name)) for name in ("team/app", "team/other", "others/app", "")]

    assert [each.username for each in names if isinstance(each, UserPassword)] == ["app", "team", "all", "all"]


async def test_docker_hub_is_known_to_a_store_by_its_old_index(tmp_path: Path) -> None:
    script = """[ "$(cat)" = https://index.docker.io/v1/ ] && echo '{"Username":"<token>","Secret":"t"}'"""
    environ = helper(tmp_path / "bin", "desktop", script, docker_config(tmp_path, {"credsStore": "desktop"}))

    assert await docker(environ, "docker.io").credential("library/nginx") == IdentityToken(token="t", origin="")


async def test_a_store_that_holds_nothing_leaves_the_file_s_own_entry(tmp_path: Path) -> None:
    document = {"credsStore": "desktop", "auths": {"cgr.dev": entry("u")}}
    script = "echo credentials not found in native keychain; exit 1"
    environ = helper(tmp_path / "bin", "desktop", script, docker_config(tmp_path, document))

    assert await docker(environ).credential("a") == UserPassword(username="u", password="p", origin="")
    other = await docker(environ, "quay.io").credential("a")
    assert isinstance(other, Anonymous)


async def test_a_helper_that_fails_is_an_error_and_not_anonymous(tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"credHelpers": {"cgr.dev": "cgr"}, "auths": {"cgr.dev": entry("u")}})

    with pytest.raises(AuthError, match="failed with exit code 7") as caught:
        await docker(helper(tmp_path / "bin", "cgr", "exit 7", environ)).credential("a")

    assert caught.value.host == "cgr.dev"
    assert str(tmp_path / ".docker" / "config.json") in str(caught.value)


async def test_a_helper_for_the_host_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"credHelpers": {"cgr.dev": "cgr"}})

    with pytest.raises(AuthError, match="docker-credential-cgr is not installed") as caught:
        await docker(environ).credential("a")

    assert caught.value.exit_code is ExitCode.AUTH
    assert caught.value.host == "cgr.dev"


async def test_a_desktop_s_store_that_is_not_installed_is_a_warning_for_other_hosts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = {"credsStore": "osxkeychain", "auths": {"https://index.docker.io/v1/": {}}}
    environ = docker_config(tmp_path, document)

    with caplog.at_level(logging.WARNING):
        credential = await docker(environ).credential("a")
    assert isinstance(credential, Anonymous)
    assert "docker-credential-osxkeychain is not installed" in caplog.text
    for host, auth_type in (("docker.io", None), ("cgr.dev", AuthType.DOCKER_CONFIG)):
        with pytest.raises(AuthError, match="docker-credential-osxkeychain is not installed"):
            await docker(environ, host, auth_type).credential("a")


async def test_an_absent_docker_config_is_anonymous_and_told_at_debug(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        credential = await docker({"HOME": str(tmp_path)}).credential("a")

    assert isinstance(credential, Anonymous)
    assert credential.origin == f"no docker config at {tmp_path}/.docker/config.json"
    assert [record.levelname for record in caplog.records if "no docker config" in record.message] == ["DEBUG"]


async def test_without_a_home_there_is_no_docker_config() -> None:
    credential = await docker({}).credential("a")

    assert credential.origin == "no docker config: neither DOCKER_CONFIG nor HOME is set"


async def test_docker_config_names_another_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"cgr.dev": entry("u")}}))

    credential = await docker({"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)}).credential("a")

    assert credential == UserPassword(username="u", password="p", origin="")
    assert credential.origin == f"docker config {tmp_path}/config.json, entry cgr.dev"


@pytest.mark.parametrize("auth_type", [None, AuthType.DOCKER_CONFIG, AuthType.GHCR])
async def test_a_broken_docker_config_is_an_error_that_names_it(tmp_path: Path, auth_type: AuthType | None) -> None:
    environ = docker_config(tmp_path, '{"auths": {"cgr.dev": {"auth": "czNjcmV0')

    with pytest.raises(
        ConfigError, match=r"\.docker/config\.json: line 1, column 32: it is not valid JSON"
    ) as caught:
        await docker(environ, "cgr.dev", auth_type).credential("a")

    assert "czNj" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.CONFIG


async def test_a_docker_config_that_can_not_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / ".docker" / "config.json").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"can't read docker config .*config\.json: it is not a file"):
        await docker({"HOME": str(tmp_path)}).credential("a")

    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"docker config .*: .*/file is not a folder"):
        await docker({"DOCKER_CONFIG": str(tmp_path / "file")}).credential("a")


async def test_credentials_of_the_config_need_no_file() -> None:
    source = source_for(registry("cgr.dev", AuthType.BASIC, **user("u", "p")), {}, nobody)
    first = await source.credential("a")

    assert first == await source.credential("b", refused=first)
