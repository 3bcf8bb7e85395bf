"""Trusted roots: the authorities and logs that are trusted, each for its own period."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import tempfile
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ocync.verification.key import require

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

_PUBLIC = "https://tuf-repo-cdn.sigstore.dev"
_ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Period:
    """The seconds since 1970 between which something is trusted."""

    start: float = 0.0
    end: float = float("inf")

    @classmethod
    def of(cls, valid: dict[str, Any] | None) -> Period:
        """Return the period of a `validFor`, both ends of which may be missing."""
        start, end = (_time((valid or {}).get(key)) for key in ("start", "end"))
        return cls(0.0 if start is None else start, float("inf") if end is None else end)

    def __contains__(self, time: float) -> bool:
        return self.start <= time <= self.end


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of a transparency log, and when it signed."""

    key: PublicKeyTypes
    valid: Period


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificates of an authority, and when it issued others."""

    certificates: tuple[Certificate, ...]
    valid: Period


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """The keys and certificates that verify certificates and log entries."""

    name: str
    authorities: tuple[Authority, ...]
    logs: tuple[tuple[str, LogKey], ...]
    """Rekor's, each with the SHA-256 of its key in hex."""
    certificate_logs: tuple[tuple[str, LogKey], ...]
    verifier: Verifier

    def authorities_at(self, time: float) -> tuple[Certificate, ...]:
        """Return the certificates of the authorities that issued others at a time."""
        return tuple(each for one in self.authorities if time in one.valid for each in one.certificates)


def load_root(text: str, name: str) -> TrustedRoot:
    """Return the trusted root in a trusted_root.json; raises ValueError."""
    require("cryptography", "sigstore")
    from sigstore.errors import Error
    from sigstore.models import TrustedRoot as Root
    from sigstore.verify import Verifier

    # At each start it logs the algorithms that it does not know.
    logging.getLogger("sigstore").setLevel(logging.ERROR)
    body = _read_root(text, name)
    try:
        authorities = tuple(_authorities(body["certificateAuthorities"]))
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
    return TrustedRoot(name, authorities, logs, certificate_logs, verifier)


def shipped_root() -> tuple[str, str]:
    """
    Return the name and the text of the root of Sigstore's public instance in its library; raises ValueError.

    It is as old as that library. Sigstore's own offline mode would read one from the home directory, where any
    program may have put it, and write there.
    """
    require("sigstore")
    import sigstore

    name = f"the root that comes with sigstore {sigstore.__version__}"
    try:
        file = resources.files("sigstore._store").joinpath(quote(_PUBLIC, safe=""), "trusted_root.json")
        return name, file.read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise ValueError(f"{name} can't be found: name one by trusted_root") from error


def _read_root(text: str, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON") from error
    if not isinstance(document, dict) or not str(document.get("mediaType", "")).startswith(_ROOT_TYPE):
        raise ValueError(f"{name} is no trusted root of Sigstore: its mediaType is not {_ROOT_TYPE}")
    return document


def _authorities(entries: Iterable[dict[str, Any]]) -> Iterable[Authority]:
    from cryptography import x509

    for entry in entries:
        certificates = tuple(
            x509.load_der_x509_certificate(base64.b64decode(each["rawBytes"]))
            for each in entry["certChain"]["certificates"]
        )
        yield Authority(certificates, Period.of(entry.get("validFor")))


def _keys(entries: Iterable[dict[str, Any]]) -> Iterable[tuple[str, LogKey]]:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    for entry in entries:
        raw = base64.b64decode(entry["publicKey"]["rawBytes"])
        try:
            key = load_der_public_key(raw)
        except ValueError:
            log.debug("the trusted root has a log with an unknown kind of key")
            continue
        yield hashlib.sha256(raw).hexdigest(), LogKey(key, Period.of(entry["publicKey"].get("validFor")))


def _time(text: str | None) -> float | None:
    return None if not text else datetime.fromisoformat(text).timestamp()
