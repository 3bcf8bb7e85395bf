"""The section `registries`: addresses, and how to authenticate."""

from __future__ import annotations

from pathlib import Path as File
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ocync.config.creation import creation
from ocync.config.credentials import login, secret
from ocync.config.model import AuthType, RegistryConfig, TlsSettings
from ocync.config.section import given
from ocync.oci.providers import ecr_host
from ocync.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings
    from ocync.config.yaml.node import Value

LAYOUT = "oci:"
_ALIASES = {"token": AuthType.STATIC_TOKEN}


def registries(root: Section, findings: Findings) -> Mapping[str, RegistryConfig | None]:
    """Return all registries by name; None for one that is not sound, so that its name is known all the same."""
    found: dict[str, RegistryConfig | None] = {}
    for name, section in root.named("registries"):
        built = _registry(name, section, findings)
        is_sound = (built.registry or built.layout) and not findings.touch(section.path)
        found[name] = built if is_sound else None
    return found


def tls(section: Section, findings: Findings) -> TlsSettings:
    """Return the TLS settings of a section; a certificate without its key is a problem, and the other way round."""
    inner = section.section("tls")
    for key, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if inner.has(key) and not inner.has(other):
            findings.error(f"is missing, and {key} is set", inner.at(other), inner.place(key))
    return TlsSettings(
        ca_file=_file(inner, "ca_file"),
        cert_file=_file(inner, "cert_file"),
        key_file=_file(inner, "key_file"),
        insecure_skip_verify=inner.flag("insecure_skip_verify") or False,
    )


def _file(section: Section, key: str) -> File | None:
    text = section.text(key)
    return File(text) if text else None


def _registry(name: str, section: Section, findings: Findings) -> RegistryConfig:
    address = _address(section, findings)
    layout = address if isinstance(address, File) else None
    registry = address if isinstance(address, Registry) else None
    username, password = login(section.section("credentials"), findings)
    token = secret(section, "token", findings)
    if "${" in name or not name.strip():
        findings.error("is no name for a registry: variables work in values only", section.path, section.place(""))
    if layout is not None:
        _warn_of_unused(
            section, ("auth_type", "credentials", "token", "token_file", "tls"), "a folder needs none", findings
        )
    elif registry is not None and registry.scheme == "http":
        _warn_of_unused(section, ("tls",), "the URL begins with http://", findings)
    auth_type = _auth_type(section, findings)
    is_ecr = auth_type is AuthType.ECR or (registry is not None and ecr_host(registry.host) is not None)
    _check_cloud(section, auth_type, findings, is_ecr=is_ecr)
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
        create_repository=creation(section, registry.host if registry else "", findings) if is_ecr else None,
        tls=tls(section, findings),
        **given(max_concurrent=section.number("max_concurrent")),
    )


def _address(section: Section, findings: Findings) -> Registry | File | None:
    url = section.value("url")
    if url is None or not isinstance(url.content, str) or findings.touch(section.at("url")):
        return None
    if url.content.startswith(LAYOUT):
        return _layout(url.content.removeprefix(LAYOUT), url, section, findings)
    try:
        return Registry.parse(url.content)
    except ValueError as error:
        message = str(error)
        if "@" in url.content:
            # Whatever is before the @ may be a password, and the error may show it.
            message = "a registry's URL holds no user name or password: use credentials"
        elif url.source:
            message = f"what {url.source.named} made of it is not a registry: host, host:port or http://host:port"
        findings.error(message, section.at("url"), url.place, url.source)
        return None


def _layout(folder: str, url: Value, section: Section, findings: Findings) -> File | None:
    if not folder or "\0" in folder:
        findings.error("write oci:FOLDER, as oci:./mirror", section.at("url"), url.place, url.source)
        return None
    return File(folder)


def _auth_type(section: Section, findings: Findings) -> AuthType | None:
    """
    Return how to authenticate, and hold that what is needed for it is there.

    Credentials, a token or an identity say it themselves where `auth_type` is not set. For ghcr.io they are its
    credentials.
    """
    written = section.text("auth_type")
    if findings.touch(section.at("auth_type")):
        return None
    auth_type = _ALIASES.get(written) or AuthType(written) if written else None
    credentials, token = section.has("credentials"), section.has("token") or section.has("token_file")
    if auth_type is None and section.has("identity"):
        auth_type = AuthType.CHAINGUARD
    if auth_type in (None, AuthType.GHCR):
        if credentials and token:
            findings.error(
                "credentials and token are both set: keep one, or say with auth_type which is meant",
                section.at("auth_type"),
                section.place("auth_type"),
            )
        auth_type = AuthType.BASIC if credentials else AuthType.STATIC_TOKEN if token else auth_type
    _require(section, auth_type, findings)
    return auth_type


def _require(section: Section, auth_type: AuthType | None, findings: Findings) -> None:
    inner = section.section("credentials")
    place = section.place("auth_type")
    if auth_type is AuthType.BASIC and not findings.touch(inner.path):
        if not any(inner.has(key) for key in inner.table.entries):
            findings.error("auth_type: basic needs credentials with username and password", inner.path, place)
    elif auth_type is AuthType.STATIC_TOKEN and not (section.has("token") or section.has("token_file")):
        path = section.at("token")
        if not findings.touch(path):
            findings.error("auth_type: static_token needs a token or a token_file", path, place)
    elif auth_type is AuthType.CHAINGUARD and not section.has("identity"):
        path = section.at("identity")
        if not findings.touch(path):
            findings.error("auth_type: chainguard needs the UIDP of an identity to assume", path, place)
    if auth_type is not None and auth_type is not AuthType.BASIC:
        _warn_of_unused(section, ("credentials",), f"auth_type is {auth_type}", findings)
    if auth_type not in (None, AuthType.STATIC_TOKEN, AuthType.CHAINGUARD):
        _warn_of_unused(section, ("token", "token_file"), f"auth_type is {auth_type}", findings)


def _check_cloud(section: Section, auth_type: AuthType | None, findings: Findings, *, is_ecr: bool) -> None:
    """Hold that keys for one cloud stand where they have an effect."""
    if section.has("aws_profile") and not (is_ecr and auth_type in (None, AuthType.ECR)):
        message = "works only with auth_type: ecr, or with a host of ECR"
        findings.error(message, section.at("aws_profile"), section.place("aws_profile"))
    if section.has("create_repository") and not is_ecr:
        message = "works only at ECR: with a host of ECR, or auth_type: ecr"
        findings.error(message, section.at("create_repository"), section.place("create_repository"))
    for key in ("identity", "issuer"):
        if section.has(key) and auth_type is not AuthType.CHAINGUARD:
            findings.error("works only with auth_type: chainguard", section.at(key), section.place(key))
    issuer = section.text("issuer") or ""
    if issuer and not findings.touch(section.at("issuer")):
        url = urlsplit(issuer)
        # The token would be there for all to read on the way; a server on this machine is a test's.
        local = url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost", "::1")
        if not url.hostname or "@" in issuer or not (url.scheme == "https" or local):
            findings.error("write https://HOST, without credentials", section.at("issuer"), section.place("issuer"))


def _warn_of_unused(section: Section, keys: tuple[str, ...], why: str, findings: Findings) -> None:
    for key in keys:
        if section.has(key):
            findings.warn(f"is not used: {why}", section.at(key), section.place(key))
