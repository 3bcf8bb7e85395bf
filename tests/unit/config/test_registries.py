from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocync.config.model import AuthType, CreateRepository, RegistryConfig, TlsSettings
from ocync.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

ENVIRON = {
    "USER": "u",
    "PASSWORD": "hunter2",
    "TOKEN": "ghp_hunter2",
    "EMPTY": "",
    "LINE": "hunter2\n",
    "N": "7",
}


def config_of(registry: str) -> str:
    return f"registries:\n  r: {registry}\nmappings: []\n"


@pytest.fixture
def registry(read: Load) -> Callable[[str], RegistryConfig]:
    return lambda text: read(config_of(text), ENVIRON).registries["r"]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("cgr.dev", Registry("cgr.dev")),
        ("https://cgr.dev/", Registry("cgr.dev")),
        ("http://127.0.0.1:5000", Registry("127.0.0.1:5000", "http")),
        ("docker.io/example/mirror", Registry("docker.io", prefix="example/mirror")),
        ("index.docker.io", Registry("docker.io")),
        ("localhost:5000", Registry("localhost:5000")),
        ("${HOST:-cgr.dev}", Registry("cgr.dev")),
        ("'[::1]:5000'", Registry("[::1]:5000")),
    ],
)
def test_urls_are_registries(url: str, address: Registry, registry: Callable[[str], RegistryConfig]) -> None:
    built = registry(f"{{url: {url}}}")

    assert built.registry == address
    assert built.layout is None


