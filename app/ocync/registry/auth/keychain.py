"""Which source a registry's credentials come from. No other module knows `auth_type`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.config.model import AuthType
from ocync.lib.errors import ConfigError
from ocync.lib.threads import run_detached
from ocync.oci.providers import Cloud, ecr_host, provider_of
from ocync.registry.auth.credential import Anonymous
from ocync.registry.auth.refresh import Login, RenewingSource, bounded
from ocync.registry.auth.sources import (
    AnonymousSource,
    ConfigSource,
    DockerSource,
    FallbackSource,
    read_token,
    read_user,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ocync.config.model import RegistryConfig
    from ocync.registry.auth import aws
    from ocync.registry.auth.credential import Credential, CredentialSource
    from ocync.registry.auth.token import Send

_LOGIN = {
    Cloud.ECR: "give this process AWS credentials and set auth_type: ecr",
    Cloud.GAR: "give this process Google credentials and set auth_type: gar",
    Cloud.GCR: "give this process Google credentials and set auth_type: gcr",
    Cloud.ACR: "give this process Azure credentials and set auth_type: acr",
}


def source_for(config: RegistryConfig, environ: Mapping[str, str], send: Send) -> CredentialSource:
    """
    Return the source of a registry's credentials; nothing is read yet.

    `send` is the registry's, as for an Authorizer. Raises ConfigError for a folder, and for an `auth_type` whose
    other settings are missing.
    """
    if config.registry is None:
        raise ConfigError(f"registry {config.name} is a folder and has no credentials")
    match config.auth_type:
        case AuthType.ANONYMOUS:
            origin = f"auth_type: anonymous of registry {config.name}"
            return AnonymousSource(Anonymous(origin=origin, hint="choose another auth_type"))
        case AuthType.BASIC:
            return _user(config)
        case AuthType.STATIC_TOKEN:
            return _token(config)
        case AuthType.DOCKER_CONFIG:
            return _docker(config, environ)
        case AuthType.CHAINGUARD:
            return _chainguard(config, send)
        case AuthType.ECR | AuthType.GAR | AuthType.GCR | AuthType.ACR:
            return RenewingSource(_login(Cloud(config.auth_type.value), config, environ, send))
    if config.token is not None:
        return _token(config)
    if config.username is not None or config.password is not None:
        return _user(config)
    return _by_name(config, environ, send)


def ecr_endpoint(config: RegistryConfig, environ: Mapping[str, str]) -> aws.EcrEndpoint:
    """
    Return the endpoint of a registry's ECR API; its region is that of the host's name, else of AWS_REGION.

    Raises ConfigError if neither names a region.
    """
    assert config.registry is not None
    host = config.registry.host
    found = ecr_host(host)
    region = found.region if found else environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigError(
            f"registry {config.name}: the name {host} contains no AWS region", hint="set the variable AWS_REGION"
        )
    from ocync.registry.auth import aws  # noqa: PLC0415 -- each cloud's where it is needed

    # botocore refuses to combine an endpoint that the user names with a choice among its own.
    service = "ECR_PUBLIC" if found and found.public else "ECR"
    named = environ.get(f"AWS_ENDPOINT_URL_{service}") or environ.get("AWS_ENDPOINT_URL")
    return aws.EcrEndpoint(
        host=host,
        region=region,
        public=bool(found and found.public),
        fips=bool(found and found.fips and not named),
        dual_stack=bool(found and found.dual_stack and not named),
        profile=config.aws_profile,
        ca_file=environ.get("SSL_CERT_FILE") or None,
    )


def _by_name(config: RegistryConfig, environ: Mapping[str, str], send: Send) -> CredentialSource:
    """Return the source of a host without settings: its cloud's login, then Docker's config."""
    assert config.registry is not None
    host = config.registry.host
    provider = provider_of(host)
    if provider is None or provider.cloud is None:
        return _docker(config, environ)
    cloud = provider.cloud
    login = RenewingSource(_login(cloud, config, environ, send))

    def docker(no_login: str) -> CredentialSource:
        return _docker(config, environ, no_login=no_login.removeprefix(f"{host}: "), hint=_LOGIN[cloud])

    return FallbackSource(login, docker, serves_everybody=provider.serves_everybody)


def _login(
    cloud: Cloud, config: RegistryConfig, environ: Mapping[str, str], send: Send
) -> Callable[[], Awaitable[Login]]:
    assert config.registry is not None
    host, ca_file = config.registry.host, environ.get("SSL_CERT_FILE") or None
    match cloud:
        case Cloud.ECR:
            from ocync.registry.auth import aws  # noqa: PLC0415

            endpoint = ecr_endpoint(config, environ)
            return bounded(host, lambda: run_detached(lambda: aws.log_in(endpoint), name="botocore"))
        case Cloud.GAR | Cloud.GCR:
            from ocync.registry.auth import gcp  # noqa: PLC0415

            return bounded(
                host, lambda: run_detached(lambda: gcp.log_in(host, ca_file=ca_file), name="google-auth")
            )
        case Cloud.ACR:
            from ocync.registry.auth.azure import AcrLogin  # noqa: PLC0415

            return bounded(host, AcrLogin(config.registry, send, ca_file=ca_file))


def _chainguard(config: RegistryConfig, send: Send) -> RenewingSource:
    assert config.registry is not None
    if config.identity is None:
        raise ConfigError(f"registry {config.name} has no identity to assume", hint="set identity to its UIDP")
    from ocync.registry.auth.chainguard import ChainguardLogin  # noqa: PLC0415

    login = ChainguardLogin(
        config.registry, send, identity=config.identity, given=config.token, issuer=config.issuer
    )
    return RenewingSource(login)


def _user(config: RegistryConfig) -> ConfigSource:
    username, password = config.username, config.password
    if username is None or password is None:
        raise ConfigError(
            f"registry {config.name} has no credentials with a user name and a password",
            hint="set credentials.username and credentials.password (or username_file and password_file)",
        )
    return ConfigSource(lambda: read_user(username, password))


def _token(config: RegistryConfig) -> ConfigSource:
    token = config.token
    if token is None:
        raise ConfigError(f"registry {config.name} has no token", hint="set token or token_file")
    provider = provider_of(config.registry.host) if config.registry else None
    exchange_first = provider is not None and provider.token_is_password
    return ConfigSource(lambda: read_token(token, exchange_first=exchange_first))


def _docker(
    config: RegistryConfig, environ: Mapping[str, str], *, no_login: str = "", hint: str = ""
) -> DockerSource:
    assert config.registry is not None
    host = config.registry.host
    advice = f"log in with docker login {host}, or set credentials for it"
    hint = f"{hint}, or {advice}" if hint else advice

    def missing(searched: str) -> Credential:
        return Anonymous(origin=f"{no_login}, and {searched}" if no_login else searched, hint=hint)

    return DockerSource(host, environ, missing, insist=config.auth_type is not None)
