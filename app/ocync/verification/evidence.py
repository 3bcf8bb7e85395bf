"""
Signatures as they are stored in a registry, parsed from untrusted bytes.

sigstore/cosign, specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md; sigstore/protobuf-specs, sigstore_bundle.proto.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocync.oci.digest import Digest

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_PREFIX = "application/vnd.dev.sigstore.bundle"
SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
LOG_BUNDLE = "dev.sigstore.cosign/bundle"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
"""The predicate of statements that are signatures; other attestations describe an image without approving it."""
PREDICATE = "dev.sigstore.bundle.predicateType"
"""The annotation of a bundle's manifest that names its predicate."""
IN_TOTO = "application/vnd.in-toto+json"
_CLAIM = "cosign container image signature"


class UntrustedError(Exception):
    """The evidence does not prove the required signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleSignature:
    """A simple signing payload with its annotations."""

    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    certificate: str | None = None
    """PEM, if an identity has signed and not a key."""
    log_bundle: dict[str, Any] | None = None
    """The promise of the transparency log: `SignedEntryTimestamp` and `Payload`."""

    @classmethod
    def read(cls, payload: bytes, annotations: dict[str, Any]) -> SimpleSignature:
        """Return the signature in a layer and its annotations; raises UntrustedError."""
        bundle = annotations.get(LOG_BUNDLE)
        parsed = parse_object(bundle, "its log entry") if isinstance(bundle, str) and bundle else None
        certificate = annotations.get(CERTIFICATE)
        return cls(
            payload=payload,
            signature=decode_base64(annotations.get(SIGNATURE), "its signature"),
            certificate=certificate if isinstance(certificate, str) and certificate else None,
            log_bundle=parsed,
        )

    def check_subject(self, subject: Digest) -> None:
        """Raise UntrustedError unless the payload names the image."""
        critical = parse_object(self.payload, "its payload").get("critical")
        critical = critical if isinstance(critical, dict) else {}
        image = critical.get("image")
        digest = image.get("docker-manifest-digest") if isinstance(image, dict) else None
        if critical.get("type") != _CLAIM or digest != str(subject):
            raise UntrustedError("it is the signature of another image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A Sigstore bundle: a signature with its verification material."""

    raw: bytes = field(repr=False)
    body: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, raw: bytes) -> Bundle:
        """Return the parsed bundle; raises UntrustedError for anything else."""
        body = parse_object(raw, "the bundle")
        if not str(body.get("mediaType", "")).startswith(BUNDLE_PREFIX):
            raise UntrustedError("it is not a Sigstore bundle")
        return cls(raw=raw, body=body)

    @property
    def has_certificate(self) -> bool:
        """Whether an identity has signed, and not a key."""
        material = self.body.get("verificationMaterial")
        names = ("certificate", "x509CertificateChain")
        return isinstance(material, dict) and any(material.get(name) for name in names)


Evidence = SimpleSignature | Bundle


def check_statement(payload_type: str, payload: bytes, subject: Digest) -> None:
    """Raise UntrustedError unless a verified statement is a signature of the image."""
    statement = parse_object(payload, "its statement")
    if payload_type != IN_TOTO or statement.get("predicateType") != SIGN_PREDICATE:
        raise UntrustedError("it is an attestation and not a signature")
    subjects = statement.get("subject")
    for each in subjects if isinstance(subjects, list) else ():
        digests = each.get("digest") if isinstance(each, dict) else None
        if isinstance(digests, dict) and digests.get(subject.algorithm) == subject.encoded:
            return
    raise UntrustedError("it is the signature of another image")


def parse_object(data: bytes | str, what: str) -> dict[str, Any]:
    """Return the JSON object; raises UntrustedError for anything else."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UntrustedError(f"{what} is not JSON") from error
    if not isinstance(parsed, dict):
        raise UntrustedError(f"{what} is not a JSON object")
    return parsed


def decode_base64(value: Any, what: str) -> bytes:
    """
    Return the decoded bytes; raises UntrustedError.

    Line ends are ignored, as in Go (encoding/base64): `cosign attach signature` stores signatures of other programs
    with their line breaks.
    """
    if not isinstance(value, str) or not value:
        raise UntrustedError(f"{what} is missing")
    try:
        return base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UntrustedError(f"{what} is not base64") from error