@pytest.mark.parametrize(("url", "folder"), [("oci:./mirror", "mirror"), ("oci:/srv/m", "/srv/m"), ("oci:.", ".")])
def test_urls_of_layouts_are_folders(url: str, folder: str, registry: Callable[[str], RegistryConfig]) -> None:
    built = registry(f"{{url: '{url}'}}")

    assert built.layout == Path(folder)
    assert built.registry is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oci:", "write oci:FOLDER"),
        ("ftp://cgr.dev", "is not a registry"),
        ("cgr.dev:x", "is not a registry"),
        ("cgr.dev/v2", "leave /v2 out"),
        ("cgr.dev/UPPER", "can't begin a repository name"),
        ("https://me:hunter2@cgr.dev", "holds no user name or password: use credentials"),
        ("me:hunter2@cgr.dev", "holds no user name or password: use credentials"),
        ("https://me:hun/ter2@cgr.dev", "holds no user name or password: use credentials"),
        ("cgr.dev/me@hunter2", "holds no user name or password: use credentials"),
        ("${PASSWORD} x", "what ${PASSWORD} made of it is not a registry"),
        (
            "${UNSET}.dkr.ecr.eu-west-1.amazonaws.com",
            "is not a registry: host, host:port or http://host:port: ${UNSET} is not set",
        ),
    ],
)
def test_other_urls_are_refused_without_showing_secrets(
    url: str, words: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(config_of(f"{{url: '{url}'}}"), ENVIRON)

    assert found.startswith("2:12: registries.r.url: ")
    assert words in found
    assert "hunter2" not in found
    assert "ter2" not in found


@pytest.mark.parametrize(
    ("settings", "auth_type"),
    [
        ("", None),
        ("auth_type: null", None),
        ("auth_type: anonymous", AuthType.ANONYMOUS),
        ("auth_type: docker_config", AuthType.DOCKER_CONFIG),
        ("auth_type: token, token: t", AuthType.STATIC_TOKEN),
        ("auth_type: static_token, token: t", AuthType.STATIC_TOKEN),
        ("auth_type: '${HOW:-ecr}'", AuthType.ECR),
        ("auth_type: ghcr", AuthType.GHCR),
        ("auth_type: ghcr, token: t", AuthType.STATIC_TOKEN),
        ("token: t", AuthType.STATIC_TOKEN),
        ("token_file: /t", AuthType.STATIC_TOKEN),
        ("credentials: {username: u, password: p}", AuthType.BASIC),
        ("credentials: {username: u, password_file: /p}", AuthType.BASIC),
    ],
)
def test_the_auth_type_is_configured_or_follows_from_the_credentials(
    settings: str, auth_type: AuthType | None, registry: Callable[[str], RegistryConfig]
) -> None:
    assert registry(f"{{url: a.b, {settings}}}").auth_type is auth_type


def test_secrets_have_their_origin_and_are_never_shown(
    registry: Callable[[str], RegistryConfig],
) -> None:
    built = registry("{url: a.b, credentials: {username: me, password: 'x${PASSWORD}'}}")

    assert built.username is not None
    assert built.password is not None
    assert (built.username.value, built.password.value) == ("me", "xhunter2")
    assert built.username.origin == "registries.r.credentials.username"
    assert built.password.origin == "registries.r.credentials.password (${PASSWORD})"
    assert "hunter2" not in repr(built)
    assert str(built.password) == "***"


def test_secrets_in_files_are_read_at_use(registry: Callable[[str], RegistryConfig]) -> None:
    token = registry("{url: a.b, token_file: /run/secrets/token}").token

    assert token is not None
    assert token.value is None
    assert token.file == Path("/run/secrets/token")


@pytest.mark.parametrize(
    "secret", ["no", "null", "~", "012", "1.10", "true", "a: b", "#", "\"'{}[]&*!|>%@`", "a\tb", "é\u2028"]
)
def test_a_secret_may_be_anything(secret: str, read: Load) -> None:
    config = read(config_of("{url: a.b, token: '${T}'}"), {"T": secret})

    assert config.registries["r"].token.value == secret
    assert "null" not in secret or config.registries["r"].auth_type is AuthType.STATIC_TOKEN


@pytest.mark.parametrize(
    ("settings", "path", "words"),
    [
        ("auth_type: basic", "credentials", "auth_type: basic needs credentials with username and password"),
        ("auth_type: basic, credentials: {}", "credentials", "auth_type: basic needs credentials"),
        ("auth_type: basic, credentials: {username: u}", "credentials.password", "is missing, and username is set"),
        ("credentials: {password_file: /p}", "credentials.username", "is missing, and password is set"),
        (
            "credentials: {username: u, password: p, password_file: /p}",
            "credentials.password_file",
            "stands beside password: keep one",
        ),
        ("token: t, token_file: /t", "token_file", "stands beside token: keep one"),
        ("auth_type: static_token", "token", "auth_type: static_token needs a token or a token_file"),
        ("auth_type: token", "token", "auth_type: static_token needs a token"),
        ("token: t, credentials: {username: u, password: p}", "auth_type", "credentials and token are both set"),
        ("aws_profile: p", "aws_profile", "works only with auth_type: ecr"),
        (
            "aws_profile: p, auth_type: basic, credentials: {username: u, password: p}",
            "aws_profile",
            "works only with",
        ),
        ("tls: {cert_file: /c}", "tls.key_file", "is missing, and cert_file is set"),
        ("tls: {key_file: /k}", "tls.cert_file", "is missing, and key_file is set"),
        ("token: ''", "token", "is empty"),
        ("token: '${UNSET}'", "token", "is empty: ${UNSET} is not set"),
        ("token: '${EMPTY}'", "token", "is empty: ${EMPTY} is empty"),
        ("token: '${UNSET}${EMPTY}'", "token", "is empty: ${UNSET} is not set and ${EMPTY} is empty"),
        ("token: '${UNSET:-}'", "token", "is empty"),
        ("token: '${UNSET:?ask the vault}'", "token", "ask the vault (${UNSET} is not set)"),
        (
            "credentials: {username: '${UNSET}', password: p}",
            "credentials.username",
            "is empty: ${UNSET} is not set",
        ),
        (
            "credentials: {username: u, password: '${UNSET}'}",
            "credentials.password",
            "is empty: ${UNSET} is not set",
        ),
    ],
)
def test_missing_and_contradictory_credentials_are_refused(
    settings: str, path: str, words: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(config_of(f"{{url: a.b, {settings}}}"), ENVIRON)

    assert f": registries.r.{path}: {words}" in found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("auth_type: docker_config, token: t", "registries.r.token: is not used: auth_type is docker_config"),
        ("auth_type: static_token, token: t, credentials: {username: u, password: p}", "credentials: is not used"),
        ("auth_type: basic, credentials: {username: u, password: p}, token_file: /t", "token_file: is not used"),
        ("token: '${LINE}'", "begins or ends with a blank or a line break in ${LINE}"),
        ("token: 'a${UNSET}'", "registries.r.token: ${UNSET} is not set and read as empty"),
    ],
)
def test_a_likely_mistake_is_a_warning(settings: str, words: str, warnings: Callable[..., list[str]]) -> None:
    found = warnings(config_of(f"{{url: a.b, {settings}}}"), ENVIRON)

    assert any(words in line for line in found)
    assert "hunter2" not in "".join(found)


def test_a_folder_needs_no_credentials(warnings: Callable[..., list[str]]) -> None:
    found = warnings(config_of("{url: 'oci:x', token: t, tls: {ca_file: /c}}"))

    assert [line.split(": ", 1)[1] for line in found[:2]] == [
        "registries.r.token: is not used: a folder needs none",
        "registries.r.tls: is not used: a folder needs none",
    ]


def test_tls_settings_of_plain_http_are_a_warning(warnings: Callable[..., list[str]]) -> None:
    assert "registries.r.tls: is not used: the URL begins with http://" in "".join(
        warnings(config_of("{url: 'http://a.b', tls: {insecure_skip_verify: true}}"))
    )


def test_all_other_settings_of_a_registry_are_read(registry: Callable[[str], RegistryConfig]) -> None:
    built = registry(
        "{url: a.b, auth_type: ecr, aws_profile: p, max_concurrent: '${N}', head_first: true,"
        " tls: {ca_file: /ca, cert_file: /c, key_file: /k, insecure_skip_verify: true}}"
    )

    assert (built.name, built.aws_profile, built.max_concurrent, built.head_first) == ("r", "p", 7, True)
    assert built.tls == TlsSettings(
        ca_file=Path("/ca"), cert_file=Path("/c"), key_file=Path("/k"), insecure_skip_verify=True
    )


