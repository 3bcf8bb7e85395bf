"""
Signatures in the formats of cosign: by keys, and by identities of a Sigstore that is made up for a test.

Its authority, its log and its certificate log are keys in memory; what they sign is what the real ones do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scripted import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripted import ScriptedRegistry
    from scripted.build import Image

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIG = "application/vnd.dev.cosign.artifact.sig.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
WORKFLOW = "https://github.com/acme/images/.github/workflows/release.yaml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(key: PrivateKey) -> str:
    """Return the public half as PEM."""
    return _spki(key, serialization.Encoding.PEM).decode()


def sign(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data)


def payload_of(digest: str, **critical: Any) -> bytes:
    claims = {"image": {"docker-manifest-digest": digest}, "type": "cosign container image signature", **critical}
    identity = {"docker-reference": "registry.example.com/team/app"}
    return json.dumps({"critical": {"identity": identity, **claims}, "optional": None}).encode()


def statement_of(digest: str, predicate: str = SIGN) -> bytes:
    algorithm, _, encoded = digest.partition(":")
    subject = [{"digest": {algorithm: encoded}}]
    body = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate}
    return json.dumps({**body, "predicate": {}}).encode()


def envelope_of(key: PrivateKey, statement: bytes) -> dict[str, Any]:
    pae = b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(statement), statement)
    return {"payload": b64(statement), "payloadType": IN_TOTO, "signatures": [{"sig": b64(sign(key, pae))}]}


def simple_layer(payload: bytes, signature: bytes, **annotations: str) -> build.Blob:
    notes = {"dev.cosignproject.cosign/signature": b64(signature), **annotations}
    made = build.blob(payload, SIMPLE)
    return build.Blob(content=made.content, digest=made.digest, media_type=SIMPLE, annotations=tuple(notes.items()))


def under_tag(registry: ScriptedRegistry, repository: str, digest: str, *layers: build.Blob) -> None:
    """Attach signatures under cosign's tag."""
    registry.seed(repository, build.cosign_tag(digest), build.image(layers))


def referring(registry: ScriptedRegistry, repository: str, subject: Image, *layers: build.Blob) -> None:
    """Attach signatures by reference, as cosign does with `--registry-referrers-mode=oci-1-1`."""
    config = build.blob(b"{}", SIG)
    registry.seed(
        repository, None, build.image(layers, config=config, artifact_type=SIG, subject=subject, label="signature")
    )


def bundled(
    registry: ScriptedRegistry,
    repository: str,
    subject: Image,
    bundle: Mapping[str, Any],
    *,
    predicate: str | None = None,
) -> None:
    """Attach a bundle, with what cosign writes beside it of its `predicate`."""
    notes = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicate or ""}
    made = build.artifact(
        BUNDLE, [json.dumps(bundle).encode()], subject=subject, annotations=notes if predicate else None
    )
    registry.seed(repository, None, made)


def key_bundle(key: PrivateKey, statement: bytes) -> dict[str, Any]:
    """Make a bundle that a key has signed and no log has seen."""
    material = {"publicKey": {"hint": "a hint"}}
    return {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope_of(key, statement)}


