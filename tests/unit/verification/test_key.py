"""Signatures by keys of all kinds, in both layouts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

import signing
from ocync.oci.digest import Digest
from ocync.verification import key as key_module
from ocync.verification.evidence import Bundle, SimpleSignature, UntrustedError
from ocync.verification.key import KeySigner
from ocync.verification.verdict import judge

IMAGE = Digest.of(b"an image")
OTHER = Digest.of(b"another image")
KEYS = {
    "P-256": signing.new_key(),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA": rsa.generate_private_key(65537, 2048),
}
EACH = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)


def signer(key: Any, name: str = "cosign.pub") -> KeySigner:
    return KeySigner.of(signing.pem_of(key), name)


def simple(key: Any, payload: bytes | None = None) -> SimpleSignature:
    payload = signing.payload_of(str(IMAGE)) if payload is None else payload
    return SimpleSignature(payload=payload, signature=signing.sign(key, payload))


def bundle(key: Any, statement: bytes | None = None) -> Bundle:
    statement = signing.statement_of(str(IMAGE)) if statement is None else statement
    return Bundle.read(json.dumps(signing.key_bundle(key, statement)).encode())


@EACH
@pytest.mark.parametrize("make", [simple, bundle])
def test_the_signature_of_a_key_is_trusted_and_that_of_another_is_not(key: Any, make: Any) -> None:
    other = next(each for each in KEYS.values() if each is not key)

    assert judge(IMAGE, [make(key)], [signer(other), signer(key)]).signer == "the key cosign.pub"
    found = judge(IMAGE, [make(key)], [signer(other)])
    assert found.signer is None
    assert "not signed by that key" in str(found)


def test_an_envelope_of_many_signatures_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = KEYS["P-256"], KEYS["RSA"]
    statement = signing.statement_of(str(IMAGE))
    body = signing.key_bundle(other, statement)
    last = signing.key_bundle(key, statement)["dsseEnvelope"]["signatures"]

    def found(count: int) -> str | None:
        signatures = [*body["dsseEnvelope"]["signatures"] * (count - 1), *last]
        made = {**body, "dsseEnvelope": {**body["dsseEnvelope"], "signatures": signatures}}
        return judge(IMAGE, [Bundle.read(json.dumps(made).encode())], [signer(key)]).signer

    assert found(16) is not None
    # None of them is looked at.
    checked = []
    monkeypatch.setattr(key_module, "has_signed", lambda *given: checked.append(given))
    assert found(3_000) is None
    assert not checked


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_signature_may_be_broken_into_lines(end: str) -> None:
    key = KEYS["RSA"]
    payload = signing.payload_of(str(IMAGE))
    text = base64.encodebytes(signing.sign(key, payload)).decode().replace("\n", end)
    assert text.count("\n") > 2

    made = SimpleSignature.read(payload, {"dev.cosignproject.cosign/signature": text})

    assert judge(IMAGE, [made], [signer(key)]).signer is not None


@pytest.mark.parametrize("make", [simple, bundle])
def test_one_of_several_signatures_is_enough(make: Any) -> None:
    one, two = KEYS["P-256"], KEYS["RSA"]

    assert judge(IMAGE, [make(two), make(one)], [signer(one)]).signer is not None


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(signing.payload_of(str(OTHER)), id="another image"),
        pytest.param(signing.payload_of(str(IMAGE), type="something else"), id="no signature of an image"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"no JSON", id="no JSON"),
        pytest.param(b'{"critical": 1}', id="another shape"),
        pytest.param(b'{"critical": {"type": "cosign container image signature", "image": []}}', id="no digest"),
    ],
)
def test_a_payload_that_speaks_of_something_else_is_no_signature_of_the_image(payload: bytes) -> None:
    key = KEYS["P-256"]

    assert judge(IMAGE, [simple(key, payload)], [signer(key)]).signer is None


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(signing.statement_of(str(OTHER)), id="another image"),
        pytest.param(signing.statement_of(str(IMAGE), "https://slsa.dev/provenance/v1"), id="an attestation"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"predicateType": "https://sigstore.dev/cosign/sign/v1", "subject": [1]}', id="no digest"),
    ],
)
def test_a_statement_about_something_else_is_no_signature_of_the_image(statement: bytes) -> None:
    key = KEYS["P-256"]

    assert judge(IMAGE, [bundle(key, statement)], [signer(key)]).signer is None


@EACH
def test_a_bundle_may_sign_the_manifest_itself(key: Any) -> None:
    manifest = b"an image"
    body = {
        "mediaType": signing.BUNDLE,
        "verificationMaterial": {"publicKey": {}},
        "messageSignature": {"signature": signing.b64(signing.sign(key, manifest))},
    }
    made = Bundle.read(json.dumps(body).encode())

    assert judge(IMAGE, [made], [signer(key)], manifest=manifest).signer is not None
    assert judge(IMAGE, [made], [signer(key)], manifest=b"another image").signer is None
    assert judge(IMAGE, [made], [signer(key)]).signer is None


@pytest.mark.parametrize("signatures", [None, 1, "x", {}, [], [1], [{}], [{"sig": 1}], [{"sig": "?"}]])
def test_an_envelope_without_signatures_is_none(signatures: Any) -> None:
    key = KEYS["P-256"]
    body = signing.key_bundle(key, signing.statement_of(str(IMAGE)))
    body["dsseEnvelope"]["signatures"] = signatures

    assert judge(IMAGE, [Bundle(raw=b"", body=body)], [signer(key)]).signer is None


def test_without_any_signature_that_is_said() -> None:
    assert str(judge(IMAGE, [], [signer(KEYS["P-256"])])) == "no signature is attached to it"


@given(
    raw=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.text(max_size=5) | st.integers(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "mediaType",
                            "dsseEnvelope",
                            "payload",
                            "payloadType",
                            "signatures",
                            "sig",
                            "critical",
                            "messageSignature",
                            "signature",
                            "verificationMaterial",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ).map(lambda body: json.dumps(body).encode()),
    ),
    annotations=st.dictionaries(
        st.sampled_from(
            ["dev.cosignproject.cosign/signature", "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle"]
        ),
        st.text(max_size=12) | st.integers() | st.none(),
    ),
)
def test_whatever_is_read_it_is_no_signature_and_nothing_else_happens(
    raw: bytes, annotations: dict[str, Any]
) -> None:
    signers = [signer(KEYS["P-256"])]
    marked = {"mediaType": signing.BUNDLE, "dsseEnvelope": raw.decode(errors="replace")}
    for read in (
        lambda: SimpleSignature.read(raw, annotations),
        lambda: Bundle.read(raw),
        lambda: Bundle.read(json.dumps(marked).encode()),
        lambda: Bundle(raw=raw, body={"dsseEnvelope": _loaded(raw), "messageSignature": _loaded(raw)}),
    ):
        try:
            evidence = read()
        except UntrustedError:
            continue
        assert judge(IMAGE, [evidence], signers, manifest=b"x").signer is None


def _loaded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


PRIVATE = (
    KEYS["P-256"]
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        pytest.param("nothing", "no public key in PEM", id="no PEM"),
        pytest.param(PRIVATE, "private key", id="the private half"),
        pytest.param(signing.pem_of(rsa.generate_private_key(65537, 1024)), "1024 bits", id="a short RSA key"),
        pytest.param(signing.pem_of(ec.generate_private_key(ec.SECP224R1())), "of a kind", id="another curve"),
        pytest.param(signing.pem_of(x25519.X25519PrivateKey.generate()), "of a kind", id="no key for signing"),
    ],
)
def test_what_is_no_key_to_verify_with_is_refused(pem: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"the file.*{why}"):
        KeySigner.of(pem, "the file")
