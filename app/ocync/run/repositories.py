"""
A repository object for each registry and repository name in the configuration.

This module alone chooses between a registry and an OCI layout, and assembles transport, credentials, limits and
retries.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import cache
from typing import TYPE_CHECKING, Self

from ocync.lib.errors import ConfigError
from ocync.lib.limiter import Slots, Time
from ocync.oci.providers import settings_of
from ocync.registry.auth.authorizer import Authorizer
from ocync.registry.auth.keychain import ecr_endpoint, source_for
from ocync.registry.auth.sources import RedactedSource
from ocync.registry.client import RegistryClient
from ocync.registry.http.pool import Pool
from ocync.registry.http.proxy import ProxyRules
from ocync.registry.http.trust import context
from ocync.registry.limits.aimd import Start
from ocync.registry.limits.host import HostLimits
from ocync.registry.limits.kinds import Kind
from ocync.registry.repository import RegistryRepository
from ocync.registry.repository_creation import RepositoryCreation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import httpx

    from ocync.config.model import RegistryConfig, Timeouts, TlsSettings
    from ocync.layout.hashed import HashedBlobs
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import Repository, TargetRepository
    from ocync.registry.auth.token import Send
    from ocync.registry.retry import RetryPolicy
    from ocync.registry.sender import RequestTally


async def _send_nothing(request: httpx.Request) -> httpx.Response:
    raise ConfigError(f"a folder can't send a request to {request.url.host}")


def _with_rates(starts: Mapping[Kind, Start], host: str) -> dict[Kind, Start]:
    """Add the rates that the provider documents to what was learned of the host."""
    known = {Kind(kind): Start(rate=rate) for kind, rate in settings_of(host).rates.items()}
    for kind, start in starts.items():
        rate = known[kind].rate if kind in known and start.rate is None else start.rate
        known[kind] = Start(at_once=start.at_once, rate=rate)
    return known


# More writers do not make a disk faster, and each holds a buffer.
_FOLDER_SLOTS = 16


class RepositoryFactory:
    """
    Makes repositories; owns all connections and closes them when its context ends.

    It returns the same object for the same registry and name, so that all tasks share the state of a repository.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        policy: RetryPolicy,
        tally: RequestTally,
        environ: Mapping[str, str],
        secret: Callable[..., None] = lambda _secret, username="": None,
        time: Time | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._policy = policy
        self._tally = tally
        self._environ = environ
        self._secret = secret
        self._proxies = ProxyRules.from_environment(environ)
        self._pools: dict[TlsSettings, Pool] = {}
        self._folders: dict[str, tuple[Slots, HashedBlobs]] = {}
        self._clients: dict[str, RegistryClient] = {}
        self._repositories: dict[tuple[str, RepositoryName, bool], TargetRepository] = {}
        self._creations: dict[str, RepositoryCreation] = {}
        self._starts: Callable[[str], Mapping[Kind, Start]] = lambda _host: {}
        self._single_posts: Callable[[str], bool | None] = lambda _host: None
        self._time = time
        self._limits: list[tuple[str, HostLimits, Mapping[Kind, Start]]] = []
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._closing.aclose()

    def source(self, registry: RegistryConfig, repository: RepositoryName) -> Repository:
        """Return a repository to read from; its credentials are requested for reading only."""
        return self._repository(registry, repository, writable=False)

    def target(self, registry: RegistryConfig, repository: RepositoryName) -> TargetRepository:
        """Return a repository to write to."""
        return self._repository(registry, repository, writable=True)

    def client(self, registry: RegistryConfig) -> RegistryClient:
        """Return the client of a registry. Raises ConfigError for settings that can't be used."""
        if registry.name not in self._clients:
            self._clients[registry.name] = self._make_client(registry)
        return self._clients[registry.name]

    def token_sender(self, registry: RegistryConfig) -> Send:
        """Return the function that sends requests for tokens; for a folder, one that raises."""
        if registry.registry is None:
            return _send_nothing
        return self.client(registry).send_to_token_service

    def begin_at(
        self,
        starts: Callable[[str], Mapping[Kind, Start]],
        single_posts: Callable[[str], bool | None] = lambda _host: None,
    ) -> None:
        """
        Set the limits, and the form of uploads, with which hosts begin that have no client yet.

        Both come from an earlier pass (see `learned`). Otherwise a host begins with the rates that its provider
        documents, and with the limits of the configuration.
        """
        self._starts, self._single_posts = starts, single_posts

    def learned(self) -> dict[str, dict[Kind, Start]]:
        """Return the limits with which each host should begin in the next pass; empty for those without limits."""
        found: dict[str, dict[Kind, Start]] = {}
        for host, limits, before in self._limits:
            found.setdefault(host, {}).update(limits.learned(before))
        return found

    def single_posts(self) -> dict[str, bool]:
        """Return whether each host accepts a blob in one POST, as far as that is known."""
        shown = {client.host: client.upload_strategy.single_post for client in self._clients.values()}
        return {host: single for host, single in shown.items() if single is not None}

    def _repository(
        self, registry: RegistryConfig, repository: RepositoryName, *, writable: bool
    ) -> TargetRepository:
        key = (registry.name, repository, writable)
        if key not in self._repositories:
            self._repositories[key] = (
                self._layout(registry.layout, registry.max_concurrent, repository.path)
                if registry.layout is not None
                else RegistryRepository(
                    self.client(registry),
                    repository,
                    writable=writable,
                    creation=self._creation(registry) if writable else None,
                )
            )
        return self._repositories[key]

    def _layout(self, folder: Path, most: int, path: str) -> TargetRepository:
        from ocync.layout.hashed import HashedBlobs  # noqa: PLC0415
        from ocync.layout.repository import LayoutRepository  # noqa: PLC0415 -- for passes with folders

        host = f"oci:{folder}"
        if host not in self._folders:
            self._folders[host] = Slots(host, min(most, _FOLDER_SLOTS)), HashedBlobs()
        slots, hashed = self._folders[host]
        return LayoutRepository(folder, path, slots=slots, hashed=hashed)

    def _creation(self, registry: RegistryConfig) -> RepositoryCreation | None:
        if registry.create_repository is None:
            return None
        if registry.name not in self._creations:
            from ocync.registry.ecr_api import EcrRepositories  # noqa: PLC0415 -- where asked for

            endpoint = ecr_endpoint(registry, self._environ)
            create = EcrRepositories(endpoint, registry.create_repository, self._policy).create
            self._creations[registry.name] = RepositoryCreation(create)
        return self._creations[registry.name]

    def _make_client(self, config: RegistryConfig) -> RegistryClient:
        if config.registry is None:
            raise ConfigError(f"registry {config.name} is a folder and has no API")
        pool = self._pool(config.tls)
        host = config.registry.host
        before = self._starts(host)
        limits = HostLimits(host, config.max_concurrent, start=_with_rates(before, host), time=self._time)
        self._limits.append((host, limits, before))
        client = RegistryClient(
            registry=config.registry,
            pool=pool,
            limits=limits,
            policy=self._policy,
            timeouts=self._timeouts,
            tally=self._tally,
        )
        client.upload_strategy.begin_at(self._single_posts(host))
        client.authorize(
            Authorizer(
                registry=config.registry,
                source=RedactedSource(
                    source_for(config, self._environ, client.send_to_token_service), self._secret
                ),
                send=client.send_to_token_service,
            )
        )
        return client

    def _pool(self, tls: TlsSettings) -> Pool:
        if tls not in self._pools:
            pool = Pool(trust=cache(lambda: context(tls)), proxy=self._proxies.proxy_for)
            self._pools[tls] = pool
            self._closing.push_async_callback(pool.close)
        return self._pools[tls]
