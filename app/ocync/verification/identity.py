"""The identity in a certificate of Fulcio (sigstore/fulcio, docs/oid-info.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.verification.evidence import UntrustedError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_ISSUER_V1 = "1.3.6.1.4.1.57264.1.1"
_ISSUER_V2 = "1.3.6.1.4.1.57264.1.8"
_OTHER_NAME = "1.3.6.1.4.1.57264.1.7"
_UTF8_STRING = 0x0C


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who must have signed: one identity, or all that a pattern matches as a whole, of one issuer."""

    name: str | None
    pattern: str | None
    issuer: str

    def __str__(self) -> str:
        return f"{self.name or self.pattern} ({self.issuer})"

    def check(self, certificate: Certificate) -> None:
        """Raise UntrustedError unless the verified certificate belongs to this identity."""
        issuer = _issuer(certificate)
        if issuer != self.issuer:
            raise UntrustedError(f"the issuer of its identity is {issuer!r:.200}")
        names = _names(certificate)
        if self.name is not None:
            is_one = self.name in names
        else:
            is_one = any(re.fullmatch(self.pattern or "", name) for name in names)
        if not is_one:
            raise UntrustedError(f"it is of {', '.join(map(repr, names)) or 'nobody':.300}")


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    others = names.get_values_for_type(x509.OtherName)
    return (
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *(_text(each.value) for each in others if each.type_id.dotted_string == _OTHER_NAME),
    )


def _issuer(certificate: Certificate) -> str:
    from cryptography import x509

    found = {each.oid.dotted_string: each.value for each in certificate.extensions}
    newer, older = found.get(_ISSUER_V2), found.get(_ISSUER_V1)
    if isinstance(newer, x509.UnrecognizedExtension):
        return _text(newer.value)
    if isinstance(older, x509.UnrecognizedExtension):
        return older.value.decode(errors="replace")
    return ""


def _text(der: bytes) -> str:
    """Return a UTF8String in DER; raises UntrustedError for anything else."""
    if len(der) < 2 or der[0] != _UTF8_STRING:
        raise UntrustedError("its certificate holds what is no text")
    length, start = der[1], 2
    if length & 0x80:
        count = length & 0x7F
        start = 2 + count
        length = int.from_bytes(der[2:start], "big")
    if len(der) != start + length:
        raise UntrustedError("its certificate holds a text that is cut")
    return der[start:].decode(errors="replace")
