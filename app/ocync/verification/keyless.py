"""
Signatures by an identity: a certificate of Fulcio's, an entry of Rekor's, and a trusted root that vouches for both.

Bundles are verified by Sigstore's own library. It knows no entries without an inclusion proof, and cosign's
annotations hold none; so these are verified here, as cosign does it: the log's promise of an entry (sigstore/rekor,
"SignedEntryTimestamp") and the certificate at the time of that promise, with its SCT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import struct
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ocync.verification import material
from ocync.verification.evidence import (
    Bundle,
    SimpleSignature,
    UntrustedError,
    claim_of_statement,
    decoded,
    document,
)
from ocync.verification.key import signed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence
    from ocync.verification.identity import Identity

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of a transparency log, and the seconds since 1970 between which it signed."""

    key: PublicKeyTypes
    start: float
    end: float

    def holds_at(self, time: float) -> bool:
        """Tell whether the log signed with it at a time."""
        return self.start <= time <= self.end


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """What certificates and log entries are verified by."""

    authorities: tuple[Certificate, ...]
    logs: tuple[tuple[str, LogKey], ...]
    """Rekor's, each with the SHA-256 of its key in hex."""
    certificate_logs: tuple[tuple[str, LogKey], ...]
    verifier: Verifier


def load_root(text: str, name: str) -> TrustedRoot:
    """Read a trusted_root.json; raises ValueError."""
    material.need("cryptography", "sigstore")
    from cryptography import x509
    from sigstore.errors import Error
    from sigstore.models import TrustedRoot as Root
    from sigstore.verify import Verifier

    # It says at each start which algorithms it does not know.
    logging.getLogger("sigstore").setLevel(logging.ERROR)
    body = material.read_root(text, name)
    try:
        authorities = tuple(
            x509.load_der_x509_certificate(base64.b64decode(each["rawBytes"]))
            for authority in body["certificateAuthorities"]
            for each in authority["certChain"]["certificates"]
        )
        logs, certificate_logs = tuple(_keys(body["tlogs"])), tuple(_keys(body["ctlogs"]))
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            verifier = Verifier(trusted_root=Root.from_file(file.name))
    except OSError as error:
        raise ValueError(f"{name} is read by way of a temporary file, which can't be written: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, Error) as error:
        raise ValueError(f"{name} is no trusted root that can be used: {error!r:.200}") from error
    if not (authorities and logs and certificate_logs):
        raise ValueError(f"{name} lacks certificate authorities, logs or certificate logs")
    return TrustedRoot(authorities, logs, certificate_logs, verifier)


def _keys(entries: Iterable[dict[str, Any]]) -> Iterable[tuple[str, LogKey]]:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    for entry in entries:
        raw = base64.b64decode(entry["publicKey"]["rawBytes"])
        valid = entry["publicKey"].get("validFor") or {}
        start, end = (_time(valid.get(key)) for key in ("start", "end"))
        try:
            key = load_der_public_key(raw)
        except ValueError:
            log.debug("a log of the trusted root has a key of an unknown kind")
            continue
        yield hashlib.sha256(raw).hexdigest(), LogKey(key, start or 0.0, end if end is not None else float("inf"))


def _time(text: str | None) -> float | None:
    return None if not text else datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True, slots=True)
