"""Public keys and trusted roots, as they stand in files; what is wrong with one is a ValueError that names it."""

from __future__ import annotations

import importlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

EXTRA = "verify"
_PUBLIC = "https://tuf-repo-cdn.sigstore.dev"
ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json"


def need(*libraries: str) -> None:
    """Raise ValueError where a library is not installed."""
    for name in libraries:
        try:
            importlib.import_module(name)
        except ImportError as error:
            message = f"to verify signatures needs {name}, which is not installed: pip install 'ocync[{EXTRA}]'"
            raise ValueError(message) from error


def load_key(pem: str, name: str) -> PublicKeyTypes:
    """Return the public key in a PEM text."""
    need("cryptography")
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


def shipped_root() -> tuple[str, str]:
    """
    Return the name and the text of the root of Sigstore's public instance, as its library comes with it.

    It is as old as that library. Sigstore's own offline mode would take one from the home directory instead, which
    anything may have put there, and write to it. Raises ValueError.
    """
    need("sigstore")
    import sigstore

    name = f"the root that comes with sigstore {sigstore.__version__}"
    try:
        file = resources.files("sigstore._store").joinpath(quote(_PUBLIC, safe=""), "trusted_root.json")
        return name, file.read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise ValueError(f"{name} can't be found: name one by trusted_root") from error


def read_root(text: str, name: str) -> dict[str, Any]:
    """Return the document of a trusted root."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON") from error
    if not isinstance(document, dict) or not str(document.get("mediaType", "")).startswith(ROOT_TYPE):
        raise ValueError(f"{name} is no trusted root of Sigstore: its mediaType is not {ROOT_TYPE}")
    return document
