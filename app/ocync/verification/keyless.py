"""
Signatures by an identity: a certificate of Fulcio and an entry of Rekor, verified against a trusted root.

Sigstore's own library verifies bundles. It requires an inclusion proof, which cosign's annotations lack. So those
are verified here, as cosign does it: the log's promise of an entry (sigstore/rekor, "SignedEntryTimestamp") and
the certificate at the time of that promise, with its SCT.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocync.verification.certificate import certificate_errors, check_chain, check_sct
from ocync.verification.evidence import (
    Bundle,
    SimpleSignature,
    UntrustedError,
    check_statement,
    decode_base64,
    parse_object,
)
from ocync.verification.key import has_signed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle as Model

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence
    from ocync.verification.identity import Identity
    from ocync.verification.trusted_root import LogKey, TrustedRoot


@dataclass(frozen=True, slots=True)
class IdentitySigner:
    """An identity that an issuer knows."""

    identity: Identity
    root: TrustedRoot

    @property
    def name(self) -> str:
        """The identity and its issuer."""
        return str(self.identity)

    def check(self, evidence: Evidence, subject: Digest, manifest: bytes | None) -> None:
        """Raise UntrustedError unless the evidence is this signer's signature of the image."""
        if isinstance(evidence, Bundle):
            self._check_bundle(evidence, subject, manifest)
        else:
            self._check_simple(evidence)
            evidence.check_subject(subject)

    def _check_bundle(self, bundle: Bundle, subject: Digest, manifest: bytes | None) -> None:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from sigstore.models import Bundle as Model

        if not bundle.has_certificate:
            raise UntrustedError("it is signed by a key and by no identity")
        policy = _Policy(self.identity)
        try:
            model = Model.from_json(bundle.raw)
            if not isinstance(model.signing_certificate.public_key(), EllipticCurvePublicKey):
                raise UntrustedError("its certificate is of no ECDSA key, and in bundles no others can be verified")
            if "dsseEnvelope" in bundle.body:
                kind, payload = self.root.verifier.verify_dsse(model, policy)
                check_statement(kind, payload, subject)
            elif manifest is not None:
                self.root.verifier.verify_artifact(manifest, model, policy)
            else:
                raise UntrustedError("it signs no statement about an image")
            self._check_times(model)
        except UntrustedError:
            raise
        # The library raises many kinds of errors for a bad bundle, also those of the libraries that it uses.
        except Exception as error:
            raise UntrustedError(" ".join(str(error).split())[:300] or type(error).__name__) from error

    def _check_times(self, bundle: Model) -> None:
        """Check that authority and logs were trusted at the time of signing, which the library does not."""
        entry, certificate = bundle.log_entry._inner, bundle.signing_certificate
        # The times that the library has verified: of the log, and of trusted timestamp authorities.
        for found in self.root.verifier._establish_time(bundle):
            at = found.time.timestamp()
            self._check_certificate(certificate, at)
            if found.source.name != "TIMESTAMP_AUTHORITY":
                self._log(entry.log_id.key_id.hex(), at)

    def _check_certificate(self, certificate: Certificate, at: float) -> None:
        """Check that an authority trusted at that time has issued it, and that a log has promised it."""
        issuer = check_chain(certificate, self.root.authorities_at(at), at)
        check_sct(certificate, issuer, self.root.certificate_logs)

    def _log(self, name: str, at: float) -> LogKey:
        """Return the log with this key hash if it was trusted at a time; raises UntrustedError."""
        known = dict(self.root.logs).get(name)
        if known is None or at not in known.valid:
            raise UntrustedError(
                f"its log entry is of a log that {self.root.name} does not know, or not for that time"
            )
        return known

    def _check_simple(self, evidence: SimpleSignature) -> None:
        from cryptography import x509

        if evidence.certificate is None:
            raise UntrustedError("it is signed by a key and by no identity")
        try:
            certificate = x509.load_pem_x509_certificate(evidence.certificate.encode())
            at = self._check_log(evidence, evidence.certificate)
            self._check_certificate(certificate, at)
            key = certificate.public_key()
            if not has_signed(key, evidence.signature, evidence.payload):
                raise UntrustedError("it is not signed by its certificate")
            self.identity.check(certificate)
        except certificate_errors() as error:
            raise UntrustedError(f"its certificate can't be read: {error}") from error

    def _check_log(self, evidence: SimpleSignature, certificate: str) -> float:
        """Check that the log has promised to keep this signature; return when, in seconds since 1970."""
        bundle = evidence.log_bundle or {}
        entry = bundle.get("Payload")
        if not isinstance(entry, dict):
            raise UntrustedError("it is in no transparency log")
        names = ("body", "integratedTime", "logID", "logIndex")
        promised = {name: entry.get(name) for name in names}
        at = promised["integratedTime"]
        if not isinstance(at, int) or isinstance(at, bool):
            raise UntrustedError("its log entry has no time")
        # RFC 8785: for these values, Python's output is canonical.
        data = json.dumps(promised, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        promise = decode_base64(bundle.get("SignedEntryTimestamp"), "the promise of its log entry")
        if not has_signed(self._log(str(promised["logID"]), at).key, promise, data):
            raise UntrustedError("its log entry is not signed by its log")
        _check_entry(
            parse_object(decode_base64(promised["body"], "its log entry"), "its log entry"), evidence, certificate
        )
        return float(at)


@dataclass(frozen=True, slots=True)
class _Policy:
    """An identity as a policy of Sigstore's library."""

    identity: Identity

    def verify(self, cert: Certificate) -> None:
        self.identity.check(cert)


def _check_entry(entry: dict[str, Any], evidence: SimpleSignature, certificate: str) -> None:
    """Check that a log entry is of this signature, payload and certificate (rekor, hashedrekord 0.0.1)."""
    if (entry.get("kind"), entry.get("apiVersion")) != ("hashedrekord", "0.0.1"):
        raise UntrustedError("its log entry is of another kind")
    try:
        spec = entry["spec"]
        hashed, signature = spec["data"]["hash"], spec["signature"]
        is_this = (
            hashed["algorithm"] == "sha256"
            and hashed["value"] == hashlib.sha256(evidence.payload).hexdigest()
            and decode_base64(signature["content"], "its log entry") == evidence.signature
            and decode_base64(signature["publicKey"]["content"], "its log entry").strip()
            == certificate.strip().encode()
        )
    except (KeyError, TypeError) as error:
        raise UntrustedError("its log entry can't be read") from error
    if not is_this:
        raise UntrustedError("its log entry is that of another signature")
