"""Which credentials a registry of the config gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logins import docker_config, encoded, nobody, registry, user
from ocync.config.model import AuthType, RegistryConfig, Secret
from ocync.lib.errors import AuthError, ConfigError, ExitCode
from ocync.registry.auth.credential import Anonymous, BearerToken, StaticToken, UserPassword
from ocync.registry.auth.keychain import source_for

if TYPE_CHECKING:
    from ocync.registry.auth.credential import Credential

TOKEN = {"token": Secret("t0ken", origin="registries.src.token (${GITHUB_TOKEN})")}
CLOUDS = [
    (AuthType.ECR, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS credentials"),
    (AuthType.GAR, "europe-docker.pkg.dev", "Google credentials"),
    (AuthType.GCR, "gcr.io", "Google credentials"),
    (AuthType.ACR, "team.azurecr.io", "Azure credentials"),
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    auths = {
        host: {"auth": encoded("docker", "p")} for host in ("ghcr.io", "cgr.dev", *(host for _, host, _ in CLOUDS))
    }
    return docker_config(tmp_path, {"auths": auths})


async def found(config: RegistryConfig, environ: dict[str, str]) -> Credential:
    return await source_for(config, environ, nobody).credential("team/app")


@pytest.mark.parametrize("auth_type", [AuthType.BASIC, None, AuthType.GHCR])
async def test_a_user_name_and_a_password_are_taken_from_the_config(
    auth_type: AuthType | None, environ: dict[str, str]
) -> None:
    credential = await found(registry("cgr.dev", auth_type, **user()), environ)

    assert credential == UserPassword(username="robot", password="pass:word", origin="")
    assert "${NAME}" in credential.origin
    assert "${PASS}" in credential.origin


@pytest.mark.parametrize("auth_type", [AuthType.STATIC_TOKEN, None, AuthType.GHCR])
@pytest.mark.parametrize(("host", "first"), [("ghcr.io", True), ("ghcr.io/acme", True), ("cgr.dev", False)])
async def test_a_token_is_taken_from_the_config_and_github_s_is_exchanged(
    auth_type: AuthType | None, host: str, first: bool, environ: dict[str, str]
) -> None:
    credential = await found(registry(host, auth_type, **TOKEN), environ)

    assert credential == StaticToken(token="t0ken", exchange_first=first, origin="")
    assert credential.origin == "registries.src.token (${GITHUB_TOKEN})"


@pytest.mark.parametrize(
    ("auth_type", "host"),
    [
        (None, "cgr.dev"),
        (AuthType.DOCKER_CONFIG, "cgr.dev"),
        (AuthType.GHCR, "ghcr.io"),
        *((None, host) for _, host, _ in CLOUDS),
    ],
)
async def test_the_docker_config_is_asked(auth_type: AuthType | None, host: str, environ: dict[str, str]) -> None:
    credential = await found(registry(host, auth_type), environ)

    assert credential == UserPassword(username="docker", password="p", origin="")
    assert f"entry {host}" in credential.origin


@pytest.mark.parametrize("auth_type", [None, AuthType.DOCKER_CONFIG, AuthType.GHCR])
async def test_a_host_without_an_entry_is_anonymous(auth_type: AuthType | None, environ: dict[str, str]) -> None:
    credential = await found(registry("quay.io", auth_type), environ)

    assert isinstance(credential, Anonymous)
    assert credential.origin == f"no entry for quay.io in docker config {environ['HOME']}/.docker/config.json"
    assert "docker login quay.io" in credential.hint


async def test_anonymous_is_anonymous_whatever_the_docker_config_holds(environ: dict[str, str]) -> None:
    credential = await found(registry("cgr.dev", AuthType.ANONYMOUS, **user()), environ)

    assert isinstance(credential, Anonymous)
    assert credential.origin == "auth_type: anonymous of registry src"


async def test_the_docker_config_is_asked_by_choice_whatever_else_there_is(environ: dict[str, str]) -> None:
    credential = await found(registry("cgr.dev", AuthType.DOCKER_CONFIG, **user()), environ)

    assert credential == UserPassword(username="docker", password="p", origin="")


@pytest.mark.parametrize(("auth_type", "host", "what"), CLOUDS)
async def test_a_cloud_s_login_by_choice_needs_credentials_of_that_cloud_whatever_the_docker_config_holds(
    auth_type: AuthType, host: str, what: str, environ: dict[str, str]
) -> None:
    with pytest.raises(AuthError) as caught:
        await found(registry(host, auth_type), environ)

    assert caught.value.exit_code is ExitCode.AUTH
    assert caught.value.host == host
    assert caught.value.message.startswith(f"{host}: there are no {what}")
    assert caught.value.hint


@pytest.mark.parametrize(("auth_type", "host", "what"), CLOUDS)
async def test_a_cloud_s_registry_without_any_credentials_is_asked_anonymously(
    auth_type: AuthType, host: str, what: str, tmp_path: Path
) -> None:
    credential = await found(registry(host), docker_config(tmp_path, {}))

    assert isinstance(credential, Anonymous)
    assert credential.origin.startswith(f"there are no {what}")
    assert f"no entry for {host} in docker config" in credential.origin
    assert f"set auth_type: {auth_type}" in credential.hint


@pytest.mark.parametrize(
    ("auth_type", "host", "library", "extra"),
    [
        (AuthType.ECR, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "botocore", "aws"),
        (AuthType.GAR, "europe-docker.pkg.dev", "google.auth", "gcp"),
        (AuthType.ACR, "team.azurecr.io", "azure.identity", "azure"),
    ],
)
def test_a_login_whose_library_is_not_installed_says_how_to_install_it(
    auth_type: AuthType, host: str, library: str, extra: str
) -> None:
    lines = (
        "import asyncio, sys",
        f"sys.modules[{library!r}] = None",
        "from logins import AuthType, nobody, registry",
        "from ocync.registry.auth.keychain import source_for",
        f"config = registry({host!r}, AuthType({auth_type.value!r}))",
        "asyncio.run(source_for(config, {}, nobody).credential(''))",
    )
    code = "\n".join(lines)

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )

    assert f"NoLoginError: {host}: the " in done.stderr
    assert f"pip install 'ocync[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (registry("a.example", AuthType.BASIC), "registry src has no credentials with a user name and a password"),
        (registry("a.example", username=Secret("u")), "no credentials with a user name and a password"),
        (registry("a.example", AuthType.STATIC_TOKEN), "registry src has no token"),
        (RegistryConfig(name="src", layout=Path("x")), "registry src is a folder"),
    ],
)
def test_a_config_without_what_its_auth_type_needs_is_refused(config: RegistryConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_for(config, {}, nobody)


async def test_a_registry_token_of_the_docker_config_stays_one(tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"auths": {"a.example": {"registrytoken": "r"}}})

    assert await found(registry("a.example"), environ) == BearerToken(token="r", origin="")


async def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    source = source_for(
        registry("a.example", AuthType.STATIC_TOKEN, token=Secret(file=tmp_path / "later")), {}, nobody
    )
    (tmp_path / "later").write_text("t0ken\n")

    assert await source.credential("") == StaticToken(token="t0ken", origin="")
