"""Credentials for tests: configurations, Docker configs, helpers, and clients that use them."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.config.model import AuthType, RegistryConfig, Secret, Timeouts
from ocync.oci import media
from ocync.oci.reference import Registry
from ocync.registry.auth.authorizer import Authorizer
from ocync.registry.auth.credential import Anonymous
from ocync.registry.auth.scope import Scope
from ocync.registry.call import Call
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.run.repositories import RepositoryFactory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import httpx

    from ocync.registry.auth.credential import Credential, CredentialSource
    from ocync.registry.client import RegistryClient

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


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A client of a registry with its authorizer."""

    client: RegistryClient
    authorizer: Authorizer

    async def ask(
        self, path: str = "/v2/team/app/manifests/latest", scopes: frozenset[Scope] = PULL, method: str = "GET"
    ) -> int:
        """Make one request as a pass does; returns the status of the answer, after new credentials if need be."""
        answer = await self.client.once(
            Call(method, self.client.url(path), f"ask for {path}", scopes, headers={"Accept": media.ACCEPT})
        )
        return answer.status


@asynccontextmanager
async def talking(
    url: str, source: CredentialSource | None = None, *, clock: Clock | None = None
) -> AsyncIterator[Conversation]:
    """Give a client of the registry at a URL, on real sockets."""
    repositories = RepositoryFactory(
        timeouts=Timeouts(connect=2.0, idle=5.0), policy=RetryPolicy(attempts=1), tally=RequestTally(), environ={}
    )
    async with repositories:
        client = repositories.client(registry(url, AuthType.ANONYMOUS))
        authorizer = Authorizer(
            registry=client.registry,
            source=source or Given(),
            send=client.send_to_token_service,
            clock=clock or Clock(),
        )
        client.authorize(authorizer)
        yield Conversation(client=client, authorizer=authorizer)


async def nobody(request: httpx.Request) -> httpx.Response:
    """Send nothing: what has a login of its own asks nobody through a registry."""
    raise AssertionError(f"{request.method} {request.url}")


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