@dataclass
class Sigstore:
    """An authority with an intermediate one, a log and a certificate log."""

    authority: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    intermediate: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    certificate_log: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __post_init__(self) -> None:
        root = _name("authority")
        self.root = _ca(root, root, self.authority, self.authority, self.now, 1)
        self.issuing = _ca(_name("intermediate"), root, self.intermediate, self.authority, self.now, 0)

    def trusted_root(self, **until: datetime) -> str:
        """Return the root that trusts all of it, or `authority`, `rekor`, `certificate_log` until a time each."""

        def valid(part: str) -> dict[str, str]:
            end = until.get(part)
            start = {"start": "2020-01-01T00:00:00Z"}
            return start if end is None else {**start, "end": end.isoformat().replace("+00:00", "Z")}

        chain = [
            {"rawBytes": b64(each.public_bytes(serialization.Encoding.DER))} for each in (self.issuing, self.root)
        ]
        body = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(self.rekor, valid("rekor"))],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "test", "commonName": "authority"},
                    "uri": "https://fulcio.example",
                    "certChain": {"certificates": chain},
                    "validFor": valid("authority"),
                }
            ],
            "ctlogs": [self._log(self.certificate_log, valid("certificate_log"))],
        }
        return json.dumps(body)

    def certificate(
        self,
        key: PrivateKey,
        *,
        identity: str = WORKFLOW,
        issuer: str = ISSUER,
        seen: bool = True,
        code_signing: bool = True,
    ) -> x509.Certificate:
        """Issue a certificate for ten minutes; unless `seen`, the certificate log knows nothing of it."""
        name = x509.UniformResourceIdentifier(identity) if "//" in identity else x509.RFC822Name(identity)
        use = ExtendedKeyUsageOID.CODE_SIGNING if code_signing else ExtendedKeyUsageOID.SERVER_AUTH
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.intermediate.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.issuing.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + timedelta(minutes=10))
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(_extension("1.3.6.1.4.1.57264.1.1", issuer.encode()), critical=False)
            .add_extension(_extension("1.3.6.1.4.1.57264.1.8", _utf8(issuer)), critical=False)
        )
        if seen:
            body = builder.sign(self.intermediate, hashes.SHA256()).tbs_certificate_bytes
            stamps = _extension("1.3.6.1.4.1.11129.2.4.2", self._stamps(body))
            builder = builder.add_extension(stamps, critical=False)
        return builder.sign(self.intermediate, hashes.SHA256())

    def simple(
        self,
        digest: str,
        *,
        at: float | None = None,
        key: PrivateKey | None = None,
        changed: Callable[[bytes], bytes] = lambda der: der,
        **certificate: Any,
    ) -> build.Blob:
        """
        Sign an image in the old layout: payload, certificate and the log's promise in annotations.

        The certificate may be `changed`: the log takes whatever it is given.
        """
        key = key or new_key()
        issued = self.certificate(key, **certificate).public_bytes(serialization.Encoding.DER)
        pem = ssl.DER_cert_to_PEM_cert(changed(issued))
        payload = payload_of(digest)
        signature = sign(key, payload)
        body = {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
                "signature": {"content": b64(signature), "publicKey": {"content": b64(pem.encode())}},
            },
        }
        entry = self._entry(body, at)
        promised = {"SignedEntryTimestamp": b64(self._promise(entry)), "Payload": entry}
        annotations = {
            "dev.sigstore.cosign/certificate": pem,
            "dev.sigstore.cosign/chain": self.issuing.public_bytes(serialization.Encoding.PEM).decode(),
            "dev.sigstore.cosign/bundle": json.dumps(promised),
        }
        return simple_layer(payload, signature, **annotations)

    def bundle(
        self, digest: str, *, predicate: str = SIGN, key: PrivateKey | None = None, **certificate: Any
    ) -> dict[str, Any]:
        """Sign an image in a bundle: a statement, and an entry with promise, proof and checkpoint."""
        key = key or new_key()
        issued = self.certificate(key, **certificate)
        statement = statement_of(digest, predicate)
        envelope = envelope_of(key, statement)
        verifier = b64(issued.public_bytes(serialization.Encoding.PEM))
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(b"any").hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()},
                "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": verifier}],
            },
        }
        entry = self._entry(body, None)
        leaf = hashlib.sha256(b"\0" + base64.b64decode(entry["body"])).digest()
        note = f"rekor.example\n1\n{b64(leaf)}\n"
        stamp = b64(hashlib.sha256(_spki(self.rekor)).digest()[:4] + sign(self.rekor, note.encode()))
        return {
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(issued.public_bytes(serialization.Encoding.DER))},
                "tlogEntries": [
                    {
                        "logIndex": str(entry["logIndex"]),
                        "logId": {"keyId": b64(bytes.fromhex(entry["logID"]))},
                        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                        "integratedTime": str(entry["integratedTime"]),
                        "inclusionPromise": {"signedEntryTimestamp": b64(self._promise(entry))},
                        "inclusionProof": {
                            "logIndex": "0",
                            "rootHash": b64(leaf),
                            "treeSize": "1",
                            "hashes": [],
                            "checkpoint": {"envelope": f"{note}\n— rekor.example {stamp}\n"},
                        },
                        "canonicalizedBody": entry["body"],
                    }
                ],
            },
            "dsseEnvelope": envelope,
        }

    def _entry(self, body: dict[str, Any], at: float | None) -> dict[str, Any]:
        raw = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        time = int(self.now.timestamp() + 5 if at is None else at)
        log = hashlib.sha256(_spki(self.rekor)).hexdigest()
        return {"body": b64(raw), "integratedTime": time, "logIndex": 0, "logID": log}

    def _promise(self, entry: dict[str, Any]) -> bytes:
        return sign(self.rekor, json.dumps(entry, sort_keys=True, separators=(",", ":")).encode())

    def _stamps(self, body: bytes) -> bytes:
        """Return a list of one timestamp for a certificate without it (RFC 6962, sections 3.2 and 3.3)."""
        milliseconds = int(self.now.timestamp() * 1000) + 7
        issuer = hashlib.sha256(_spki(self.intermediate)).digest()
        data = struct.pack("!BBQH", 0, 0, milliseconds, 1) + issuer + len(body).to_bytes(3, "big") + body + b"\0\0"
        signature = sign(self.certificate_log, data)
        log = hashlib.sha256(_spki(self.certificate_log)).digest()
        stamp = struct.pack("!B32sQHBBH", 0, log, milliseconds, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp
        return b"\x04" + _length(len(listed)) + listed

    def _log(self, key: ec.EllipticCurvePrivateKey, valid: dict[str, str]) -> dict[str, Any]:
        raw = _spki(key)
        return {
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": b64(raw), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
            "logId": {"keyId": b64(hashlib.sha256(raw).digest())},
        }


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _spki(key: PrivateKey, encoding: serialization.Encoding = serialization.Encoding.DER) -> bytes:
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(**uses: bool) -> x509.KeyUsage:
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    others = ("decipher_only", "digital_signature", "key_cert_sign", "crl_sign")
    return x509.KeyUsage(**{**dict.fromkeys((*names, *others), False), **uses})


def _ca(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    now: datetime,
    below: int,
) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(by.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(by, hashes.SHA256())
    )


def _extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def _utf8(text: str) -> bytes:
    return b"\x0c" + _length(len(text.encode())) + text.encode()


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    raw = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(raw)]) + raw
