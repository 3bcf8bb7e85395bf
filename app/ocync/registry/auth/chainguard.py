"""
Chainguard's assumable identities: a token of the cluster is exchanged for one of theirs, so that none is stored.

The cluster's is projected into the pod, with the audience issuer.enforce.dev; the exchange is that of Chainguard's
own tools (edu.chainguard.dev, "Create an Assumable Identity for a Kubernetes Pod";
chainguard-dev/pull-secret-updater).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import httpx

from ocync.config.model import Secret
from ocync.lib.errors import AuthError, ProtocolError
from ocync.registry.auth import token
from ocync.registry.auth.credential import UserPassword
from ocync.registry.auth.refresh import Login, life_of
from ocync.registry.auth.secret_files import described, reveal

if TYPE_CHECKING:
    from ocync.oci.reference import Registry
    from ocync.registry.auth.token import Send

ISSUER = "https://issuer.enforce.dev"
TOKEN_FILE = Path("/var/run/chainguard/oidc/oidc-token")
"""Where Chainguard's documentation has the projected token mounted."""
_USER = "_token"
_LIFE = 15 * 60.0
"""Seconds; their tokens live an hour, and say so."""
_VISIBLE = re.compile(r"[\x21-\x7e]{1,65536}")


class ChainguardLogin:
    """Assumes one identity, for one registry."""

    def __init__(
        self, registry: Registry, send: Send, *, identity: str, given: Secret | None, issuer: str | None
    ) -> None:
        self._registry = registry
        self._send = send
        self._identity = identity
        self._given = given or Secret(file=TOKEN_FILE, origin="the projected service account token")
        self._issuer = (issuer or ISSUER).rstrip("/")

    async def __call__(self) -> Login:
        """Return what the token service gives; raises AuthError, StorageError, or what is worth another try."""
        # It is rotated all the time, so it is read for each exchange.
        ours = (await reveal(self._given)).strip()
        if not _VISIBLE.fullmatch(ours):
            raise AuthError(f"{described(self._given)} holds no token", host=self._registry.host)
        value = await self._exchange(ours)
        origin = f"the Chainguard identity {self._identity}, with {described(self._given)}"
        credential = UserPassword(username=_USER, password=value, origin=origin)
        return Login(credential=credential, life=life_of(value, otherwise=_LIFE))

    async def _exchange(self, ours: str) -> str:
        host, service = self._registry.host, urlsplit(self._issuer).netloc
        query = urlencode({"aud": host, "identity": self._identity})
        headers = {**token.HEADERS, "Authorization": f"Bearer {ours}", "Content-Length": "0"}
        response = await self._send(httpx.Request("POST", f"{self._issuer}/sts/exchange?{query}", headers=headers))
        if response.status_code == 200:
            return self._read(response.content, service)
        words = token.said(response.content, (ours,))
        message = (
            f"{service} does not let {described(self._given)} assume the identity {self._identity}: it answered "
            f"{response.status_code}{': ' + words if words else ''}"
        )
        if response.status_code in (400, 401, 403, 404):
            hint = (
                "compare the identity's issuer, subject and audience with the token's, which has to be projected "
                "with the audience issuer.enforce.dev"
            )
            raise AuthError(message, host=host, status=response.status_code, hint=hint)
        raise ProtocolError(message, host=host, status=response.status_code)

    def _read(self, body: bytes, service: str) -> str:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        value = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
            # Not quoted: it may hold the token.
            raise ProtocolError(f"{service} answered without a token that can be used", host=self._registry.host)
        return value
