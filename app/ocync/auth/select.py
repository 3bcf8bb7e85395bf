"""Which credentials a registry gets. The one place that knows `auth_type`, and hosts by their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocync.auth.credential import Anonymous
from ocync.auth.sources import AnonymousSource, DockerPlace, DockerSource, TokenSource, UserSource
from ocync.config.model import AuthType
from ocync.errors import AuthError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocync.auth.credential import Credential, CredentialSource
    from ocync.config.model import RegistryConfig

GHCR = "ghcr.io"
_CLOUDS = (AuthType.ECR, AuthType.GAR, AuthType.GCR, AuthType.ACR)
# Only hints depend on these: who may do what is for the registry to say.
_CLOUD_HOSTS = (
    (re.compile(r"\d{12}\.dkr[.-]ecr(-fips)?\..+"), AuthType.ECR),
    (re.compile(r".+-docker\.pkg\.dev"), AuthType.GAR),
    (re.compile(r"(.+\.)?gcr\.io"), AuthType.GCR),
    (re.compile(r"[a-z0-9-]+\.azurecr\.(io|cn|us)"), AuthType.ACR),
)
_GOOGLE = (
    "run gcloud auth configure-docker {host}, or set auth_type: basic with the user name _json_key and a service "
    "account's key file as password_file"
)
_LOGIN = {
    AuthType.ECR: "run aws ecr get-login-password | docker login --username AWS --password-stdin {host}, or name "
    "ecr-login for {host} in the docker config's credHelpers and install docker-credential-ecr-login",
    AuthType.GAR: _GOOGLE,
    AuthType.GCR: _GOOGLE,
    AuthType.ACR: "run az acr login --name {name}, or set auth_type: basic with a service principal's id and "
    "password",
}


def source_for(config: RegistryConfig, environ: Mapping[str, str]) -> CredentialSource:
    """
    Return where the credentials of a registry come from; nothing is read yet.

    Raises ConfigError for a folder, and for an `auth_type` without what it needs.
    """
    if config.registry is None:
        raise ConfigError(f"registry {config.name} is a folder and has no credentials")
    match config.auth_type:
        case AuthType.ANONYMOUS:
            chosen = f"auth_type: anonymous of registry {config.name}"
            return AnonymousSource(Anonymous(origin=chosen, hint="choose another auth_type"))
        case AuthType.BASIC:
            return _user(config)
        case AuthType.STATIC_TOKEN:
            return _token(config)
        case AuthType.DOCKER_CONFIG:
            return _docker(config, environ)
    if config.token is not None:
        return _token(config)
    if config.username is not None or config.password is not None:
        return _user(config)
    return _docker(config, environ)


def _user(config: RegistryConfig) -> UserSource:
    if config.username is None or config.password is None:
        raise ConfigError(
            f"registry {config.name} has no credentials with a user name and a password",
            hint="set credentials.username and credentials.password (or username_file and password_file)",
        )
    return UserSource(config.username, config.password)


def _token(config: RegistryConfig) -> TokenSource:
    if config.token is None:
        raise ConfigError(f"registry {config.name} has no token", hint="set token or token_file")
    # ghcr.io takes a token of GitHub as a password only (getwud/wud#143).
    return TokenSource(config.token, exchange_first=config.registry is not None and config.registry.host == GHCR)


def _docker(config: RegistryConfig, environ: Mapping[str, str]) -> DockerSource:
    assert config.registry is not None
    host = config.registry.host
    cloud = config.auth_type in _CLOUDS
    place = DockerPlace(host=host, environ=environ, insist=config.auth_type is not None)
    return DockerSource(place, _login_needed(config, host) if cloud else _anonymous(host))


def _anonymous(host: str) -> Callable[[str], Credential]:
    kind = next((kind for pattern, kind in _CLOUD_HOSTS if pattern.fullmatch(host)), None)
    hint = _login_hint(kind, host) if kind else f"log in with docker login {host}, or set credentials for it"
    return lambda looked_at: Anonymous(origin=looked_at, hint=hint)


def _login_needed(config: RegistryConfig, host: str) -> Callable[[str], Credential]:
    def missing(looked_at: str) -> Credential:
        assert config.auth_type is not None
        raise AuthError(
            f"registry {config.name} ({host}) has auth_type: {config.auth_type}, which needs an entry in the "
            f"docker config: {looked_at}",
            host=host,
            hint=_login_hint(config.auth_type, host),
        )

    return missing


def _login_hint(kind: AuthType, host: str) -> str:
    return _LOGIN[kind].format(host=host, name=host.partition(".")[0])
