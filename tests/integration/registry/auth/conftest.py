"""Distribution's own registry, with a password file and with tokens of a service that is made here."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from logins import basic
from scripted.record import Record
from scripted.server import Server
from scripted.wire import respond
from servers.process import program, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from scripted.record import Recorded
    from scripted.wire import Request, Response

_SERVICE = "distribution"
_ISSUER = "tests"


@dataclass
class Issuer:
    """A token service that signs what it allows, as the registry's configuration wants it (RFC 7519, RS256)."""

    folder: Path
    users: dict[str, str]
    allowed: frozenset[str] = frozenset({"pull", "push"})
    asked: list[Request] = field(default_factory=list)
    life: int = 300

    async def answer(self, request: Request, _recorded: Recorded) -> Response:
        self.asked.append(request)
        sent = request.headers.get("authorization")
        if sent is not None and sent not in {basic(*user) for user in self.users.items()}:
            return respond(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"unknown user"}]}')
        allowed = self.allowed if sent is not None else frozenset[str]()
        access = []
        for scope in (value for name, value in request.query if name == "scope"):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": sorted(allowed & set(actions.split(",")))})
        return respond(200, json.dumps({"token": self._signed(access), "expires_in": self.life}).encode())

    def _signed(self, access: list[dict[str, object]]) -> str:
        now = int(time.time())
        certificate = (self.folder / "cert.pem").read_text().split("-----")[2].replace("\n", "")
        claims = {"iss": _ISSUER, "sub": "u", "aud": _SERVICE, "nbf": now - 5, "iat": now, "exp": now + self.life}
        head = _encoded(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [certificate]}).encode())
        text = f"{head}.{_encoded(json.dumps({**claims, 'jti': str(now), 'access': access}).encode())}"
        signature = _openssl("dgst", "-sha256", "-sign", str(self.folder / "key.pem"), given=text.encode())
        return f"{text}.{_encoded(signature)}"


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A registry that is guarded by a token service."""

    url: str
    issuer: Issuer


@pytest.fixture
def password_registry(tmp_path: Path) -> Iterator[str]:
    """The URL of a registry with the user robot, whose password is pass:word."""
    made = subprocess.run(
        [program("htpasswd", "apache2-utils"), "-Bbn", "robot", "pass:word"], check=True, capture_output=True
    )
    (tmp_path / "htpasswd").write_bytes(made.stdout)
    auth = f"auth:\n  htpasswd:\n    realm: a, b\n    path: {tmp_path}/htpasswd\n"
    with _registry(tmp_path, auth) as url:
        yield url


@pytest.fixture
def token_registry(tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Guarded]]:
    """Opens a registry that wants tokens; the same user may pull and push."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Guarded]:
        key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
        subject = ("-subj", "/CN=tests", "-days", "1", "-nodes")
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", certificate, *subject)
        issuer = Issuer(folder=tmp_path, users={"robot": "pass:word"})
        server = Server(issuer.answer, name="tokens", record=Record())
        await server.start()
        auth = (
            f"auth:\n  token:\n    realm: {server.url}/auth?tenant=1\n    service: {_SERVICE}\n"
            f"    issuer: {_ISSUER}\n    rootcertbundle: {certificate}\n"
        )
        try:
            with _registry(tmp_path, auth) as url:
                yield Guarded(url=url, issuer=issuer)
        finally:
            await server.stop()
        assert not server.errors

    return opened


@contextmanager
def _registry(folder: Path, auth: str) -> Iterator[str]:
    def command(port: int) -> list[str]:
        file = folder / "registry.yml"
        file.write_text(
            "version: 0.1\nlog: {accesslog: {disabled: false}, level: warn}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}', secret: x}}\n{auth}"
        )
        return [program("docker-registry", "docker-registry"), "serve", str(file)]

    with running(command, folder=folder) as server:
        yield server.url


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run([program("openssl", "openssl"), *arguments], input=given, check=True, capture_output=True)
    return done.stdout
