"""Who has to have signed images: `verify` of the defaults and of mappings, with the keys and roots in it."""

from __future__ import annotations

import re
from pathlib import Path as File
from typing import TYPE_CHECKING

from ocync.config.model import TrustedIdentity, TrustedKey, VerifyMode, VerifyRules
from ocync.config.yaml.node import render
from ocync.verification.key import load_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.config.merge import Layered
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings
    from ocync.config.yaml.node import Path, Value

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a key or of a trusted root that are read at most."""


class Signers:
    """Keys and trusted roots by what names them: each is read and checked once for all mappings."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._checked: set[tuple[str, str]] = set()

    def text(self, name: str) -> str:
        """Return the text of a file; raises ValueError that says why it can't be read."""
        if name not in self._texts:
            try:
                with File(name).open("rb") as file:
                    raw = file.read(MAX_SIZE + 1)
                if len(raw) > MAX_SIZE:
                    raise ValueError(f"{name} is longer than {MAX_SIZE} bytes")
                self._texts[name] = raw.decode()
            except OSError as error:
                raise ValueError(f"can't read {name}: {error.strerror or error}") from error
            except UnicodeDecodeError as error:
                raise ValueError(f"{name} is no text") from error
        return self._texts[name]

    def key(self, text: str, where: str) -> TrustedKey:
        """Return a key that is given as PEM or as a path; raises ValueError for what is none."""
        is_pem = "-----BEGIN" in text
        key = TrustedKey(name=where if is_pem else text, pem=text if is_pem else self.text(text))
        self._check("key", key.pem, lambda: load_key(key.pem, key.name))
        return key

    def root(self, path: str | None) -> tuple[str, str]:
        """Return name and text of a trusted root, by default the public one; raises ValueError for what is none."""
        from ocync.verification.trusted_root import load_root, shipped_root  # noqa: PLC0415 -- only for those who verify

        name, text = shipped_root() if path is None else (path, self.text(path))

        self._check("root", text, lambda: load_root(text, name))
        return name, text

    def identity(
        self, *, identity: str | None, pattern: str | None, issuer: str, root: str | None
    ) -> TrustedIdentity:
        """Return who has to have signed; raises ValueError for a trusted root that is none."""
        name, text = self.root(root)
        return TrustedIdentity(
            identity=identity, identity_regexp=pattern, issuer=issuer, root_name=name, trusted_root=text
        )

    def _check(self, kind: str, text: str, check: Callable[[], object]) -> None:
        """Check a text, unless it has been found to be right before."""
        if (kind, text) not in self._checked:
            check()
            self._checked.add((kind, text))


def check_verify(section: Section, signers: Signers, findings: Findings) -> None:
    """Check what one `verify` says for itself: so what is wrong in the defaults is said once."""
    for path, value in section.values("key"):
        _try(lambda text: signers.key(text, "it"), path, value, findings)
    for each in section.sections("keyless"):
        if each.has("identity") == each.has("identity_regexp"):
            message = "names both: keep one" if each.has("identity") else "is missing, and so is identity_regexp"
            findings.error(message, each.at("identity"), each.place("identity"))
        for key, check in (("identity_regexp", check_pattern), ("trusted_root", signers.root)):
            found = each.value(key)
            if found is not None:
                _try(check, each.at(key), found, findings)
        if not each.has("trusted_root"):
            _try_public(signers, each, findings)


def verify_rules(verify: Layered, signers: Signers, findings: Findings) -> VerifyRules | None:
    """Return the rules of a mapping; None where nothing is to be verified, or where a problem has been noted."""
    own, default = verify
    if not (own.table.entries or default.table.entries):
        return None
    mode = verify.of("mode").text("mode") or VerifyMode.ENFORCE.value
    if mode not in tuple(VerifyMode):
        return None
    section = verify.of("key")
    keys = tuple(_key(signers, value, path) for path, value in section.values("key") if not findings.touch(path))
    identities = tuple(
        found
        for each in verify.of("keyless").sections("keyless")
        if (found := _identity(each, signers, findings)) is not None
    )
    if not (keys or identities or any(findings.touch(layer.path) for layer in verify)):
        message = "names neither a key nor a keyless identity that has to have signed"
        findings.error(message, own.path, own.table.place)
        return None
    return VerifyRules(mode=VerifyMode(mode), keys=keys, keyless=identities)


def _key(signers: Signers, value: Value, path: Path) -> TrustedKey:
    return signers.key(str(value.content), render(path))


def _identity(section: Section, signers: Signers, findings: Findings) -> TrustedIdentity | None:
    issuer = section.text("issuer")
    if issuer is None or findings.touch(section.path):
        return None
    return signers.identity(
        identity=section.text("identity"),
        pattern=section.text("identity_regexp"),
        issuer=issuer,
        root=section.text("trusted_root"),
    )


def check_pattern(text: str) -> None:
    """Hold that this is a regular expression; raises ValueError."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from error


def _try(check: Callable[[str], object], path: Path, value: Value, findings: Findings) -> None:
    if findings.touch(path):
        return
    try:
        check(str(value.content))
    except ValueError as error:
        message = f"what {value.source.named} made of it can't be used" if value.source else str(error)
        findings.error(message, path, value.place, value.source)


def _try_public(signers: Signers, section: Section, findings: Findings) -> None:
    """Find out whether the root that holds where none is named can be had: its library may not be installed."""
    if findings.touch(section.path):
        return
    try:
        signers.root(None)
    except ValueError as error:
        findings.error(str(error), section.at("trusted_root"), section.place("trusted_root"))
