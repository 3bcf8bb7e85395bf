"""
A token service for Docker's own registry, which believes in signed tokens (distribution, spec/auth/jwt.md).

The tokens are made here; who may have which is what a test says. Each is good for what it was asked for, no more.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "registry of the tests"
ISSUER = "token service of the tests"
LIFETIME = 300


@dataclass(frozen=True, kw_only=True)
class TokenService:
    """A running service."""

    url: str
    certificate: Path
    account: tuple[str, str]
    key: Path
    asked: list[str] = field(default_factory=list)
    """The scopes of each token, as they were asked for; empty for none."""

    @property
    def settings(self) -> dict[str, Any]:
        """What makes a registry believe in the tokens of this service: see docker_registry."""
        token = {"realm": f"{self.url}/token", "service": SERVICE, "issuer": ISSUER}
        return {"auth": {"token": {**token, "rootcertbundle": str(self.certificate)}}}

    def token(self, scopes: list[str]) -> str:
        """Return a signed token for these scopes."""
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": self.account[0],
            "aud": SERVICE,
            "exp": now + LIFETIME,
            "nbf": now - 10,
            "iat": now,
            "jti": f"{now}-{len(self.asked)}",
            "access": access,
        }
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        done = subprocess.run(command, input=signed.encode(), capture_output=True, check=True)
        return f"{signed}.{_encoded(done.stdout)}"


@contextmanager
def token_service(folder: Path, *, account: tuple[str, str]) -> Iterator[TokenService]:
    """Run a service that gives tokens to one account, by Basic."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "token.key", folder / "token.pem"
    subject = ["-subj", "/CN=tokens", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject]
    subprocess.run(command, capture_output=True, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_port}"
    service = TokenService(url=url, certificate=certificate, account=account, key=key)
    server.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, name="tokens", daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET /token."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        service: TokenService = self.server.service  # type: ignore[attr-defined]
        login = base64.b64encode(":".join(service.account).encode()).decode()
        query = parse_qsl(urlsplit(self.path).query)
        scopes = [value for name, value in query if name == "scope"]
        if self.headers.get("Authorization") != f"Basic {login}" or ("service", SERVICE) not in query:
            self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]})
            return
        service.asked.append(" ".join(scopes))
        self._answer(200, {"token": service.token(scopes), "expires_in": LIFETIME})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what was asked is in the service's list."""


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
