"""
The configuration as the rest of the program sees it: frozen, with names resolved and defaults merged.

Durations are seconds and sizes are bytes. `schema.json` describes what users write; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ocync.oci.reference import RepositoryName
from ocync.tags.rules import TagRules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocync.oci.platform import Platform
    from ocync.oci.reference import Registry


class AuthType(StrEnum):
    """How to authenticate at a registry: `auth_type` in the file (`token` is read as `static_token`)."""

    ECR = "ecr"
    GAR = "gar"
    GCR = "gcr"
    ACR = "acr"
    GHCR = "ghcr"
    CHAINGUARD = "chainguard"
    BASIC = "basic"
    STATIC_TOKEN = "static_token"  # noqa: S105 -- the name of a method
    DOCKER_CONFIG = "docker_config"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Secret:
    """
    A secret from the config file, from the environment, or from another file.

    Either `value` holds it, or it is read from `file` at use (and again after a 401). `origin` names its source for
    messages: `registries.src.token (${GITHUB_TOKEN})`. Neither repr nor str shows the value.
    """

    value: str | None = field(default=None, repr=False)
    file: Path | None = None
    origin: str = ""

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS of one registry or of the Pushgateway."""

    ca_file: Path | None = None
    """PEM file of authorities that are trusted in addition to the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds; both are positive."""

    connect: float = 10.0
    idle: float = 60.0
    """The longest time without any bytes on a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """Retries of each request and blob; a registry's Retry-After overrides `max_delay`."""

    attempts: int = 5
    max_delay: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConfig:
    """The repository and tag in which passes store what they learn."""

    registry: RegistryConfig
    repository: RepositoryName
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalSettings:
    """Settings of the whole pass."""

    max_concurrent_transfers: int = 50
    """Images in flight at once."""
    cache_dir: Path
    cache_ttl: float = 30 * 86400.0
    """Seconds for which it is remembered which repositories have a blob; at most 30 days, which 0 means too."""
    state: StateConfig | None = None
    """Where the cache is stored in addition to `cache_dir`."""
    staging_size_limit: int = 2_000_000_000
    """Bytes on disk, in `cache_dir`, for data that slow targets have not taken yet; 0: nothing is staged."""
    deadline: float | None = None
    """Seconds after which no new work starts."""
    audit_every: float | None = 7 * 86400.0
    """Seconds in which each image with an unchanged tag is audited about once; None: never."""
    timeouts: Timeouts = Timeouts()
    retry: RetrySettings = RetrySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRepository:
    """How a missing repository is created at ECR; None leaves a setting to ECR's default."""

    scan_on_push: bool | None = None
    immutable_tags: bool | None = None
    kms_key: str | None = None
    """The key's ARN, id or alias; without one, ECR encrypts with AES-256 keys of its own."""
    tags: Mapping[str, str] = field(default_factory=dict)
    lifecycle_policy: str | None = None
    """JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """One entry of `registries`: either `registry` or `layout` is set."""

    name: str
    registry: Registry | None = None
    layout: Path | None = None
    """The folder of OCI layouts of `url: oci:DIR`, relative to the working directory."""
    auth_type: AuthType | None = None
    """None: chosen by host name, then docker config, then anonymous."""
    username: Secret | None = None
    password: Secret | None = None
    token: Secret | None = None
    max_concurrent: int = 50
    head_first: bool = False
    aws_profile: str | None = None
    identity: str | None = None
    """The UIDP of the Chainguard identity to assume, with the token of `token` or the projected one."""
    issuer: str | None = None
    """The base URL of Chainguard's token service; None for the usual one."""
    create_repository: CreateRepository | None = None
    """None: a repository missing at a target is an error."""
    tls: TlsSettings = TlsSettings()

    def repository(self, name: str) -> RepositoryName:
        """Return the whole name of the repository that users call `name` here."""
        if self.registry is not None:
            return self.registry.repository(name)
        return RepositoryName.in_folder(str(self.layout), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRules:
    """Which artifacts attached to an image are copied."""

    enabled: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    require_artifacts: bool = False


class VerifyMode(StrEnum):
    """What happens to an image without a trusted signature."""

    ENFORCE = "enforce"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key whose signature is trusted."""

    name: str
    """Its path, or its path in the config file."""
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIdentity:
    """A signer with a Sigstore certificate; either `identity` or `identity_regexp` is set."""

    identity: str | None = None
    identity_regexp: str | None = None
    """It has to match the whole identity."""
    issuer: str
    root_name: str
    """The path of the trusted root, or its origin in words."""
    trusted_root: str
    """The text of a trusted_root.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRules:
    """Whose signatures a mapping trusts: any of the keys and identities is enough."""

    mode: VerifyMode = VerifyMode.ENFORCE
    keys: tuple[TrustedKey, ...] = ()
    keyless: tuple[TrustedIdentity, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingConfig:
    """One mapping: a source repository, its targets and its rules."""

    name: str
    """`from` as the user wrote it; reports name the mapping so."""
    source: RegistryConfig
    source_repository: RepositoryName
    targets: tuple[tuple[RegistryConfig, RepositoryName], ...]
    """Each target with its repository; at least one, no pair twice."""
    platforms: tuple[Platform, ...] = ()
    tags: TagRules = field(default_factory=TagRules)
    artifacts: ArtifactRules = ArtifactRules()
    verify: VerifyRules | None = None
    """None: signatures are not verified."""
    line: int = 0
    """The line of the file where the mapping begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushgatewayConfig:
    """Where metrics are pushed after each pass."""

    url: str
    job: str = "ocync"
    grouping: Mapping[str, str] = field(default_factory=dict)
    username: Secret | None = None
    password: Secret | None = None
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where metrics are sent, in addition to /metrics in watch mode."""

    pushgateway: PushgatewayConfig | None = None
    textfile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole, valid configuration."""

    path: Path
    settings: GlobalSettings
    registries: Mapping[str, RegistryConfig]
    mappings: tuple[MappingConfig, ...]
    metrics: MetricsConfig = MetricsConfig()
    warnings: tuple[str, ...] = ()
    """Likely mistakes, each with its position; logged once at the start of a pass."""