def test_a_name_can_not_be_a_variable(problems: Callable[..., list[str]]) -> None:
    [found] = problems("registries: {'${X}': {url: a.b}}\nmappings: []\n")

    assert "is no name for a registry: variables work in values only" in found


def test_null_is_read_as_a_missing_key(registry: Callable[[str], RegistryConfig]) -> None:
    keys = ["auth_type", "credentials", "token", "token_file", "max_concurrent", "head_first", "aws_profile", "tls"]

    assert registry("{url: a.b, " + ", ".join(f"{key}: null" for key in keys) + "}") == registry("{url: a.b}")


ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
POLICY = (
    '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan",'
    ' "countNumber": 9}, "action": {"type": "expire"}}]}'
)


@pytest.mark.parametrize("url", [f"url: {ECR}", "url: registry.example, auth_type: ecr", "url: public.ecr.aws"])
def test_profile_and_repository_creation_need_an_ecr_host_or_auth_type(
    url: str, registry: Callable[[str], RegistryConfig]
) -> None:
    built = registry(f"{{{url}, aws_profile: p, create_repository: {{tags: {{team: '${{N}}'}}}}}}")

    assert built.aws_profile == "p"
    assert built.create_repository == CreateRepository(tags={"team": "7"})


def test_all_settings_of_repository_creation_are_read(registry: Callable[[str], RegistryConfig]) -> None:
    built = registry(
        f"{{url: {ECR}, create_repository: {{enabled: true, scan_on_push: false, tag_mutability: MUTABLE,"
        f" kms_key: alias/k, lifecycle_policy: '{POLICY}'}}}}"
    )

    assert built.create_repository == CreateRepository(
        scan_on_push=False, immutable_tags=False, kms_key="alias/k", lifecycle_policy=POLICY
    )


@pytest.mark.parametrize("section", ["null", "{enabled: false, scan_on_push: true}", "{enabled: '${NO:-false}'}"])
def test_repository_creation_can_be_switched_off(section: str, registry: Callable[[str], RegistryConfig]) -> None:
    assert registry(f"{{url: {ECR}, create_repository: {section}}}").create_repository is None


@pytest.mark.parametrize(
    ("settings", "path", "words"),
    [
        ("create_repository: {enabled: true}", "create_repository", "works only at ECR"),
        ("identity: i, auth_type: anonymous", "identity", "works only with auth_type: chainguard"),
        ("issuer: 'https://a.b'", "issuer", "works only with auth_type: chainguard"),
        ("auth_type: chainguard", "identity", "auth_type: chainguard needs the UIDP of an identity"),
        ("identity: i, issuer: 'http://a.b'", "issuer", "write https://HOST"),
        ("identity: i, issuer: 'https://u:p@a.b'", "issuer", "write https://HOST"),
        ("identity: i, issuer: 'a.b'", "issuer", "write https://HOST"),
        (
            "auth_type: ecr, create_repository: {lifecycle_policy: 'rules'}",
            "create_repository.lifecycle_policy",
            "is not JSON",
        ),
        (
            "auth_type: ecr, create_repository: {lifecycle_policy: '[]'}",
            "create_repository.lifecycle_policy",
            "is not a lifecycle policy",
        ),
        (
            "auth_type: ecr, create_repository: {lifecycle_policy: '{\"rules\": []}'}",
            "create_repository.lifecycle_policy",
            "has 13 characters, and ECR wants 100 to 30720",
        ),
        (
            "auth_type: ecr, create_repository: {tag_mutability: frozen}",
            "create_repository.tag_mutability",
            "'frozen' is not one of mutable, immutable",
        ),
    ],
)
def test_what_is_wrong_with_a_cloud_s_settings_is_said_where_it_stands(
    settings: str, path: str, words: str, problems: Callable[..., list[str]]
) -> None:
    found = problems(config_of(f"{{url: a.b, {settings}}}"))

    assert any(f"registries.r.{path}: " in problem and words in problem for problem in found), found


def test_an_identity_alone_says_how_to_authenticate(registry: Callable[[str], RegistryConfig]) -> None:
    built = registry("{url: cgr.dev, identity: a/b, token_file: /t}")

    assert (built.auth_type, built.identity, built.issuer) == (AuthType.CHAINGUARD, "a/b", None)
    assert built.token is not None
    assert built.token.file == Path("/t")


def test_ecr_public_has_fewer_settings(warnings: Callable[..., list[str]]) -> None:
    found = "".join(warnings(config_of("{url: public.ecr.aws, create_repository: {kms_key: k, tags: {a: b}}}")))

    assert "create_repository.kms_key: is not used: ECR Public has no such setting" in found
    assert "create_repository.tags" not in found
