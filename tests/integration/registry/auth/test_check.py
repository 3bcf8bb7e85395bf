"""What `ocync auth check` finds out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from logins import docker_config, encoded, helper, registry, user
from ocync.config.model import AuthType, RegistryConfig, Secret, Timeouts
from ocync.lib.errors import AuthError, ConfigError, ExitCode, NetworkError
from ocync.registry.auth.check import CheckOutcome, Finding, check
from ocync.registry.auth.scope import Scope
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.run.repositories import RepositoryFactory
from scripted import Anonymous as Nobody
from scripted import Basic, Bearer, ScriptedRegistry, User, faults

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROBOT = User(name="robot", password="pass:word", pull=("team/",), push=("team/",))
PULL = Scope("team/app", ("pull",))
PUSH = Scope("team/app", ("pull", "push"))


async def found(
    config: RegistryConfig, environ: Mapping[str, str] | None = None, *, scope: Scope | None = None
) -> Finding:
    repositories = RepositoryFactory(
        timeouts=Timeouts(connect=1, idle=5), policy=RetryPolicy(attempts=1), tally=RequestTally(), environ={}
    )
    async with repositories:
        return await check(
            config, environ or {}, send=repositories.client(config).send_to_token_service, scope=scope
        )


@pytest.mark.parametrize("scope", [None, PULL, PUSH], ids=["no scope", "pull", "push"])
@pytest.mark.parametrize(
    "auth", [Basic(users=(ROBOT,)), Bearer(users=(ROBOT,), anonymous=None)], ids=["basic", "bearer"]
)
async def test_credentials_that_are_accepted_are_told_with_their_origin(
    auth: Basic | Bearer, scope: Scope | None
) -> None:
    async with ScriptedRegistry(auth=auth) as made:
        finding = await found(registry(made.url, AuthType.BASIC, **user()), scope=scope)

    assert finding == Finding(
        registry="src",
        host=made.host,
        kind="user name and password",
        origin="registries.src.credentials.username (${NAME}) and registries.src.credentials.password (${PASS})",
        verdict=CheckOutcome.ACCEPTED,
        message=f"{made.host} accepts the user name and password",
    )


@pytest.mark.parametrize("scope", [None, PULL], ids=["no scope", "pull"])
@pytest.mark.parametrize("auth", [Basic(users=(ROBOT,)), Bearer(users=(ROBOT,))], ids=["basic", "bearer"])
async def test_credentials_that_are_refused_are_told_with_their_origin(
    auth: Basic | Bearer, scope: Scope | None
) -> None:
    async with ScriptedRegistry(auth=auth) as made:
        finding = await found(registry(made.url, AuthType.BASIC, **user(password="s3cret")), scope=scope)

    assert finding.verdict is CheckOutcome.REFUSED
    assert isinstance(finding.error, AuthError)
    assert finding.error.exit_code is ExitCode.AUTH
    assert (
        "refuses the user name and password from registries.src.credentials.username (${NAME})" in finding.message
    )
    assert "s3cret" not in repr(finding)


async def test_credentials_that_do_not_suffice_for_the_repository_are_refused() -> None:
    for auth in (Basic(users=(ROBOT,)), Bearer(users=(ROBOT,), denied_status=403)):
        async with ScriptedRegistry(auth=auth) as made:
            config = registry(made.url, AuthType.BASIC, **user())
            finding = await found(config, scope=Scope("others/app", ("pull",)))

        assert finding.verdict is CheckOutcome.REFUSED
        assert f"{made.host} answered 403: DENIED" in finding.message
        assert "to the user name and password from registries.src" in finding.message


async def test_a_repository_that_is_not_for_everyone_is_refused_to_nobody() -> None:
    async with ScriptedRegistry(auth=Bearer(anonymous=Nobody(pull=("public/",)), denied_status=403)) as made:
        finding = await found(registry(made.url, AuthType.ANONYMOUS), scope=PULL)

    assert finding.verdict is CheckOutcome.REFUSED
    assert "to no credentials, since there was auth_type: anonymous of registry src" in finding.message
    assert "choose another auth_type" in finding.message


async def test_a_registry_that_asks_at_the_repository_only_is_shown_the_credentials_there() -> None:
    for auth in (Basic(users=(ROBOT,)), Bearer(users=(ROBOT,), anonymous=None)):
        async with ScriptedRegistry(auth=auth) as made:
            made.on("GET", "^/v2/$", respond=faults.answer(200))
            finding = await found(registry(made.url, AuthType.BASIC, **user()), scope=PULL)

        assert finding.verdict is CheckOutcome.ACCEPTED


async def test_a_registry_token_is_not_repeated_by_a_finding(tmp_path: Path) -> None:
    async with ScriptedRegistry(auth=Bearer()) as made:
        made.on("GET", "tags/list", respond=faults.error(403, "DENIED", "you sent s3cret"))
        environ = docker_config(tmp_path, {"auths": {made.host: {"registrytoken": "s3cret"}}})
        finding = await found(registry(made.url), environ, scope=PULL)

    assert finding.verdict is CheckOutcome.REFUSED
    assert "you sent ***" in finding.message


async def test_a_docker_config_and_its_helper_are_named(tmp_path: Path) -> None:
    async with ScriptedRegistry(auth=Basic(users=(ROBOT,))) as made:
        environ = docker_config(tmp_path, {"credHelpers": {made.host: "x"}})
        script = """echo '{"Username":"robot","Secret":"pass:word"}'"""
        helped = await found(registry(made.url), helper(tmp_path / "bin", "x", script, environ))
        environ = docker_config(tmp_path, {"auths": {made.host: {"auth": encoded("robot", "pass:word")}}})
        plain = await found(registry(made.url), environ)

    file = tmp_path / ".docker" / "config.json"
    assert helped.verdict is plain.verdict is CheckOutcome.ACCEPTED
    assert helped.origin == f"docker-credential-x for {made.host} (docker config {file})"
    assert plain.origin == f"docker config {file}, entry {made.host}"


async def test_nobody_is_told_where_credentials_were_looked_for(tmp_path: Path) -> None:
    file = tmp_path / ".docker" / "config.json"
    async with ScriptedRegistry(auth=Bearer()) as made:
        finding = await found(registry(made.url), {"HOME": str(tmp_path)}, scope=PULL)
    assert finding.verdict is CheckOutcome.ANONYMOUS
    assert (finding.kind, finding.origin) == ("anonymous", f"no docker config at {file}")

    async with ScriptedRegistry(auth=Basic(users=(ROBOT,))) as made:
        finding = await found(registry(made.url), {"HOME": str(tmp_path)})
    assert finding.verdict is CheckOutcome.REFUSED
    assert f"there are none: no docker config at {file}" in finding.message
    assert "docker login" in finding.message


async def test_credentials_that_were_never_asked_for_were_not_shown() -> None:
    async with ScriptedRegistry() as made:
        finding = await found(registry(made.url, AuthType.BASIC, **user()), scope=PULL)

    assert finding.verdict is CheckOutcome.NOT_ASKED
    assert {each.scheme for each in made.requests} == {None}


async def test_anonymous_reading_where_writing_needs_credentials() -> None:
    async with ScriptedRegistry(auth=Basic(users=(ROBOT,), anonymous=Nobody(tags=None))) as made:
        finding = await found(registry(made.url, AuthType.ANONYMOUS), scope=PULL)

    assert finding.verdict is CheckOutcome.ANONYMOUS


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        (registry("http://127.0.0.1:1", AuthType.BASIC, **user()), NetworkError, "127.0.0.1:1"),
        (registry("a.example", AuthType.STATIC_TOKEN), ConfigError, "registry src has no token"),
        (registry("team.azurecr.io", AuthType.ACR), AuthError, "there are no Azure credentials"),
        (
            registry("a.example", token=Secret("", origin="registries.src.token (${TOKEN})")),
            AuthError,
            "registries.src.token (${TOKEN}) is empty",
        ),
    ],
    ids=["no registry", "no token", "cloud", "empty"],
)
async def test_what_stands_in_the_way_is_a_finding_too(
    config: RegistryConfig, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    async def nowhere(_request: Any) -> Any:
        raise AssertionError("nothing is sent before the credentials are there")

    if kind is NetworkError:
        finding = await found(config)
    else:
        finding = await check(config, {"HOME": str(tmp_path)}, send=nowhere)

    assert isinstance(finding.error, kind)
    assert finding.verdict is (CheckOutcome.REFUSED if kind is AuthError else CheckOutcome.FAILED)
    assert message in finding.message


async def test_a_broken_docker_config_is_a_finding(tmp_path: Path) -> None:
    async with ScriptedRegistry(auth=Bearer()) as made:
        finding = await found(registry(made.url), docker_config(tmp_path, "{"))

    assert finding.verdict is CheckOutcome.FAILED
    assert isinstance(finding.error, ConfigError)
    assert "config.json: line 1, column 2" in finding.message


async def test_a_registry_that_makes_no_sense_is_a_finding() -> None:
    async with ScriptedRegistry() as made:
        made.on("GET", "^/v2/$", respond=faults.answer(404))
        made.on("GET", "tags/list", respond=faults.answer(405))
        finding = await found(registry(made.url, AuthType.ANONYMOUS), scope=PULL)

    assert finding.verdict is CheckOutcome.FAILED
    assert finding.message == f"{made.host} answered 405"


async def test_a_login_page_is_no_registry_that_asks_for_nothing() -> None:
    async with ScriptedRegistry() as made:
        made.on("GET", "^/v2/", respond=faults.html())
        finding = await found(registry(made.url, AuthType.ANONYMOUS), scope=PULL)

    assert finding.verdict is CheckOutcome.FAILED
    assert finding.message.startswith(f"{made.host} answered 200 with a web page; a proxy or a login page")


async def test_a_folder_needs_no_credentials(tmp_path: Path) -> None:
    finding = await check(RegistryConfig(name="disk", layout=tmp_path), {}, send=None)  # type: ignore[arg-type]

    assert finding.verdict is CheckOutcome.FOLDER
    assert str(tmp_path) in finding.message
