"""Native logins as users see them: what `auth check` and a pass say, exit codes, and nothing secret anywhere."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from e2e.accounts import encoded
from fakes.aws import FakeAws
from fakes.chainguard import IDENTITY, FakeChainguard
from fakes.google import ACCOUNT, FakeGoogle
from fakes.service import Answer, FakeService
from scripted import Basic, Bearer, ScriptedRegistry, User, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.program import Program
    from fakes.service import Asked

CHECK = ("auth", "check", "-c", "ocync.yaml")
LINKS = {
    "static": "environment variables",
    "web identity": "web identity",
    "container": "the container credentials endpoint",
    "instance": "instance metadata",
    "process": "credential_process",
    "sso": "SSO",
}


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as fake:
        yield fake


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def ecr(aws: FakeAws) -> Iterator[ScriptedRegistry]:
    """A registry that takes the password of the fake of AWS, and makes no repositories by itself."""
    auth = Basic(users=(User(name="AWS", password=aws.state.password),))
    with in_thread(ScriptedRegistry(auth=auth, create_repositories=False)) as registry:
        yield registry


def configure(program: Program, registry: ScriptedRegistry, settings: str) -> None:
    program.write(
        f"registries:\n  to: {{ url: '{registry.url}', {settings} }}\n  disk: {{ url: 'oci:./mirror' }}\n"
        "mappings: [ { from: team/app, source: disk, targets: to } ]\n"
    )


@pytest.mark.parametrize("link", LINKS)
def test_auth_check_tells_where_the_credentials_of_aws_came_from(
    link: str, program: Program, aws: FakeAws, ecr: ScriptedRegistry
) -> None:
    variables, profile = aws.chain(link, program.folder)
    configure(program, ecr, "auth_type: ecr" + (f", aws_profile: {profile}" if profile else ""))

    done = program.knowing(**variables)(*CHECK)

    assert done.code == 0, done
    of = " of profile mirror" if profile else ""
    origin = f"user name and password from AWS credentials{of} ({LINKS[link]}), by ecr in eu-west-1"
    assert (
        done.out.splitlines()[0]
        == f"to ({ecr.host}): accepted: {origin}; {ecr.host} accepts the user name and password"
    )


def test_the_metadata_server_gives_google_s_token(program: Program, google: FakeGoogle) -> None:
    auth = Bearer(users=(User(name="oauth2accesstoken", password=google.token),), anonymous=None)
    with in_thread(ScriptedRegistry(auth=auth)) as registry:
        configure(program, registry, "auth_type: gar")
        done = program.knowing(**google.metadata)(*CHECK)

    assert done.code == 0, done
    assert f"accepted: user name and password from Google credentials (metadata server {ACCOUNT})" in done.out


def test_the_metadata_server_is_not_asked_through_a_proxy(program: Program, google: FakeGoogle) -> None:
    auth = Bearer(users=(User(name="oauth2accesstoken", password=google.token),), anonymous=None)
    with in_thread(ScriptedRegistry(auth=auth)) as registry:
        configure(program, registry, "auth_type: gar")
        proxied = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
        done = program.knowing(**google.metadata, **proxied, NO_PROXY=registry.host, no_proxy=registry.host)(*CHECK)

    assert done.code == 0, done


def test_without_credentials_the_exit_code_is_4_and_the_message_says_what_to_do(
    program: Program, aws: FakeAws, ecr: ScriptedRegistry
) -> None:
    configure(program, ecr, "auth_type: ecr")
    program = program.knowing(**aws.variables)

    check, run = program(*CHECK), program("sync", "-c", "ocync.yaml")

    assert check.code == 4, check
    assert "refused: no credentials could be read; " in check.out
    assert "there are no AWS credentials" in check.out
    assert "IRSA" in check.out
    assert "Traceback" not in check.said + run.said


def test_a_pass_ends_with_4_when_aws_refuses_and_says_why(
    program: Program, aws: FakeAws, ecr: ScriptedRegistry, seeded: ScriptedRegistry
) -> None:
    aws.state.denied["GetAuthorizationToken"] = "AccessDeniedException"
    program.write(mapping(seeded, ecr, "auth_type: ecr"))

    done = program.knowing(**aws.static)("sync", "-c", "ocync.yaml", "--json")

    assert done.code == 4, done
    images = done.report["images"]
    assert len(images) == 3
    assert {image["error"]["kind"] for image in images} == {"auth"}
    assert all("AccessDeniedException" in image["error"]["message"] for image in images)
    assert sum("GetAuthorizationToken" in asked.headers.get("x-amz-target", "") for asked in aws.asked) == 1


@pytest.fixture
def seeded() -> Iterator[ScriptedRegistry]:
    with in_thread(ScriptedRegistry()) as source:
        for tag in ("1.0", "1.1", "1.2"):
            source.seed("team/app", tag, build.image(label=tag))
        yield source


def mapping(source: ScriptedRegistry, target: ScriptedRegistry, settings: str) -> str:
    return (
        f"registries:\n  from: {{ url: '{source.url}', auth_type: anonymous }}\n"
        f"  to: {{ url: '{target.url}', {settings} }}\n"
        "mappings: [ { from: team/app, source: from, targets: to } ]\n"
    )


def test_a_pass_makes_the_missing_repository_and_says_so(
    program: Program, aws: FakeAws, ecr: ScriptedRegistry, seeded: ScriptedRegistry
) -> None:
    program.write(mapping(seeded, ecr, "auth_type: ecr, create_repository: { scan_on_push: true }"))
    aws.state.repositories = _Repositories(ecr)
    program = program.knowing(**aws.static)

    dry = program("sync", "-c", "ocync.yaml", "--dry-run")
    assert (dry.code, aws.state.created) == (0, []), dry
    done = program("sync", "-c", "ocync.yaml")

    assert done.code == 0, done
    assert f"made the repository {ecr.host}/team/app" in done.err
    assert aws.state.created == ["team/app"]
    assert ecr.content_of("team/app", "1.0") == seeded.content_of("team/app", "1.0")


class _Repositories(dict[str, dict[str, Any]]):
    """Those that the API knows: what is made here is there at the registry."""

    def __init__(self, registry: ScriptedRegistry) -> None:
        super().__init__()
        self._registry = registry

    def __setitem__(self, name: str, request: dict[str, Any]) -> None:
        super().__setitem__(name, request)
        self._registry.repository(name)


def test_an_identity_of_chainguard_s_pulls_without_a_stored_token(program: Program) -> None:
    auth = Bearer(anonymous=None)
    with FakeChainguard() as chainguard, in_thread(ScriptedRegistry(auth=auth)) as source:
        source.seed("team/app", "latest", build.image())

        async def known(_request: Any, proceed: Any) -> Any:
            auth.users = tuple(User(name="_token", password=token, push=()) for token in chainguard.given)
            return await proceed()

        source.on("GET", r"^/token", respond=known)
        token = program.write(chainguard.subject, "oidc-token")
        program.write(
            f"registries:\n  cgr: {{ url: '{source.url}', identity: '{IDENTITY}', issuer: '{chainguard.url}',"
            f" token_file: '{token}' }}\n  disk: {{ url: 'oci:./mirror' }}\n"
            "mappings: [ { from: team/app, source: cgr, targets: disk } ]\n"
        )
        check = program(*CHECK)
        done = program("sync", "-c", "ocync.yaml")

    assert check.code == 0, check
    assert f"accepted: user name and password from the Chainguard identity {IDENTITY}" in check.out
    assert done.code == 0, done
    assert len(chainguard.given) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_secret_is_shown_at_the_highest_level_of_detail(
    fails: bool, program: Program, aws: FakeAws, ecr: ScriptedRegistry, seeded: ScriptedRegistry
) -> None:
    variables, _ = aws.chain("web identity", program.folder)
    program.write(mapping(seeded, ecr, "auth_type: ecr, create_repository: { tags: { a: b } }"))
    if fails:
        aws.state.denied["CreateRepository"] = "AccessDeniedException"
    else:
        aws.state.repositories = _Repositories(ecr)

    done = program.knowing(**variables)("sync", "-c", "ocync.yaml", "-vv")

    assert done.code == (4 if fails else 0), done
    for secret in (
        aws.state.password,
        encoded("AWS", aws.state.password),
        "secret-of-AKIAWEB",
        "session-of-AKIAWEB",
        "irsa.jwt.token",
    ):
        assert secret not in done.said
    assert "AWS4-HMAC-SHA256" not in done.said


ECR_NAME = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@contextmanager
def known_as(registry: ScriptedRegistry) -> Iterator[dict[str, str]]:
    """Have a registry reached by any name over HTTP; gives the variables that make a proxy of what leads there."""

    def forward(asked: Asked) -> Answer:
        headers = {name: value for name, value in asked.headers.items() if name != "host"}
        kept = ("www-authenticate", "docker-content-digest", "content-type")
        with closing(HTTPConnection(registry.host, timeout=10)) as connection:
            connection.request(asked.method, asked.target, asked.body, headers)
            response = connection.getresponse()
            answer = {name: value for name, value in response.getheaders() if name.lower() in kept}
            return Answer(response.status, response.read(), answer)

    with FakeService(forward) as proxy:
        yield {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def by_name(program: Program, host: str) -> None:
    program.write(
        f"registries: {{ from: {{ url: 'http://{host}' }}, disk: {{ url: 'oci:./mirror' }} }}\n"
        "mappings: [ { from: team/app, source: from, targets: disk } ]\n"
    )


def test_a_host_that_is_known_by_its_name_is_logged_in_to_without_any_setting(
    program: Program, aws: FakeAws, ecr: ScriptedRegistry
) -> None:
    by_name(program, ECR_NAME)
    with known_as(ecr) as variables:
        done = program.knowing(**aws.static, **variables)(*CHECK)

    assert done.code == 0, done
    assert f"from ({ECR_NAME}): accepted: user name and password from AWS credentials (environment var" in done.out


def test_what_is_used_instead_of_a_login_that_there_is_not_is_told(
    program: Program, aws: FakeAws, ecr: ScriptedRegistry
) -> None:
    by_name(program, ECR_NAME)
    with known_as(ecr) as variables:
        program = program.knowing(**aws.variables, **variables)
        nothing = program(*CHECK)
        file = program.docker_config({"auths": {ECR_NAME: {"auth": encoded("AWS", aws.state.password)}}})
        docker = program(*CHECK)
        aws.state.denied["GetAuthorizationToken"] = "AccessDeniedException"
        refused = program.knowing(**aws.static)(*CHECK)

    assert nothing.code == 4, nothing
    assert "refused: anonymous from there are no AWS credentials" in nothing.out
    assert "no docker config at" in nothing.out
    assert docker.code == 0, docker
    assert f"accepted: user name and password from docker config {file}, entry {ECR_NAME}" in docker.out
    assert (refused.code, docker.err) == (0, "")
    assert "AccessDeniedException" in refused.err
    assert "using instead: user name and password from docker config" in refused.err


def test_ecr_public_exchanges_the_password_for_tokens(program: Program, aws: FakeAws) -> None:
    auth = Bearer(users=(User(name="AWS", password=aws.state.password),), realm="http://public.ecr.aws/token")
    by_name(program, "public.ecr.aws")
    with in_thread(ScriptedRegistry(auth=auth)) as registry, known_as(registry) as variables:
        done = program.knowing(**aws.static, **variables)(*CHECK)

    assert done.code == 0, done
    assert "accepted: user name and password from AWS credentials" in done.out
    assert "by ecr-public in us-east-1" in done.out
    assert aws.state.logins == [("AKIASTATIC", "us-east-1", "ecr-public")]


def test_a_login_that_hangs_does_not_keep_a_pass_from_ending(
    program: Program, aws: FakeAws, ecr: ScriptedRegistry, seeded: ScriptedRegistry
) -> None:
    asked, ended = threading.Event(), threading.Event()

    def hang(_asked: Asked) -> Answer:
        asked.set()
        ended.wait(30)
        return Answer(503)

    aws.answer = hang
    program.write(mapping(seeded, ecr, "auth_type: ecr"))
    with program.knowing(**aws.static).started("sync", "-c", "ocync.yaml") as run:
        assert asked.wait(20)
        run.send(signal.SIGTERM)
        time.sleep(0.5)
        run.send(signal.SIGTERM)  # what is under way is not waited for any more
        done = run.done(within=10)
    ended.set()

    assert done.code == 5, done
    assert "Traceback" not in done.said
