"""Signatures by identities, of a Sigstore that is made up: both layouts, and every link that may be missing."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

import signing
from ocync.oci.digest import Digest
from ocync.verification.evidence import Bundle, SimpleSignature
from ocync.verification.identity import Identity
from ocync.verification.keyless import IdentitySigner
from ocync.verification.trusted_root import load_root
from ocync.verification.verdict import judge
from signing import ISSUER, WORKFLOW, Sigstore

if TYPE_CHECKING:
    from ocync.verification.evidence import Evidence
    from ocync.verification.verdict import Verdict

IMAGE = Digest.of(b"an image")
OTHER = Digest.of(b"another image")


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


def simple(sigstore: Sigstore, digest: Digest = IMAGE, **how: Any) -> SimpleSignature:
    blob = sigstore.simple(str(digest), **how)
    return SimpleSignature.read(
        bytes(b"".join(map(bytes, blob.content.pieces(0, blob.size)))), dict(blob.annotations)
    )


def bundle(sigstore: Sigstore, digest: Digest = IMAGE, **how: Any) -> Bundle:
    return Bundle.read(json.dumps(sigstore.bundle(str(digest), **how)).encode())


def verdict(
    trusted: Sigstore,
    evidence: Evidence,
    *,
    name: str | None = WORKFLOW,
    pattern: str | None = None,
    issuer: str = ISSUER,
    **until: datetime,
) -> Verdict:
    root = load_root(trusted.trusted_root(**until), "a root")
    identity = Identity(name=None if pattern else name, pattern=pattern, issuer=issuer)
    return judge(IMAGE, [evidence], [IdentitySigner(identity, root)])


MAKERS = pytest.mark.parametrize("make", [simple, bundle], ids=["annotations", "bundle"])


@MAKERS
@pytest.mark.parametrize("identity", [WORKFLOW, "release@example.com"])
def test_the_right_identity_is_trusted(make: Any, identity: str, sigstore: Sigstore) -> None:
    found = verdict(sigstore, make(sigstore, identity=identity), name=identity)

    assert found.signer == f"{identity} ({ISSUER})", found


@MAKERS
@pytest.mark.parametrize(
    ("pattern", "is_trusted"),
    [
        pytest.param(r"https://github\.com/acme/.*", True, id="matches"),
        pytest.param(r"https://github\.com/acme/images", False, id="matches the beginning alone"),
        pytest.param(r".*@refs/heads/other", False, id="matches another"),
    ],
)
def test_a_pattern_has_to_match_the_whole_identity(
    make: Any, pattern: str, is_trusted: bool, sigstore: Sigstore
) -> None:
    assert (verdict(sigstore, make(sigstore), pattern=pattern).signer is not None) is is_trusted


@MAKERS
@pytest.mark.parametrize(
    ("how", "wanted", "why"),
    [
        pytest.param({"identity": "https://github.com/evil/x"}, {}, "github.com/evil/x", id="another identity"),
        pytest.param({"issuer": "https://evil.example"}, {}, "https://evil.example", id="another issuer"),
        pytest.param({"seen": False}, {}, "certificate", id="a certificate that no log has seen"),
        pytest.param({"code_signing": False}, {}, "sign", id="a certificate for something else"),
        pytest.param({"digest": OTHER}, {}, "another image", id="another image"),
    ],
)
def test_what_is_not_as_demanded_is_not_trusted(
    make: Any, how: dict[str, Any], wanted: dict[str, Any], why: str, sigstore: Sigstore
) -> None:
    found = verdict(sigstore, make(sigstore, **how), **wanted)

    assert found.signer is None
    assert why in str(found)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "RSA", "Ed25519"],
)
def test_certificates_of_other_keys_are_verified_or_it_is_said_that_they_can_not_be(
    key: signing.PrivateKey, sigstore: Sigstore
) -> None:
    assert verdict(sigstore, simple(sigstore, key=key)).signer is not None
    found = verdict(sigstore, bundle(sigstore, key=key))

    is_known = isinstance(key, ec.EllipticCurvePrivateKey)
    assert (found.signer is not None) is is_known
    assert is_known or "is of no ECDSA key" in str(found)


@MAKERS
def test_another_sigstore_is_not_trusted(make: Any, sigstore: Sigstore) -> None:
    assert verdict(Sigstore(), make(sigstore)).signer is None


@MAKERS
@pytest.mark.parametrize("part", ["authority", "rekor", "certificate_log"])
def test_a_forged_part_is_not_trusted(make: Any, part: str, sigstore: Sigstore) -> None:
    parts = {name: getattr(sigstore, name) for name in ("authority", "intermediate", "rekor", "certificate_log")}
    forged = {part: signing.new_key()}
    if part == "authority":
        forged["intermediate"] = signing.new_key()
    forger = Sigstore(**{**parts, **forged})

    assert verdict(sigstore, make(sigstore)).signer is not None
    assert verdict(sigstore, make(forger)).signer is None


@MAKERS
@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("authority", "no trusted authority issued certificates"),
        ("rekor", "does not know, or not for that time"),
        ("certificate_log", "in no certificate log that is trusted"),
    ],
)
def test_each_part_of_a_root_is_trusted_for_its_own_time_and_no_longer(
    make: Any, part: str, why: str, sigstore: Sigstore
) -> None:
    made = make(sigstore)
    day = timedelta(days=1)

    assert verdict(sigstore, made, **{part: sigstore.now + day}).signer is not None
    assert why in str(verdict(sigstore, made, **{part: sigstore.now - day}))


def test_a_log_that_the_root_does_not_know_is_told_from_a_promise_that_is_forged(sigstore: Sigstore) -> None:
    one = simple(sigstore)
    assert one.log_bundle is not None
    forged = {**one.log_bundle, "Payload": {**one.log_bundle["Payload"], "logIndex": 7}}
    changed = SimpleSignature(
        payload=one.payload, signature=one.signature, certificate=one.certificate, log_bundle=forged
    )

    assert "is not signed by its log" in str(verdict(sigstore, changed))
    assert "of a log that a root does not know" in str(verdict(Sigstore(), one))


def test_a_certificate_that_had_ended_when_the_log_saw_it_is_not_trusted(sigstore: Sigstore) -> None:
    late = sigstore.now.timestamp() + 3600

    assert "not of a trusted authority" in str(verdict(sigstore, simple(sigstore, at=late)))


@pytest.mark.parametrize("field", ["payload", "signature", "certificate", "log_bundle"])
def test_parts_of_two_signatures_make_none(field: str, sigstore: Sigstore) -> None:
    one, two = simple(sigstore), simple(sigstore, OTHER)
    parts = {name: getattr(one, name) for name in ("payload", "signature", "certificate", "log_bundle")}

    mixed = SimpleSignature(**{**parts, field: getattr(two, field)})

    assert verdict(sigstore, mixed).signer is None


@given(host=st.integers(0, 2000), mask=st.integers(1, 255), cut=st.integers(0, 3))
def test_a_certificate_that_was_changed_is_not_trusted_and_nothing_else_happens(
    host: int, mask: int, cut: int, sigstore: Sigstore
) -> None:
    def change(der: bytes) -> bytes:
        spot = host % len(der)
        return der[:spot] + bytes([der[spot] ^ mask]) + der[spot + 1 + cut :]

    found = verdict(sigstore, simple(sigstore, changed=change))

    assert found.signer is None


def test_without_a_log_entry_an_identity_is_not_trusted(sigstore: Sigstore) -> None:
    one = simple(sigstore)
    bare = SimpleSignature(payload=one.payload, signature=one.signature, certificate=one.certificate)

    assert "in no transparency log" in str(verdict(sigstore, bare))


def test_an_attestation_is_no_signature(sigstore: Sigstore) -> None:
    found = verdict(sigstore, bundle(sigstore, predicate="https://slsa.dev/provenance/v1"))

    assert "an attestation and not a signature" in str(found)


@pytest.mark.parametrize("path", ["dsseEnvelope", "verificationMaterial", "verificationMaterial.tlogEntries"])
def test_a_bundle_that_lacks_something_is_not_trusted(path: str, sigstore: Sigstore) -> None:
    body = sigstore.bundle(str(IMAGE))
    *above, last = path.split(".")
    host = body
    for name in above:
        host = host[name]
    del host[last]

    found = verdict(sigstore, Bundle.read(json.dumps(body).encode()))

    assert found.signer is None
    assert found.problems


def test_the_roots_that_come_with_sigstore_are_read() -> None:
    files = [
        path for each in resources.files("sigstore._store").iterdir() if each.is_dir() for path in each.iterdir()
    ]
    roots = [load_root(path.read_text(), path.name) for path in files if path.name == "trusted_root.json"]

    assert len(roots) == 2
    for root in roots:
        assert all(key.valid.start > 1.6e9 for _, key in (*root.logs, *root.certificate_logs))
        assert any(1.9e9 in key.valid for _, key in root.logs)


@pytest.mark.parametrize("library", ["sigstore", "cryptography"])
def test_without_a_library_the_message_says_how_to_install_it(
    library: str, sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ValueError, match=rf"{library}, which is not installed: pip install 'ocync\[verify\]'"):
        load_root(sigstore.trusted_root(), "the file")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda body: body.pop("ctlogs"), "ctlogs", id="without certificate logs"),
        pytest.param(lambda body: body.update(tlogs=[]), "", id="without logs"),
        pytest.param(lambda body: body.update(mediaType="x"), "mediaType", id="of another type"),
        pytest.param(
            lambda body: body["certificateAuthorities"][0]["certChain"].update(certificates=[{"rawBytes": "AAAA"}]),
            "can be used",
            id="with a broken certificate",
        ),
    ],
)
def test_a_root_that_is_none_is_refused(change: Any, why: str, sigstore: Sigstore) -> None:
    body = json.loads(sigstore.trusted_root())
    change(body)

    with pytest.raises(ValueError, match=f"the file.*{why}"):
        load_root(json.dumps(body), "the file")
