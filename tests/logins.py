"""Credentials for tests: configurations, Docker configs, helpers, and a way to send requests."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ocync.auth.authorizer import Authorizer
from ocync.auth.credential import Anonymous
from ocync.auth.scope import Scope
from ocync.config.model import AuthType, RegistryConfig, Secret
from ocync.errors import NetworkError
from ocync.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from ocync.auth.credential import Credential, CredentialSource
    from ocync.auth.token import Send

PULL = frozenset({Scope("team/app", ("pull",))})
PUSH = frozenset({Scope("team/app", ("pull", "push"))})


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Given:
    """A source of credentials that a test holds in its hand: `now` is what is found there."""

    def __init__(self, now: Credential | None = None) -> None:
        self.now = now or Anonymous(origin="a test")
        self.reads = 0
        self._kept: Credential | None = None

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        del repository
        if self._kept is None or self._kept is refused:
            self.reads += 1
            self._kept = self.now
        return self._kept


@asynccontextmanager
async def sending() -> AsyncIterator[Send]:
    """Give what sends one request as it is, over real sockets."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:

        async def send(request: httpx.Request) -> httpx.Response:
            request.extensions["timeout"] = client.timeout.as_dict()
            try:
                return await client.send(request, follow_redirects=False)
            except httpx.TransportError as error:
                raise NetworkError(f"no answer: {type(error).__name__}", host=request.url.host) from error

        yield send


@asynccontextmanager
async def authorizer(
    url: str, source: CredentialSource, *, clock: Clock | None = None
) -> AsyncIterator[Authorizer]:
    """Give the authorizer of the registry at a URL."""
    async with sending() as send:
        yield Authorizer(registry=Registry.parse(url), source=source, send=send, clock=clock or Clock())


async def get(url: str, header: str | None, path: str = "/v2/team/app/manifests/latest") -> httpx.Response:
    """Ask a registry as a client would, with this Authorization."""
    headers = {"Accept": "*/*"} if header is None else {"Accept": "*/*", "Authorization": header}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.get(url + path, headers=headers)


def registry(url: str = "registry.example", auth_type: AuthType | None = None, **options: object) -> RegistryConfig:
    """Return an entry of `registries`."""
    return RegistryConfig(name="src", registry=Registry.parse(url), auth_type=auth_type, **options)  # type: ignore[arg-type]


def user(name: str = "robot", password: str = "pass:word") -> dict[str, Secret]:
    """Return the credentials of an entry of `registries`."""
    return {
        "username": Secret(name, origin="registries.src.credentials.username (${NAME})"),
        "password": Secret(password, origin="registries.src.credentials.password (${PASS})"),
    }


def basic(name: str, password: str) -> str:
    """Return the value of Authorization."""
    return f"Basic {encoded(name, password)}"


def encoded(name: str, password: str) -> str:
    """Return what stands in the `auth` of a Docker config."""
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def docker_config(home: Path, document: object) -> dict[str, str]:
    """Write ~/.docker/config.json; returns an environment that has this home."""
    folder = home / ".docker"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return {"HOME": str(home), "PATH": "/usr/bin:/bin"}


def helper(folder: Path, name: str, script: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Install docker-credential-NAME, a shell script; returns the environment with it in the PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {**environ, "PATH": f"{folder}:{environ.get('PATH', '/usr/bin:/bin')}"}
