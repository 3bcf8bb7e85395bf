"""The section `registries`: addresses, how to authenticate, and the repositories that are created."""

from __future__ import annotations

import json
from pathlib import Path as File
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ocync.config.credentials import login, secret
from ocync.config.model import AuthType, CreateRepository, RegistryConfig, TlsSettings
from ocync.config.section import given
from ocync.oci.providers import ecr_host
from ocync.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.section import Section

LAYOUT = "oci:"
_ALIASES = {"token": AuthType.STATIC_TOKEN}
_POLICY = (100, 30720)
"""The fewest and the most characters of a lifecycle policy (ECR API, PutLifecyclePolicy)."""
# ECR Public has none of these (ECR Public API, CreateRepository).
_PRIVATE_ONLY = ("scan_on_push", "tag_mutability", "kms_key", "lifecycle_policy")


def registries(root: Section) -> Mapping[str, RegistryConfig | None]:
    """Return all registries by name; None for one with problems, so that its name is known."""
    section = root.section("registries")
    found: dict[str, RegistryConfig | None] = {}
    for name in section.table.entries:
        registry = _registry(name, section.section(name))
        found[name] = registry if (registry.registry or registry.layout) and section.is_sound(name) else None
    return found


def tls(section: Section) -> TlsSettings:
    """Return the TLS settings of a section; a certificate without its key, or a key alone, is a problem."""
    inner = section.section("tls")
    for key, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if inner.has(key) and not inner.has(other):
            inner.findings.error(f"is missing, and {key} is set", inner.at(other), inner.position(key))
    files = {key: File(text) for key in ("ca_file", "cert_file", "key_file") if (text := inner.text(key))}
    return TlsSettings(**files, insecure_skip_verify=inner.flag("insecure_skip_verify") or False)


def _registry(name: str, section: Section) -> RegistryConfig:
    address = _address(section)
    layout = address if isinstance(address, File) else None
    registry = address if isinstance(address, Registry) else None
    username, password = login(section.section("credentials"))
    token = secret(section, "token")
    if "${" in name or not name.strip():
        message = "is no name for a registry: variables work in values only"
        section.findings.error(message, section.path, section.table.position)
    if layout is not None:
        unused = ("auth_type", "credentials", "token", "token_file", "tls")
        _warn_of_unused(section, unused, "a folder needs none")
    elif registry is not None and registry.scheme == "http":
        _warn_of_unused(section, ("tls",), "the URL begins with http://")
    auth_type = _auth_type(section)
    is_ecr = auth_type is AuthType.ECR or (registry is not None and ecr_host(registry.host) is not None)
    _check_cloud(section, auth_type, is_ecr=is_ecr)
    return RegistryConfig(
        name=name,
        registry=registry,
        layout=layout,
        auth_type=auth_type,
        username=username,
        password=password,
        token=token,
        head_first=section.flag("head_first") or False,
        aws_profile=section.text("aws_profile"),
        identity=section.text("identity"),
        issuer=section.text("issuer"),
        create_repository=_creation(section, registry.host if registry else "") if is_ecr else None,
        tls=tls(section),
        **given(max_concurrent=section.number("max_concurrent")),
    )


def _address(section: Section) -> Registry | File | None:
    url = section.value("url")
    if url is None or not isinstance(url.content, str) or not section.is_sound("url"):
        return None
    if url.content.startswith(LAYOUT):
        folder = url.content.removeprefix(LAYOUT)
        if folder and "\0" not in folder:
            return File(folder)
        message = "write oci:FOLDER, as oci:./mirror"
    else:
        try:
            return Registry.parse(url.content)
        except ValueError as error:
            message = str(error)
            if "@" in url.content:
                # Whatever is before the @ may be a password, and the error may show it.
                message = "a registry's URL holds no user name or password: use credentials"
            elif url.source:
                message = f"{url.shown} is not a registry: host, host:port or http://host:port"
    section.findings.refuse(section.at("url"), url, message)
    return None


