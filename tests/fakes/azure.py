"""A fake of Azure: Entra ID (which is asked over TLS alone), the instance's metadata, and ACR's token exchange."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fakes.service import Answer, FakeService
from scripted.wire import respond

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fakes.service import Asked
    from scripted import Bearer, ScriptedRegistry, User
    from scripted.wire import Request, Response

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
_RESOURCE = "https://containerregistry.azure.net"


class FakeEntra(FakeService):
    """Entra ID, or the metadata service: both hand out `token`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._answer, tls=tls)
        self.token = "entra-access-token-1"
        self.secret = "client-secret-of-the-principal"
        self.refusal: Answer | None = None

    @property
    def authority(self) -> dict[str, str]:
        """The variables that lead here, for an application that is known here."""
        return {"AZURE_AUTHORITY_HOST": self.url, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}

    def principal(self) -> dict[str, str]:
        """The variables of a service principal."""
        return {**self.authority, "AZURE_CLIENT_SECRET": self.secret}

    def workload(self, folder: Path) -> dict[str, str]:
        """The variables that AKS gives a pod with workload identity."""
        file = folder / "azure-identity-token"
        file.write_text("aks.jwt.token")
        return {**self.authority, "AZURE_FEDERATED_TOKEN_FILE": str(file)}

    def managed(self) -> dict[str, str]:
        """The variables by which a machine has its metadata service here."""
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url}

    def command(self, folder: Path) -> dict[str, str]:
        """Install an `az` that is logged in; returns the variables."""
        folder.mkdir(exist_ok=True)
        ends = int(time.time()) + 3600
        answer = {"accessToken": self.token, "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": ends}
        (folder / "az").write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
        (folder / "az").chmod(0o755)
        return {"PATH": f"{folder}:/usr/bin:/bin", "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}

    def _answer(self, asked: Asked) -> Answer:
        if asked.path == "/metadata/identity/oauth2/token":
            if asked.headers.get("metadata") != "true":
                return Answer(400, {"error": "invalid_request"})  # a probe
            assert asked.query["resource"] == _RESOURCE
            return self.refusal or Answer(
                200,
                {"access_token": self.token, "expires_in": "3600", "resource": _RESOURCE, "token_type": "Bearer"},
            )
        if asked.path.endswith("/.well-known/openid-configuration"):
            base = f"{self.url}/{TENANT}"
            return Answer(
                200,
                {
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "issuer": f"{base}/v2.0",
                },
            )
        assert asked.path == f"/{TENANT}/oauth2/v2.0/token", asked
        assert asked.form["client_id"] == CLIENT
        assert asked.form["scope"] == f"{_RESOURCE}/.default"
        if "client_assertion" in asked.form:
            assert asked.form["client_assertion"] == "aks.jwt.token"
        elif asked.form["client_secret"] != self.secret:
            said = "AADSTS7000215: Invalid client secret provided."
            return Answer(401, {"error": "invalid_client", "error_description": said})
        return self.refusal or Answer(200, {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"})


class AcrExchange:
    """`/oauth2/exchange` of a registry: refresh tokens for those whose tokens of Entra ID are known."""

    def __init__(self, registry: ScriptedRegistry, auth: Bearer, user: User, *, entra: str) -> None:
        self.entra = entra
        self.life = 3 * 3600
        self.forms: list[dict[str, str]] = []
        self.given: list[str] = []
        self.registry, self._auth, self._user = registry, auth, user
        registry.on("POST", r"^/oauth2/exchange", respond=self)

    async def __call__(self, request: Request, _proceed: Callable[[], Awaitable[Response]], /) -> Response:
        form = dict(parse_qsl((await request.body.read(65536) or b"").decode()))
        self.forms.append(form)
        if form["grant_type"] != "access_token" or form["access_token"] != self.entra:
            errors = {
                "errors": [{"code": "UNAUTHORIZED", "message": "authentication required, visit https://aka.ms"}]
            }
            return respond(401, json.dumps(errors).encode())
        token = self._auth.tokens.refresh_token(self._user)
        now = int(time.time())
        wrapped = jwt({"iat": now, "exp": now + self.life, "jti": token})
        self._auth.tokens._refresh[wrapped] = self._user
        self.given.append(wrapped)
        return respond(200, json.dumps({"refresh_token": wrapped}).encode())


def jwt(claims: dict[str, Any]) -> str:
    """Return a token with these claims; nobody here checks the signature."""
    parts = (json.dumps({"alg": "none"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
