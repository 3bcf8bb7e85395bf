"""Secrets of the file: where each comes from, and that it is one."""

from __future__ import annotations

from pathlib import Path as File
from typing import TYPE_CHECKING

from ocync.config.model import Secret
from ocync.config.yaml.node import render

if TYPE_CHECKING:
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings


def secret(section: Section, key: str, findings: Findings) -> Secret | None:
    """
    Return the secret behind `key`, or behind `key_file` as a file to be read at use; None where neither is set.

    An empty one is a problem that names the variable it should have come from.
    """
    value, file = section.value(key), section.text(f"{key}_file")
    if value is not None and file is not None:
        findings.error(
            f"stands beside {key}: keep one of them", section.at(f"{key}_file"), section.place(f"{key}_file")
        )
        return None
    if file is not None:
        return Secret(file=File(file), origin=f"{render(section.at(f'{key}_file'))} ({file})")
    if value is None or not isinstance(value.content, str):
        return None
    path = section.at(key)
    variables = value.source.named if value.source else ""
    if not value.content:
        findings.error("is empty", path, value.place, value.source)
        return None
    if value.content != value.content.strip():
        origin = f" in {variables}" if variables else ""
        findings.warn(
            f"begins or ends with a blank or a line break{origin}, which is mostly an accident", path, value.place
        )
    origin = f"{render(path)} ({variables})" if variables else render(path)
    return Secret(value=value.content, origin=origin)


def login(section: Section, findings: Findings) -> tuple[Secret | None, Secret | None]:
    """Return user name and password of a section; it is a problem when only one of them is set."""
    username, password = secret(section, "username", findings), secret(section, "password", findings)
    for key, other in (("username", "password"), ("password", "username")):
        if _is_set(section, key) and not _is_set(section, other) and not findings.touch(section.at(other)):
            findings.error(f"is missing, and {key} is set", section.at(other), section.place(key))
    return username, password


def _is_set(section: Section, key: str) -> bool:
    return section.has(key) or section.has(f"{key}_file")
