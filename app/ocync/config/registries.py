"""The section `registries`: addresses, and how to authenticate."""

from __future__ import annotations

from pathlib import Path as File
from typing import TYPE_CHECKING

from ocync.config.credentials import login, secret
from ocync.config.model import AuthType, RegistryConfig, TlsSettings
from ocync.config.section import given
from ocync.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.findings import Findings
    from ocync.config.node import Value
    from ocync.config.section import Section

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
    return RegistryConfig(
        name=name,
        registry=registry,
        layout=layout,
        auth_type=_auth_type(section, findings),
        username=username,
        password=password,
        token=token,
        head_first=section.flag("head_first") or False,
        aws_profile=section.text("aws_profile"),
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

    Credentials or a token say it themselves where `auth_type` is not set. For ghcr.io they are its credentials.
    """
    written = section.text("auth_type")
    if findings.touch(section.at("auth_type")):
        return None
    auth_type = _ALIASES.get(written) or AuthType(written) if written else None
    credentials, token = section.has("credentials"), section.has("token") or section.has("token_file")
    if auth_type in (None, AuthType.GHCR):
        if credentials and token:
            findings.error(
                "credentials and token are both set: keep one, or say with auth_type which is meant",
                section.at("auth_type"),
                section.place("auth_type"),
            )
        auth_type = AuthType.BASIC if credentials else AuthType.STATIC_TOKEN if token else auth_type
    _require(section, auth_type, findings)
    if section.has("aws_profile") and auth_type is not AuthType.ECR:
        findings.error("works only with auth_type: ecr", section.at("aws_profile"), section.place("aws_profile"))
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
    if auth_type is not None and auth_type is not AuthType.BASIC:
        _warn_of_unused(section, ("credentials",), f"auth_type is {auth_type}", findings)
    if auth_type is not None and auth_type is not AuthType.STATIC_TOKEN:
        _warn_of_unused(section, ("token", "token_file"), f"auth_type is {auth_type}", findings)


def _warn_of_unused(section: Section, keys: tuple[str, ...], why: str, findings: Findings) -> None:
    for key in keys:
        if section.has(key):
            findings.warn(f"is not used: {why}", section.at(key), section.place(key))