class IdentitySigner:
    """Somebody who is known to an issuer."""

    identity: Identity
    root: TrustedRoot

    @property
    def name(self) -> str:
        """The identity and its issuer."""
        return str(self.identity)

    def check(self, evidence: Evidence, subject: Digest, manifest: bytes | None) -> None:
        """Hold that the evidence is this one's signature of the image; raises UntrustedError."""
        if isinstance(evidence, Bundle):
            self._check_bundle(evidence, subject, manifest)
        else:
            self._check_simple(evidence)
            evidence.claim(subject)

    def _check_bundle(self, bundle: Bundle, subject: Digest, manifest: bytes | None) -> None:
        from sigstore.models import Bundle as Model

        if not bundle.has_certificate:
            raise UntrustedError("it is signed by a key and by no identity")
        policy = _Policy(self.identity)
        try:
            model = Model.from_json(bundle.raw)
            if "dsseEnvelope" in bundle.body:
                kind, payload = self.root.verifier.verify_dsse(model, policy)
                claim_of_statement(kind, payload, subject)
            elif manifest is not None:
                self.root.verifier.verify_artifact(manifest, model, policy)
            else:
                raise UntrustedError("it signs no statement about an image")
        except UntrustedError:
            raise
        # Much of what is wrong in a bundle it says by errors of other kinds, and of libraries that it uses.
        except Exception as error:
            raise UntrustedError(" ".join(str(error).split())[:300] or type(error).__name__) from error

    def _check_simple(self, evidence: SimpleSignature) -> None:
        from cryptography import x509

        if evidence.certificate is None:
            raise UntrustedError("it is signed by a key and by no identity")
        try:
            certificate = x509.load_pem_x509_certificate(evidence.certificate.encode())
            at = self._check_log(evidence, evidence.certificate)
            issuer = _check_chain(certificate, self.root.authorities, at)
            _check_sct(certificate, issuer, self.root.certificate_logs)
            key = certificate.public_key()
            if not signed(key, evidence.signature, evidence.payload):
                raise UntrustedError("it is not signed by its certificate")
            self.identity.check(certificate)
        except _unreadable() as error:
            raise UntrustedError(f"its certificate can't be read: {error}") from error

    def _check_log(self, evidence: SimpleSignature, certificate: str) -> float:
        """Hold that the log has promised to keep this very signature; returns when it did, in seconds."""
        bundle = evidence.log_bundle or {}
        entry = bundle.get("Payload")
        if not isinstance(entry, dict):
            raise UntrustedError("it is in no transparency log")
        names = ("body", "integratedTime", "logID", "logIndex")
        promised = {name: entry.get(name) for name in names}
        at = promised["integratedTime"]
        if not isinstance(at, int) or isinstance(at, bool):
            raise UntrustedError("its log entry has no time")
        # RFC 8785: of these values, that is what Python writes.
        data = json.dumps(promised, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        promise = decoded(bundle.get("SignedEntryTimestamp"), "the promise of its log entry")
        known = dict(self.root.logs).get(str(promised["logID"]))
        if known is None or not known.holds_at(at) or not signed(known.key, promise, data):
            raise UntrustedError("its log entry is of no log that is trusted")
        _check_entry(document(decoded(promised["body"], "its log entry"), "its log entry"), evidence, certificate)
        return float(at)


@dataclass(frozen=True, slots=True)
class _Policy:
    """An identity, as Sigstore's library asks for it."""

    identity: Identity

    def verify(self, cert: Certificate) -> None:
        self.identity.check(cert)


def _check_entry(entry: dict[str, Any], evidence: SimpleSignature, certificate: str) -> None:
    """Hold that a log's entry is about this signature, payload and certificate (rekor, hashedrekord 0.0.1)."""
    if (entry.get("kind"), entry.get("apiVersion")) != ("hashedrekord", "0.0.1"):
        raise UntrustedError("its log entry is of another kind")
    try:
        spec = entry["spec"]
        hashed, signature = spec["data"]["hash"], spec["signature"]
        is_this = (
            hashed["algorithm"] == "sha256"
            and hashed["value"] == hashlib.sha256(evidence.payload).hexdigest()
            and decoded(signature["content"], "its log entry") == evidence.signature
            and decoded(signature["publicKey"]["content"], "its log entry").strip() == certificate.strip().encode()
        )
    except (KeyError, TypeError) as error:
        raise UntrustedError("its log entry can't be read") from error
    if not is_this:
        raise UntrustedError("its log entry is that of another signature")


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what is raised for certificates that can't be read, or are read and make no sense."""
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


def _check_chain(certificate: Certificate, authorities: tuple[Certificate, ...], at: float) -> Certificate:
    """Hold that a trusted authority has issued the certificate for signing, valid at a time; returns the issuer."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

    usage = certificate.extensions.get_extension_for_class
    try:
        is_for_code = ExtendedKeyUsageOID.CODE_SIGNING in usage(x509.ExtendedKeyUsage).value
        is_for_signing = usage(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        is_for_code = is_for_signing = False
    if not (is_for_code and is_for_signing):
        raise UntrustedError("its certificate is not for signing")
    # By default a client's certificate is asked for; what this one is for has been seen to.
    any_use: tuple[Any, Any, Any] = (x509.ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
    # Roots are trusted, and intermediates of the trusted root are as good; each is verified at the time of signing.
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


def _check_sct(certificate: Certificate, issuer: Certificate, logs: tuple[tuple[str, LogKey], ...]) -> None:
    """Hold that a trusted log has seen the certificate before it was issued (RFC 6962, section 3.2)."""
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
        if found is not None and found.holds_at(moment.timestamp()) and signed(found.key, each.signature, data):
            return
    raise UntrustedError("its certificate is in no certificate log that is trusted")
