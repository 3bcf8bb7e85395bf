"""ECR's login, by botocore's own code against a fake of AWS."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from clients import Side
from fakes.aws import FakeAws
from logins import basic, docker_config, encoded, nobody, registry
from ocync.config.model import AuthType, RegistryConfig
from ocync.lib.errors import AuthError, ConfigError, ExitCode, NetworkError, RateLimitedError, ServerError
from ocync.oci.reference import Registry
from ocync.registry.auth import aws as login
from ocync.registry.auth.credential import Anonymous, UserPassword
from ocync.registry.auth.keychain import ecr_endpoint, source_for
from ocync.transfer.result import Status
from scripted import Basic, ScriptedRegistry, User, build, faults
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ocync.registry.auth.credential import Credential
    from scripted.wire import Request

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ENVIRON = {"AWS_REGION": "eu-west-1"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """A cloud that this process has no credentials for."""
    with FakeAws() as fake:
        give(monkeypatch, fake.variables)
        yield fake


@pytest.fixture
def keys(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """The cloud, with access keys in the environment."""
    give(monkeypatch, aws.static)
    return aws


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


async def found(config: RegistryConfig, environ: dict[str, str] | None = None) -> Credential:
    return await source_for(config, environ or {}, nobody).credential("team/app")


def ecr(url: str, name: str = "ecr", **options: Any) -> RegistryConfig:
    return RegistryConfig(name=name, registry=Registry.parse(url), auth_type=AuthType.ECR, **options)


@pytest.mark.parametrize("link", ["static", "web identity", "container", "instance", "process"])
async def test_each_link_of_the_chain_gives_the_password(
    link: str, aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, profile = aws.chain(link, tmp_path)
    if "AWS_EC2_METADATA_DISABLED" not in variables:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    give(monkeypatch, variables)

    credential = await found(registry(HOST, AuthType.ECR, aws_profile=profile or None))

    assert credential == UserPassword(username="AWS", password="ecr-password-1", origin="")
    assert credential.origin.endswith("by ecr in eu-central-1")
    assert [region for _, region, _ in aws.state.logins] == ["eu-central-1"]


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        (HOST, "https://api.ecr.eu-central-1.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "https://ecr-fips.us-east-1.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "https://ecr-fips.us-gov-west-1.amazonaws.com"),
        ("123456789012.dkr-ecr.us-east-2.on.aws", "https://ecr.us-east-2.api.aws"),
        ("123456789012.dkr-ecr-fips.us-east-2.on.aws", "https://ecr-fips.us-east-2.api.aws"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "https://api.ecr.us-iso-east-1.c2s.ic.gov"),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "https://api.ecr.eusc-de-east-1.amazonaws.eu"),
        ("public.ecr.aws", "https://api.ecr-public.us-east-1.amazonaws.com"),
        ("ecr-public.aws.com", "https://api.ecr-public.us-east-1.amazonaws.com"),
    ],
)
def test_the_name_of_the_host_leads_to_the_endpoint_of_its_api(
    host: str, endpoint: str, keys: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in keys.variables:
        if name.startswith("AWS_ENDPOINT_URL_"):
            monkeypatch.delenv(name)

    api, _ = login.client(ecr_endpoint(registry(host), ENVIRON))

    assert api.meta.endpoint_url == endpoint


def test_fips_endpoints_are_used_for_all_hosts_where_the_environment_asks_for_them(
    keys: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_ECR")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")

    api, _ = login.client(ecr_endpoint(registry("123456789012.dkr.ecr.us-east-1.amazonaws.com"), {}))

    assert api.meta.endpoint_url == "https://ecr-fips.us-east-1.amazonaws.com"


async def test_an_endpoint_that_the_user_names_is_asked_whatever_the_host_s_name_says(keys: FakeAws) -> None:
    config = registry("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com")

    assert isinstance(await found(config, {**ENVIRON, **keys.static}), UserPassword)
    assert keys.state.logins == [("AKIASTATIC", "us-east-1", "ecr")]


async def test_ecr_public_is_logged_in_to_in_its_own_region(keys: FakeAws) -> None:
    credential = await found(registry("public.ecr.aws"), ENVIRON)

    assert credential == UserPassword(username="AWS", password="ecr-password-1", origin="")
    assert keys.state.logins == [("AKIASTATIC", "us-east-1", "ecr-public")]


async def test_a_host_by_another_name_takes_the_region_of_the_environment(keys: FakeAws) -> None:
    await found(registry("mirror.example", AuthType.ECR), {"AWS_DEFAULT_REGION": "sa-east-1"})

    assert keys.state.logins == [("AKIASTATIC", "sa-east-1", "ecr")]
    with pytest.raises(ConfigError, match=r"the name mirror\.example contains no AWS region"):
        await found(registry("mirror.example", AuthType.ECR), {})


async def test_two_registries_log_in_with_a_profile_each(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.state.keys |= {"AKIAEAST", "AKIAWEST"}
    file = tmp_path / "credentials"
    file.write_text(
        "[east]\naws_access_key_id = AKIAEAST\naws_secret_access_key = s\n"
        "[west]\naws_access_key_id = AKIAWEST\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    configs = [registry(HOST, aws_profile=name) for name in ("east", "west")]

    east, west = await asyncio.gather(*(found(config) for config in configs))

    assert sorted(key for key, _, _ in aws.state.logins) == ["AKIAEAST", "AKIAWEST"]
    assert "of profile east (the shared credentials file)" in east.origin
    assert "of profile west (the shared credentials file)" in west.origin


@pytest.mark.parametrize("skew", [timedelta(), timedelta(hours=30), timedelta(hours=-30)])
async def test_the_life_of_a_password_is_by_the_clock_of_who_gave_it(skew: timedelta, keys: FakeAws) -> None:
    keys.state.skew, keys.state.life = skew, timedelta(hours=3)

    given = await asyncio.to_thread(login.log_in, ecr_endpoint(registry(HOST), {}))

    assert given.life == pytest.approx(3 * 3600, abs=5)


# When it does not work


async def test_without_credentials_the_docker_config_serves_a_host_that_is_known_by_its_name(
    aws: FakeAws, tmp_path: Path
) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: {"auth": encoded("AWS", "from-docker")}}})

    credential = await found(registry(HOST), environ)

    assert credential == UserPassword(username="AWS", password="from-docker", origin="")
    assert f"entry {HOST}" in credential.origin


async def test_credentials_of_aws_go_before_the_docker_config(keys: FakeAws, tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: {"auth": encoded("AWS", "from-docker")}}})

    by_name = await found(registry(HOST), environ)
    assert by_name == UserPassword(username="AWS", password="ecr-password-1", origin="")
    by_choice = await found(registry(HOST, AuthType.DOCKER_CONFIG), environ)
    assert by_choice == UserPassword(username="AWS", password="from-docker", origin="")


async def test_what_aws_refuses_is_replaced_by_the_docker_config_with_a_warning(
    keys: FakeAws, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys.state.denied["GetAuthorizationToken"] = "AccessDeniedException"
    environ = docker_config(tmp_path, {"auths": {HOST: {"auth": encoded("AWS", "from-docker")}}})

    assert await found(registry(HOST), environ) == UserPassword(username="AWS", password="from-docker", origin="")
    assert "AccessDeniedException" in caplog.text
    assert "using instead: user name and password from docker config" in caplog.text


async def test_what_aws_refuses_stands_where_there_is_nothing_else_for_a_private_registry(
    keys: FakeAws, tmp_path: Path
) -> None:
    keys.state.denied["GetAuthorizationToken"] = "AccessDeniedException"

    with pytest.raises(AuthError, match="AccessDeniedException") as caught:
        await found(registry(HOST), docker_config(tmp_path, {}))

    assert caught.value.exit_code is ExitCode.AUTH
    assert "policy" in str(caught.value.hint)


async def test_ecr_public_is_read_without_a_login_where_that_is_refused(
    keys: FakeAws, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys.state.denied["GetAuthorizationToken"] = "AccessDeniedException"

    assert isinstance(await found(registry("public.ecr.aws"), docker_config(tmp_path, {})), Anonymous)
    assert "AccessDeniedException" in caplog.text


async def test_a_profile_that_is_not_there_is_named(keys: FakeAws) -> None:
    with pytest.raises(AuthError, match=r"The config profile \(nobody\) could not be found"):
        await found(registry(HOST, AuthType.ECR, aws_profile="nobody"))


async def test_a_web_identity_that_sts_refuses_is_an_auth_error_that_says_why(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, aws.chain("web identity", tmp_path)[0])
    aws.state.denied["AssumeRoleWithWebIdentity"] = "ExpiredTokenException"

    with pytest.raises(AuthError, match=r"ExpiredTokenException.*AssumeRoleWithWebIdentity.*the token has expired"):
        await found(registry(HOST, AuthType.ECR))


async def test_a_process_that_fails_is_no_secret_and_no_traceback(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, profile = aws.chain("process", tmp_path)
    (tmp_path / "give-credentials").write_text("#!/bin/sh\necho 'password=hunter2hunter2' >&2\nexit 1\n")
    give(monkeypatch, variables)

    with pytest.raises(AuthError) as caught:
        await found(registry(HOST, AuthType.ECR, aws_profile=profile))

    assert "custom-process" in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [("ThrottlingException", RateLimitedError), ("AccessDeniedException", AuthError)],
)
async def test_what_aws_answers_is_told_apart(code: str, kind: type[Exception], keys: FakeAws) -> None:
    keys.state.denied["GetAuthorizationToken"] = code

    with pytest.raises(kind):
        await found(registry(HOST, AuthType.ECR))


async def test_an_api_that_is_not_there_or_broken_is_worth_another_try(
    keys: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.state.failures["GetAuthorizationToken"] = 3
    with pytest.raises(ServerError):
        await found(registry(HOST, AuthType.ECR))

    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:1")
    with pytest.raises(NetworkError, match="Could not connect to the endpoint"):
        await found(registry(HOST))


async def test_the_authorities_that_the_environment_names_are_trusted_for_the_api_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path)
    with FakeAws(tls=authority.server_context()) as aws:
        give(monkeypatch, aws.static)
        trusted = await found(registry(HOST), {"SSL_CERT_FILE": str(authority.ca_file)})
        with pytest.raises(NetworkError, match="certificate verify failed"):
            await found(registry(HOST))

    assert isinstance(trusted, UserPassword)


# In a pass


async def test_a_password_that_ends_during_a_pass_is_fetched_anew_and_the_pass_goes_on(
    keys: FakeAws,
) -> None:
    auth = Basic(users=(User(name="AWS", password="ecr-password-1"),))
    async with ScriptedRegistry() as source, ScriptedRegistry(auth=auth) as target, Side(environ=ENVIRON) as side:
        for number in range(6):
            source.seed("team/app", str(number), build.image(label=str(number)))
        mapping = replace(
            side.mapping(source.url, target.url), targets=((into := ecr(target.url), into.repository("team/app")),)
        )

        async def ended(_request: Any, proceed: Callable[[], Any]) -> Any:
            keys.state.password = "ecr-password-2"
            auth.users = (User(name="AWS", password="ecr-password-2"),)
            return await proceed()

        target.on("PUT", r"/manifests/", after=2, times=1, respond=ended)
        results = await side.sync(mapping, at_once=2)

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert len(results) == 6
    assert len(keys.state.logins) == 2


async def test_a_password_that_has_ended_may_also_be_answered_with_403(keys: FakeAws) -> None:
    auth = Basic(users=(User(name="AWS", password="ecr-password-1"), User(name="AWS", password="ecr-password-2")))
    said = faults.error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
    ended = False

    def is_old(request: Request) -> bool:
        return ended and request.headers.get("authorization") == basic("AWS", "ecr-password-1")

    async with ScriptedRegistry(auth=auth) as target, Side(environ=ENVIRON) as side:
        target.seed("team/app", "1", build.image())
        target.on("*", r"/v2/", when=is_old, respond=said)
        config = ecr(target.url)
        repository = side.repositories.target(config, config.repository("team/app"))
        await repository.head("1")
        ended, keys.state.password = True, "ecr-password-2"

        assert None not in await asyncio.gather(*(repository.head("1") for _ in range(5)))
    assert len(keys.state.logins) == 2


async def test_a_password_is_renewed_before_it_ends_and_is_never_refused(keys: FakeAws) -> None:
    keys.state.life = timedelta(seconds=1)  # believed to last four seconds, and renewed after three
    auth = Basic(users=(User(name="AWS", password="ecr-password-1"),))
    async with ScriptedRegistry(auth=auth) as target, Side(environ=ENVIRON) as side:
        target.seed("team/app", "1", build.image())
        config = ecr(target.url)
        repository = side.repositories.target(config, config.repository("team/app"))
        await repository.head("1")
        await asyncio.sleep(3.2)
        await repository.head("1")

        assert [r.status for r in target.requests if r.target != "/v2/"] == [200, 200]
    assert len(keys.state.logins) == 2


async def test_nothing_secret_is_logged_by_anybody(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give(monkeypatch, aws.chain("web identity", tmp_path)[0])
    with caplog.at_level(1):
        logging.getLogger("botocore").setLevel(1)  # as if somebody had asked for all of it
        await found(registry(HOST, AuthType.ECR))
        await found(registry(HOST, AuthType.ECR))

    for secret in ("ecr-password-1", "secret-of-AKIAWEB", "session-of-AKIAWEB", "irsa.jwt.token"):
        assert secret not in caplog.text
