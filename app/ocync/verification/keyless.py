"""
Signatures by an identity: a certificate of Fulcio's, an entry of Rekor's, and a trusted root that vouches for both.

Bundles are verified by Sigstore's own library. It knows no entries without an inclusion proof, and cosign's
annotations hold none; so these are verified here, as cosign does it: the log's promise of an entry (sigstore/rekor,
"SignedEntryTimestamp") and the certificate at the time of that promise, with its SCT.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocync.verification.certificate import check_chain, check_sct, unreadable
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
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle as Model

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence
    from ocync.verification.identity import Identity
    from ocync.verification.trusted_root import LogKey, TrustedRoot


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
                claim_of_statement(kind, payload, subject)
            elif manifest is not None:
                self.root.verifier.verify_artifact(manifest, model, policy)
            else:
                raise UntrustedError("it signs no statement about an image")
            self._check_times(model)
        except UntrustedError:
            raise
        # Much of what is wrong in a bundle it says by errors of other kinds, and of libraries that it uses.
        except Exception as error:
            raise UntrustedError(" ".join(str(error).split())[:300] or type(error).__name__) from error

    def _check_times(self, bundle: Model) -> None:
        """Hold that authority and logs were to be trusted when it was signed: the library asks not for that."""
        entry, certificate = bundle.log_entry._inner, bundle.signing_certificate
        # The times that it has believed itself: of the log, and of authorities for timestamps that are trusted.
        for found in self.root.verifier._establish_time(bundle):
            at = found.time.timestamp()
            self._check_certificate(certificate, at)
            if found.source.name != "TIMESTAMP_AUTHORITY":
                self._log(entry.log_id.key_id.hex(), at)

    def _check_certificate(self, certificate: Certificate, at: float) -> None:
        """Hold that an authority of the root has issued it, as it was trusted then, and a log has promised it."""
        issuer = check_chain(certificate, self.root.authorities_at(at), at)
        check_sct(certificate, issuer, self.root.certificate_logs)

    def _log(self, name: str, at: float) -> LogKey:
        """Return the log that this is the key's hash of, as it was trusted at a time; raises UntrustedError."""
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
            if not signed(key, evidence.signature, evidence.payload):
                raise UntrustedError("it is not signed by its certificate")
            self.identity.check(certificate)
        except unreadable() as error:
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
        if not signed(self._log(str(promised["logID"]), at).key, promise, data):
            raise UntrustedError("its log entry is not signed by its log")
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
