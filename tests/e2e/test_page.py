"""
The commands and files of the documentation, word for word.

The hosts are cgr.dev and ghcr.io: a proxy leads there, to registries of this machine that have their certificates.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from e2e import corpus, readme
from e2e.accounts import PASSWORD, PULLER, PUSHER, TOKEN, USERNAME, encoded
from e2e.internet import Internet
from e2e.program import Program
from scripted import Bearer, ScriptedRegistry, User
from scripted.background import in_thread
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANONYMOUS = r"""
ocync copy \
  cgr.dev/chainguard/static:latest \
  ghcr.io/myorg/static:latest
"""
PULL_TOKEN = r"""
CHAINGUARD_USERNAME=$id \
CHAINGUARD_PASSWORD=$secret \
ocync sync --config ocync.yaml
"""
DEVELOPER = r"""
ocync copy \
  cgr.dev/chainguard/python:3.12 \
  ghcr.io/myorg/python:3.12
"""
CONFIGURED = """
registries:
  src: { url: cgr.dev, auth_type: docker_config }
  ghcr: { url: ghcr.io, auth_type: static_token, token: "${GITHUB_TOKEN}" }
defaults: { source: src, targets: ghcr }
mappings:
  - { from: chainguard/static, to: myorg/static }
  - { from: chainguard/python, to: myorg/python }
"""


@dataclass(frozen=True, kw_only=True)
class World:
    program: Program
    chainguard: ScriptedRegistry
    github: ScriptedRegistry


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and certificates for the hosts of the documentation."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority(folder)
    authority.issue("cgr.dev", ["cgr.dev"])
    authority.issue("ghcr.io", ["ghcr.io"])
    return folder


@pytest.fixture
def world(certificates: Path, tmp_path: Path) -> Iterator[World]:
    """Chainguard as it is; a GitHub that, as it does, takes tokens as passwords only, and sells them for tokens."""
    chainguard = registry(certificates, "cgr.dev", PULLER)
    github = registry(certificates, "ghcr.io", PUSHER)
    with in_thread(chainguard), in_thread(github):
        corpus.seed(chainguard)
        with in_thread(Internet({"cgr.dev": chainguard.host, "ghcr.io": github.host})) as internet:
            program = Program.within(tmp_path, HTTPS_PROXY=internet.url, SSL_CERT_FILE=str(certificates / "ca.pem"))
            yield World(program=program, chainguard=chainguard, github=github)


def registry(certificates: Path, host: str, user: User) -> ScriptedRegistry:
    """Return a registry that speaks TLS as the host, and gives tokens to a user."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / f"{host}.pem", certificates / f"{host}.key")
    return ScriptedRegistry(auth=Bearer(users=(user,)), tls=tls)


def assert_copied(world: World, repository: str, tag: str) -> None:
    """Check that one image is at GitHub, and nothing else."""
    target = corpus.TO[repository]
    assert {name: set(each.tags) for name, each in world.github.repositories.items()} == {target: {tag}}
    assert world.github.content_of(target, tag) == world.chainguard.content_of(repository, tag)


def test_the_free_images_are_copied_with_no_credentials_of_chainguard(world: World) -> None:
    world.program.docker_config({"auths": {"ghcr.io": {"auth": encoded("x-access-token", TOKEN)}}})

    done = world.program.shell(ANONYMOUS)

    assert done.code == 0, done
    assert_copied(world, "chainguard/static", "latest")
    assert {request.scheme for request in world.chainguard.requests.matching("GET", "^/token")} == {None}


def test_an_anonymous_caller_is_told_why_a_version_is_not_for_him(world: World) -> None:
    done = world.program("copy", "cgr.dev/chainguard/static:1.0", "ghcr.io/myorg/static:1.0")

    assert done.code == 4, done
    assert "cgr.dev answered 403" in done.out


def test_a_pull_token_in_the_environment_mirrors_everything(world: World) -> None:
    world.program.write(readme.CONFIG)
    program = world.program.knowing(GITHUB_TOKEN=TOKEN, id=USERNAME, secret=PASSWORD)

    done = program.shell(PULL_TOKEN)

    assert done.code == 0, done
    corpus.assert_mirrored(world.chainguard, world.github)


def test_the_values_of_the_chart_mirror_what_they_name(world: World) -> None:
    world.program.write(readme.configuration_of_values("cgr.dev", "ghcr.io"))
    program = world.program.knowing(CHAINGUARD_USERNAME=USERNAME, CHAINGUARD_PASSWORD=PASSWORD, GITHUB_TOKEN=TOKEN)

    done = program("sync", "--config", "ocync.yaml")

    assert done.code == 0, done
    assert set(world.github.repositories["myorg/static"].tags) == set(corpus.TAGS["chainguard/static"])


DOCKER_CONFIGS = {
    "auths": {
        "auths": {
            "https://cgr.dev": {"auth": encoded(USERNAME, PASSWORD)},
            "ghcr.io": {"auth": encoded("octocat", TOKEN)},
        }
    },
    "a helper for each host": {"credHelpers": {"cgr.dev": "cgr", "ghcr.io": "gh"}},
    "one helper for all": {"credsStore": "store", "auths": {"cgr.dev": {}, "ghcr.io": {}}},
}
# `chainctl auth configure-docker` installs docker-credential-cgr.
HELPER = """
read host
case "$1 $host" in
"get cgr.dev") printf '{"ServerURL": "cgr.dev", "Username": "%s", "Secret": %s}' "$CGR_ID" "$CGR_SECRET" ;;
"get ghcr.io") printf '{"ServerURL": "ghcr.io", "Username": "octocat", "Secret": "%s"}' "$GH" ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""


@pytest.fixture
def developer(world: World) -> Program:
    """A developer's machine, with helpers that `docker` and `chainctl` would have put there."""
    world.github.auth = Bearer(users=(User(name="octocat", password=TOKEN),))
    program = world.program
    for name in ("cgr", "gh", "store"):
        program = program.helper(name, HELPER)
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    return program.knowing(CGR_ID=USERNAME, CGR_SECRET=f'"{quoted}"', GH=TOKEN)


@pytest.mark.parametrize("document", DOCKER_CONFIGS.values(), ids=DOCKER_CONFIGS)
def test_a_developer_s_docker_config_is_picked_up(world: World, developer: Program, document: object) -> None:
    developer.docker_config(document)

    done = developer.shell(DEVELOPER)

    assert done.code == 0, done
    assert_copied(world, "chainguard/python", "3.12")


def test_auth_type_docker_config_takes_the_mounted_docker_config(world: World) -> None:
    world.program.docker_config({"auths": {"cgr.dev": {"auth": encoded(USERNAME, PASSWORD)}}})
    world.program.write(CONFIGURED)

    done = world.program.knowing(GITHUB_TOKEN=TOKEN)("sync", "-c", "ocync.yaml")

    assert done.code == 0, done
    corpus.assert_mirrored(world.chainguard, world.github)


def test_docker_config_may_lie_elsewhere(world: World, tmp_path: Path) -> None:
    path = world.program.docker_config({"auths": {"cgr.dev": {"auth": encoded(USERNAME, PASSWORD)}}})
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "config.json")
    world.program.write(CONFIGURED)
    program = world.program.knowing(GITHUB_TOKEN=TOKEN, DOCKER_CONFIG=str(tmp_path / "elsewhere"))

    assert program("sync", "-c", "ocync.yaml").code == 0

    corpus.assert_mirrored(world.chainguard, world.github)
