"""Secrets: reading them from the file, and listing those of a configuration."""

from __future__ import annotations

from pathlib import Path as File
from typing import TYPE_CHECKING

from ocync.config.model import Secret
from ocync.config.yaml.node import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.model import Config
    from ocync.config.section import Section


def secret(section: Section, key: str) -> Secret | None:
    """
    Return the secret at `key`, or at `key_file` as a file to be read at use; None if neither is set.

    An empty secret is a problem that names the variable it should have come from.
    """
    key_file = f"{key}_file"
    value, file = section.value(key), section.text(key_file)
    if value is not None and file is not None:
        section.error(key_file, f"stands beside {key}: keep one of them")
        return None
    if file is not None:
        return Secret(file=File(file), origin=f"{render(section.at(key_file))} ({file})")
    if value is None or not isinstance(value.content, str):
        return None
    path = section.at(key)
    variables = value.source.named if value.source else ""
    if not value.content:
        section.findings.refuse(path, value, "is empty")
        return None
    if value.content != value.content.strip():
        origin = f" in {variables}" if variables else ""
        message = f"begins or ends with a blank or a line break{origin}, which is mostly an accident"
        section.findings.warn(message, path, value.position)
    return Secret(value=value.content, origin=f"{render(path)} ({variables})" if variables else render(path))


def login(section: Section) -> tuple[Secret | None, Secret | None]:
    """Return user name and password of a section; setting only one of them is a problem."""
    for key, other in (("username", "password"), ("password", "username")):
        if _is_set(section, key) and not _is_set(section, other) and section.is_sound(other):
            section.findings.error(f"is missing, and {key} is set", section.at(other), section.position(key))
    return secret(section, "username"), secret(section, "password")


def _is_set(section: Section, key: str) -> bool:
    return section.has(key) or section.has(f"{key}_file")


def secrets_of(config: Config) -> Iterator[tuple[str, str]]:
    """
    Yield each secret with the user name that it is sent with (empty for a token).

    Secrets in files are not read here: the code that reads one registers it for redaction.
    """
    pairs: list[tuple[Secret | None, Secret | None]] = []
    for registry in config.registries.values():
        pairs += [(registry.username, registry.password), (None, registry.token)]
    if config.metrics.pushgateway is not None:
        pairs.append((config.metrics.pushgateway.username, config.metrics.pushgateway.password))
    for username, password in pairs:
        if password is not None and password.value is not None:
            yield password.value, (username.value or "") if username is not None else ""
