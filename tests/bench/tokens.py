"""Bearer tokens that are valid for one repository each, as some registries give them out."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs

LIFETIME = 600
"""Seconds that tokens say they are valid."""


@dataclass(slots=True)
class Tokens:
    """Gives out tokens, and knows what each one is good for."""

    _repository: dict[str, str] = field(default_factory=dict)

    def issue(self, query: str) -> bytes:
        """Return the answer to a request for a token: of several repositories that it names, the last is meant."""
        asked = [word for scope in parse_qs(query).get("scope", []) for word in scope.split()]
        names = [word.split(":")[1] for word in asked if word.startswith("repository:")]
        token = secrets.token_urlsafe(600)
        self._repository[token] = names[-1] if names else ""
        return json.dumps({"token": token, "expires_in": LIFETIME}).encode()

    def allow(self, authorization: str, repository: str) -> bool:
        """Tell whether a request for a repository (none for `/v2/`) may pass."""
        scheme, _, token = authorization.partition(" ")
        allowed = self._repository.get(token) if scheme.lower() == "bearer" else None
        return allowed is not None and repository in ("", allowed)


def challenge(host: str, repository: str) -> str:
    """Return the value of WWW-Authenticate for a request without a good token."""
    scope = f',scope="repository:{repository}:pull"' if repository else ""
    return f'Bearer realm="https://{host}/token",service="bench"{scope}'
