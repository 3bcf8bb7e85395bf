"""
The configuration as the rest of the program sees it: resolved, merged, frozen.

Defaults are merged into every mapping, names are replaced by what they name, durations are seconds and sizes
are bytes. The shape that users write is in `schema.json`; a test holds the two together.
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
    """How a registry wants to be convinced; `auth_type` in the file (`token` is read as `static_token`)."""

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
    A secret that came from the file, from the environment or from another file.

    Either `value` holds it or `file` names where it is read at use (and again after a 401). `origin` says where
    it came from, for messages: `registries.src.token (${GITHUB_TOKEN})`. Its repr and str never show the value.
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
    """PEM file of authorities to trust besides the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds; both are positive."""

    connect: float = 10.0
    idle: float = 60.0
    """No stream stands still for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """Per request and per blob; what a registry asks for in Retry-After wins over `max_delay`."""

    attempts: int = 5
    max_delay: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConfig:
    """The repository and tag in which passes keep what they learn."""

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
    """Seconds for which it is remembered who held a blob, 30 days at most; 0 means as long as that."""
    state: StateConfig | None = None
    """Where what is remembered is kept besides `cache_dir`."""
    staging_size_limit: int = 2_000_000_000
    """Bytes on disk, in `cache_dir`, for what slow targets have still to take; 0: nothing is staged."""
    deadline: float | None = None
    """Seconds after which no new work is started."""
    audit_every: float | None = 7 * 86400.0
    """Seconds in which each image whose tag has not changed is looked below about once; None: never."""
    timeouts: Timeouts = Timeouts()
    retry: RetrySettings = RetrySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRepository:
    """How a repository is made that a push finds missing at ECR; what is None is left to ECR's own default."""

    scan_on_push: bool | None = None
    immutable_tags: bool | None = None
    kms_key: str | None = None
    """The key's ARN, id or alias; without one, ECR encrypts with AES-256 keys of its own."""
    tags: Mapping[str, str] = field(default_factory=dict)
    lifecycle_policy: str | None = None
    """JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """One entry of `registries`: exactly one of `registry` and `layout` is set."""

    name: str
    registry: Registry | None = None
    layout: Path | None = None
    """The folder of OCI layouts, for `url: oci:DIR`; relative to the working directory."""
    auth_type: AuthType | None = None
    """None: by host name, then docker config, then anonymous."""
    username: Secret | None = None
    password: Secret | None = None
    token: Secret | None = None
    max_concurrent: int = 50
    head_first: bool = False
    aws_profile: str | None = None
    identity: str | None = None
    """The Chainguard identity (its UIDP) that is assumed, with the token behind `token` or the projected one."""
    issuer: str | None = None
    """The base URL of Chainguard's token service, where it is not the usual one."""
    create_repository: CreateRepository | None = None
    """None: a repository that is missing at a target is an error."""
    tls: TlsSettings = TlsSettings()

    def repository(self, name: str) -> RepositoryName:
        """Return the whole name of the repository that users call `name` here."""
        if self.registry is not None:
            return self.registry.repository(name)
        return RepositoryName.in_folder(str(self.layout), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRules:
    """What is copied of the artifacts attached to an image."""

    enabled: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    require_artifacts: bool = False


class VerifyMode(StrEnum):
    """What happens to an image that is not signed as demanded."""

    ENFORCE = "enforce"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key that has to have signed."""

    name: str
    """Its path, or where in the file it stands."""
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIdentity:
    """Who has to have signed with a certificate of Sigstore's; exactly one of the first two is set."""

    identity: str | None = None
    identity_regexp: str | None = None
    """It has to match all of the identity."""
    issuer: str
    root_name: str
    """The path of the trusted root, or where else it is from."""
    trusted_root: str
    """The text of a trusted_root.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRules:
    """Who has to have signed the images of a mapping: any of the keys and identities."""

    mode: VerifyMode = VerifyMode.ENFORCE
    keys: tuple[TrustedKey, ...] = ()
    keyless: tuple[TrustedIdentity, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingConfig:
    """One mapping: a source repository and where its tags go."""

    name: str
    """`from` as the user wrote it: how reports name the mapping."""
    source: RegistryConfig
    source_repository: RepositoryName
    targets: tuple[tuple[RegistryConfig, RepositoryName], ...]
    """Each target with its repository; at least one, no pair twice."""
    platforms: tuple[Platform, ...] = ()
    tags: TagRules = field(default_factory=TagRules)
    artifacts: ArtifactRules = ArtifactRules()
    verify: VerifyRules | None = None
    """None: images are copied whoever has signed them."""
    line: int = 0
    """Where the mapping begins in the file."""


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
    """Where metrics go, besides /metrics in watch mode."""

    pushgateway: PushgatewayConfig | None = None
    textfile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration, valid and with every reference resolved."""

    path: Path
    settings: GlobalSettings
    registries: Mapping[str, RegistryConfig]
    mappings: tuple[MappingConfig, ...]
    metrics: MetricsConfig = MetricsConfig()
    warnings: tuple[str, ...] = ()
    """What is legal and probably not meant, each with its place; said once at the start of a pass."""
