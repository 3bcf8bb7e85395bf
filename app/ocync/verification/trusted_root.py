"""A trusted root: the authorities and logs that are trusted, each for the time of its own."""

from __future__ import annotations

import base64
import hashlib
import logging
import tempfile
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocync.verification import key_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Period:
    """The seconds since 1970 between which something is to be trusted."""

    start: float = 0.0
    end: float = float("inf")

    @classmethod
    def of(cls, valid: dict[str, Any] | None) -> Period:
        """Read `validFor`, both ends of which may be missing."""
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
    """What certificates and log entries are verified by."""

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
    """Read a trusted_root.json; raises ValueError."""
    key_files.need("cryptography", "sigstore")
    from sigstore.errors import Error
    from sigstore.models import TrustedRoot as Root
    from sigstore.verify import Verifier

    # It says at each start which algorithms it does not know.
    logging.getLogger("sigstore").setLevel(logging.ERROR)
    body = key_files.read_root(text, name)
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
            log.debug("a log of the trusted root has a key of an unknown kind")
            continue
        yield hashlib.sha256(raw).hexdigest(), LogKey(key, Period.of(entry["publicKey"].get("validFor")))


def _time(text: str | None) -> float | None:
    return None if not text else datetime.fromisoformat(text).timestamp()
