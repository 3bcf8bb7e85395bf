"""The sections `verify`: trusted keys and identities, with the key files and trusted roots that they name."""

from __future__ import annotations

import re
from pathlib import Path as File
from typing import TYPE_CHECKING

from ocync.config.model import TrustedIdentity, TrustedKey, VerifyMode, VerifyRules
from ocync.config.yaml.node import render
from ocync.verification.key import load_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.config.section import Layers, Section

MAX_SIZE = 4 * 1024 * 1024
"""The most bytes of a key or trusted root."""


class Signers:
    """The keys and trusted roots of all mappings, each read and checked once."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._checked: set[tuple[str, str]] = set()

    def text(self, name: str) -> str:
        """Return the text of a file; raises ValueError if it can't be read."""
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
        """Return the key in a PEM text or at a path; raises ValueError if it is none."""
        is_pem = "-----BEGIN" in text
        key = TrustedKey(name=where if is_pem else text, pem=text if is_pem else self.text(text))
        self._check("key", key.pem, lambda: load_key(key.pem, key.name))
        return key

    def root(self, path: str | None) -> tuple[str, str]:
        """Return name and text of a trusted root, by default Sigstore's public one; raises ValueError."""
        from ocync.verification.trusted_root import load_root, shipped_root  # noqa: PLC0415 -- only for those who verify

        name, text = shipped_root() if path is None else (path, self.text(path))

        self._check("root", text, lambda: load_root(text, name))
        return name, text

    def identity(
        self, *, identity: str | None, pattern: str | None, issuer: str, root: str | None
    ) -> TrustedIdentity:
        """Return a trusted identity with its root; raises ValueError for a bad root."""
        name, text = self.root(root)
        return TrustedIdentity(
            identity=identity, identity_regexp=pattern, issuer=issuer, root_name=name, trusted_root=text
        )

    def _check(self, kind: str, text: str, check: Callable[[], object]) -> None:
        if (kind, text) not in self._checked:
            check()
            self._checked.add((kind, text))


def check_verify(section: Section, signers: Signers) -> None:
    """Record what is wrong in one `verify`; that of the defaults is checked once, not per mapping."""
    findings = section.findings
    for path, value in section.values("key"):
        findings.attempt(path, value, lambda text: signers.key(text, "it"))
    for each in section.sections("keyless"):
        if each.has("identity") == each.has("identity_regexp"):
            message = "names both: keep one" if each.has("identity") else "is missing, and so is identity_regexp"
            each.error("identity", message)
        each.parse("identity_regexp", check_pattern)
        each.parse("trusted_root", signers.root)
        if not each.has("trusted_root") and not findings.affect(each.path):
            try:
                signers.root(None)  # the library that has it may not be installed
            except ValueError as error:
                each.error("trusted_root", str(error))


def verify_rules(verify: Layers, signers: Signers) -> VerifyRules | None:
    """Return the rules of a mapping; None if nothing is to be verified, or after a problem."""
    own, default = verify
    if not (own.table.entries or default.table.entries):
        return None
    mode = verify.of("mode").text("mode") or VerifyMode.ENFORCE.value
    if mode not in tuple(VerifyMode):
        return None
    findings = own.findings
    keys = tuple(
        signers.key(str(value.content), render(path))
        for path, value in verify.of("key").values("key")
        if not findings.affect(path)
    )
    keyless = verify.of("keyless").sections("keyless")
    identities = tuple(found for each in keyless if (found := _identity(each, signers)) is not None)
    if not (keys or identities or any(findings.affect(layer.path) for layer in verify)):
        message = "names neither a key nor a keyless identity that has to have signed"
        findings.error(message, own.path, own.table.position)
        return None
    return VerifyRules(mode=VerifyMode(mode), keys=keys, keyless=identities)


def _identity(section: Section, signers: Signers) -> TrustedIdentity | None:
    issuer = section.text("issuer")
    if issuer is None or section.findings.affect(section.path):
        return None
    return signers.identity(
        identity=section.text("identity"),
        pattern=section.text("identity_regexp"),
        issuer=issuer,
        root=section.text("trusted_root"),
    )


def check_pattern(text: str) -> None:
    """Raise ValueError if the text is not a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from error