def _auth_type(section: Section) -> AuthType | None:
    """
    Return how to authenticate, and record what is missing for it.

    Without `auth_type`, credentials, a token or an identity decide; `ghcr` means the credentials or token too.
    """
    written = section.text("auth_type")
    if not section.is_sound("auth_type"):
        return None
    auth_type = _ALIASES.get(written) or AuthType(written) if written else None
    credentials, token = section.has("credentials"), section.has("token") or section.has("token_file")
    if auth_type is None and section.has("identity"):
        auth_type = AuthType.CHAINGUARD
    if auth_type in (None, AuthType.GHCR):
        if credentials and token:
            message = "credentials and token are both set: keep one, or say with auth_type which is meant"
            section.error("auth_type", message)
        auth_type = AuthType.BASIC if credentials else AuthType.STATIC_TOKEN if token else auth_type
    inner = section.section("credentials")
    key, is_given, message = {
        AuthType.BASIC: (
            "credentials",
            any(inner.has(name) for name in inner.table.entries),
            "auth_type: basic needs credentials with username and password",
        ),
        AuthType.STATIC_TOKEN: ("token", token, "auth_type: static_token needs a token or a token_file"),
        AuthType.CHAINGUARD: (
            "identity",
            section.has("identity"),
            "auth_type: chainguard needs the UIDP of an identity to assume",
        ),
    }.get(auth_type or AuthType.ANONYMOUS, ("", True, ""))
    if not is_given and section.is_sound(key):
        section.findings.error(message, section.at(key), section.position("auth_type"))
    if auth_type is None:
        return None
    if auth_type is not AuthType.BASIC:
        _warn_of_unused(section, ("credentials",), f"auth_type is {auth_type}")
    if auth_type not in (AuthType.STATIC_TOKEN, AuthType.CHAINGUARD):
        _warn_of_unused(section, ("token", "token_file"), f"auth_type is {auth_type}")
    return auth_type


def _check_cloud(section: Section, auth_type: AuthType | None, *, is_ecr: bool) -> None:
    """Record keys of one cloud that have no effect at this registry, and an issuer that is not safe."""
    if section.has("aws_profile") and not (is_ecr and auth_type in (None, AuthType.ECR)):
        section.error("aws_profile", "works only with auth_type: ecr, or with a host of ECR")
    if section.has("create_repository") and not is_ecr:
        section.error("create_repository", "works only at ECR: with a host of ECR, or auth_type: ecr")
    for key in ("identity", "issuer"):
        if section.has(key) and auth_type is not AuthType.CHAINGUARD:
            section.error(key, "works only with auth_type: chainguard")
    issuer = section.text("issuer") or ""
    if issuer and section.is_sound("issuer"):
        url = urlsplit(issuer)
        # http would show the token to anyone on the network; a server on this machine is a test's.
        is_local = url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost", "::1")
        if not url.hostname or "@" in issuer or not (url.scheme == "https" or is_local):
            section.error("issuer", "write https://HOST, without credentials")


def _warn_of_unused(section: Section, keys: tuple[str, ...], reason: str) -> None:
    for key in keys:
        if section.has(key):
            section.warn(key, f"is not used: {reason}")


def _creation(registry: Section, host: str) -> CreateRepository | None:
    """Return how repositories are created; None if they are not."""
    section = registry.section("create_repository")
    if not registry.has("create_repository") or section.flag("enabled") is False:
        return None
    ecr = ecr_host(host)
    if ecr is not None and ecr.public:
        _warn_of_unused(section, _PRIVATE_ONLY, "ECR Public has no such setting")
    mutability = section.text("tag_mutability")
    tags = section.section("tags")
    return CreateRepository(
        scan_on_push=section.flag("scan_on_push"),
        immutable_tags=None if mutability is None else mutability.lower() == "immutable",
        kms_key=section.text("kms_key"),
        tags={name: tags.text(name) or "" for name in tags.table.entries},
        lifecycle_policy=section.parse("lifecycle_policy", _lifecycle_policy),
    )


def _lifecycle_policy(text: Any) -> str:
    try:
        policy = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(policy, dict) or not isinstance(policy.get("rules"), list):
        raise ValueError('is not a lifecycle policy: it has to be {"rules": [...]}')
    if not _POLICY[0] <= len(text) <= _POLICY[1]:
        raise ValueError(f"has {len(text)} characters, and ECR wants {_POLICY[0]} to {_POLICY[1]}")
    return str(text)
