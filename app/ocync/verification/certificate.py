"""Signing certificates: their issuer, their validity, and the certificate log that must contain them."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ocync.verification.evidence import UntrustedError
from ocync.verification.key import has_signed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from ocync.verification.trusted_root import LogKey


def certificate_errors() -> tuple[type[Exception], ...]:
    """Return the errors that unreadable or inconsistent certificates raise."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    )


def check_chain(certificate: Certificate, authorities: tuple[Certificate, ...], at: float) -> Certificate:
    """Return the trusted issuer of a signing certificate that was valid at a time; raises UntrustedError."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

    if not authorities:
        raise UntrustedError("when it was made, no trusted authority issued certificates")
    usage = certificate.extensions.get_extension_for_class
    try:
        is_for_code = ExtendedKeyUsageOID.CODE_SIGNING in usage(x509.ExtendedKeyUsage).value
        is_for_signing = usage(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        is_for_code = is_for_signing = False
    if not (is_for_code and is_for_signing):
        raise UntrustedError("its certificate is not for signing")
    # The default expects a client certificate; the usage is checked above.
    any_use: tuple[Any, Any, Any] = (x509.ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
    # Intermediates of the trusted root count like roots; each is verified at the time of signing.
    verifier = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(datetime.fromtimestamp(at, UTC))
        .extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca().may_be_present(*any_use),
            ee_policy=ExtensionPolicy.webpki_defaults_ee().may_be_present(*any_use),
        )
        .build_client_verifier()
    )
    try:
        chain = verifier.verify(certificate, []).chain
    except (VerificationError, x509.UnsupportedGeneralNameType, ValueError) as error:
        raise UntrustedError(f"its certificate is not of a trusted authority: {error}") from error
    if len(chain) < 2:
        raise UntrustedError("its certificate is an authority's own")
    return chain[1]


def check_sct(certificate: Certificate, issuer: Certificate, logs: tuple[tuple[str, LogKey], ...]) -> None:
    """Raise UntrustedError unless a trusted log has signed the precertificate (RFC 6962, section 3.2)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        extension = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    except x509.ExtensionNotFound as error:
        raise UntrustedError("its certificate is in no certificate log") from error
    raw = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    body = certificate.tbs_precertificate_bytes
    entry = hashlib.sha256(raw).digest() + len(body).to_bytes(3, "big") + body
    known = dict(logs)
    for each in extension.value:
        moment = each.timestamp.replace(tzinfo=UTC)
        milliseconds = round(moment.timestamp() * 1000)
        data = struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry
        data += struct.pack("!H", len(each.extension_bytes)) + each.extension_bytes
        found = known.get(each.log_id.hex())
        if found is not None and moment.timestamp() in found.valid and has_signed(found.key, each.signature, data):
            return
    raise UntrustedError("its certificate is in no certificate log that is trusted")
