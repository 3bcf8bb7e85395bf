"""Signatures by a key: ECDSA and RSA (PKCS #1 v1.5) over SHA-2, and Ed25519, as cosign makes them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.verification.evidence import Bundle, UntrustedError, check_statement, decode_base64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence


MAX_SIGNATURES = 16
"""Most signatures of an envelope: cosign makes one, and each costs hashing the whole payload."""


@dataclass(frozen=True, slots=True)
class KeySigner:
    """The holder of a private key."""

    name: str
    key: PublicKeyTypes

    @classmethod
    def of(cls, pem: str, name: str) -> KeySigner:
        """Return the signer with a public key in PEM; raises ValueError."""
        return cls(f"the key {name}", load_key(pem, name))

    def check(self, evidence: Evidence, subject: Digest, manifest: bytes | None) -> None:
        """Raise UntrustedError unless the evidence is this signer's signature of the image."""
        if isinstance(evidence, Bundle):
            self._check_bundle(evidence, subject, manifest)
            return
        if not has_signed(self.key, evidence.signature, evidence.payload):
            raise UntrustedError("it is not signed by that key")
        evidence.check_subject(subject)

    def _check_bundle(self, bundle: Bundle, subject: Digest, manifest: bytes | None) -> None:
        envelope, message = bundle.body.get("dsseEnvelope"), bundle.body.get("messageSignature")
        if isinstance(envelope, dict):
            payload, kind = decode_base64(envelope.get("payload"), "its payload"), str(envelope.get("payloadType"))
            signatures = envelope.get("signatures")
            listed = signatures if isinstance(signatures, list) else []
            if len(listed) > MAX_SIGNATURES:
                raise UntrustedError(f"it holds {len(listed)} signatures: {MAX_SIGNATURES} are looked at")
            values = [each.get("sig") for each in listed if isinstance(each, dict)]
            data = pre_authentication_encoding(kind, payload)
            if not any(has_signed(self.key, decode_base64(value, "its signature"), data) for value in values):
                raise UntrustedError("it is not signed by that key")
            check_statement(kind, payload, subject)
            return
        if not isinstance(message, dict) or manifest is None:
            raise UntrustedError("it signs no statement about an image")
        if not has_signed(self.key, decode_base64(message.get("signature"), "its signature"), manifest):
            raise UntrustedError("it is not that key's signature of the image")


def require(*libraries: str) -> None:
    """Raise ValueError if a library is not installed."""
    for name in libraries:
        try:
            importlib.import_module(name)
        except ImportError as error:
            message = f"to verify signatures needs {name}, which is not installed: pip install 'ocync[verify]'"
            raise ValueError(message) from error


def load_key(pem: str, name: str) -> PublicKeyTypes:
    """Return the public key in a PEM text; raises ValueError."""
    require("cryptography")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE KEY-----" in pem:
        raise ValueError(f"{name} holds a private key: name the public one (cosign.pub)")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{name} is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        raise ValueError(f"{name} is an RSA key of {key.key_size} bits: 2048 are the least")
    curves = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
    is_known_curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curves)
    if not (is_known_curve or isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)):
        raise ValueError(f"{name} is no key of a kind that cosign signs with: ECDSA, Ed25519 or RSA")
    return key


def pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """Return the signed bytes of an envelope (secure-systems-lab/dsse, protocol.md)."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def has_signed(key: PublicKeyTypes, signature: bytes, data: bytes) -> bool:
    """
    Return whether the key has signed the data.

    cosign hashes with SHA-256 whatever the curve; its newer bundles use the hash of the curve.
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
