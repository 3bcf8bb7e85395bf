"""Signatures by a key: ECDSA and RSA (PKCS #1 v1.5) over SHA-2, and Ed25519, as cosign makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.verification.evidence import Bundle, UntrustedError, claim_of_statement, decoded
from ocync.verification.key_files import load_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence


MAX_SIGNATURES = 16
"""Signatures of one envelope at most: cosign makes one, and each costs hashing all of the payload."""


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Somebody who holds the private half of a key."""

    name: str
    key: PublicKeyTypes

    @classmethod
    def of(cls, pem: str, name: str) -> KeySigner:
        """Make one of a PEM text; raises ValueError."""
        return cls(f"the key {name}", load_key(pem, name))

    def check(self, evidence: Evidence, subject: Digest, manifest: bytes | None) -> None:
        """Hold that the evidence is this one's signature of the image; raises UntrustedError."""
        if isinstance(evidence, Bundle):
            self._check_bundle(evidence, subject, manifest)
            return
        if not signed(self.key, evidence.signature, evidence.payload):
            raise UntrustedError("it is not signed by that key")
        evidence.claim(subject)

    def _check_bundle(self, bundle: Bundle, subject: Digest, manifest: bytes | None) -> None:
        envelope, message = bundle.body.get("dsseEnvelope"), bundle.body.get("messageSignature")
        if isinstance(envelope, dict):
            payload, kind = decoded(envelope.get("payload"), "its payload"), str(envelope.get("payloadType"))
            signatures = envelope.get("signatures")
            listed = signatures if isinstance(signatures, list) else []
            if len(listed) > MAX_SIGNATURES:
                raise UntrustedError(f"it holds {len(listed)} signatures: {MAX_SIGNATURES} are looked at")
            values = [each.get("sig") for each in listed if isinstance(each, dict)]
            data = pre_authentication_encoding(kind, payload)
            if not any(signed(self.key, decoded(value, "its signature"), data) for value in values):
                raise UntrustedError("it is not signed by that key")
            claim_of_statement(kind, payload, subject)
            return
        if not isinstance(message, dict) or manifest is None:
            raise UntrustedError("it signs no statement about an image")
        if not signed(self.key, decoded(message.get("signature"), "its signature"), manifest):
            raise UntrustedError("it is not that key's signature of the image")


def pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """Return what is signed of an envelope (secure-systems-lab/dsse, protocol.md)."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def signed(key: PublicKeyTypes, signature: bytes, data: bytes) -> bool:
    """
    Return whether the key has signed the data.

    cosign hashes with SHA-256 whatever the curve, and its newer bundles with the hash that belongs to the curve.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    algorithms: tuple[hashes.HashAlgorithm, ...] = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
    for algorithm in algorithms:
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(algorithm))
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), algorithm)
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, data)
            else:
                return False
        except InvalidSignature:
            continue
        return True
    return False
