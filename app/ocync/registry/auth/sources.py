"""Where credentials come from: the config, files named by it, Docker's config and its helpers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, ConfigError
from ocync.lib.singleflight import Flights
from ocync.registry.auth import helper
from ocync.registry.auth.credential import Anonymous, StaticToken
from ocync.registry.auth.docker_config import MAX_SIZE, DockerConfig, HelperCall, Inline, from_user, path_of
from ocync.registry.auth.secret_files import described, read_bounded, reveal, why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping
    from pathlib import Path

    from ocync.config.model import Secret
    from ocync.registry.auth.credential import Credential

log = logging.getLogger(__name__)


class _Kept:
    """Credentials by what they are for: read once, and again when one was refused."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Credential] = {}
        self._reading = Flights[object, "Credential"]()

    async def get(
        self, key: Hashable, read: Callable[[], Awaitable[Credential]], refused: Credential | None
    ) -> Credential:
        """Return what is kept, unless it is the very object that was refused."""

        async def read_and_keep() -> Credential:
            self._values[key] = await read()
            return self._values[key]

        kept = self._values.get(key)
        if kept is not None and kept is not refused:
            return kept
        return await self._reading.run(key, read_and_keep)


class AnonymousSource:
    """No credentials, by choice of the config."""

    def __init__(self, credential: Anonymous) -> None:
        self._credential = credential

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the one there is."""
        del repository, refused
        return self._credential


class UserSource:
    """A user name and a password from the config or from files that it names."""

    def __init__(self, username: Secret, password: Secret) -> None:
        self._username = username
        self._password = password
        self._kept = _Kept()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the user name and password, the same for every repository."""
        del repository
        return await self._kept.get("", self._read, refused)

    async def _read(self) -> Credential:
        username, password = await reveal(self._username), await reveal(self._password)
        names = dict.fromkeys(described(secret) for secret in (self._username, self._password))
        return from_user(username, password, " and ".join(names))


class TokenSource:
    """A token from the config or from a file that it names."""

    def __init__(self, token: Secret, *, exchange_first: bool) -> None:
        self._token = token
        self._exchange_first = exchange_first
        self._kept = _Kept()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the token, the same for every repository."""
        del repository
        return await self._kept.get("", self._read, refused)

    async def _read(self) -> Credential:
        token = await reveal(self._token)
        return StaticToken(token=token, exchange_first=self._exchange_first, origin=described(self._token))


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerPlace:
    """What a DockerSource looks for: a host, with the environment that says where."""

    host: str
    """`host[:port]`, Docker Hub as docker.io."""
    environ: Mapping[str, str]
    insist: bool = False
    """The user has named the Docker config for this host: a store that is not installed is an error."""
    helper_seconds: float = helper.TIME_LIMIT


class DockerSource:
    """
    Docker's config.json and the helpers that it names. What has no entry is anonymous.

    `missing` makes of that what the registry needs: it is called with where was looked, and may raise.
    """

    def __init__(self, place: DockerPlace, missing: Callable[[str], Credential]) -> None:
        self._place = place
        self._missing = missing
        self._file = path_of(place.environ)
        self._config: DockerConfig | None = None
        self._there = False
        # It is asked for with every request.
        self._found: dict[str, tuple[Inline | HelperCall, ...]] = {}
        self._kept = _Kept()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return what the best entry for the repository holds; raises ConfigError for a file that can't be used."""
        candidates = await self._candidates(repository)

        async def read() -> Credential:
            # Here, so that all who ask for what was refused share one look at the file.
            found = candidates if refused is None else await self._candidates(repository, anew=True)
            return await self._first(found)

        return await self._kept.get(tuple(candidate.key for candidate in candidates), read, refused)

    async def _candidates(self, repository: str, *, anew: bool = False) -> tuple[Inline | HelperCall, ...]:
        if self._config is None or anew:
            loaded = await asyncio.to_thread(_load, self._file) if self._file else None
            self._there, self._config = loaded is not None, loaded or DockerConfig()
            self._found.clear()
        if repository not in self._found:
            self._found[repository] = self._config.candidates(self._place.host, repository)
        return self._found[repository]

    async def _first(self, candidates: tuple[Inline | HelperCall, ...]) -> Credential:
        for candidate in candidates:
            if isinstance(candidate, Inline):
                return candidate.credential(f"docker config {self._file}, entry {candidate.key}")
            found = await self._ask(candidate)
            if found is not None:
                return found
        return self._missing(self._looked_at())

    async def _ask(self, call: HelperCall) -> Credential | None:
        origin = f"docker-credential-{call.name} for {call.server} (docker config {self._file})"
        place = self._place
        try:
            return await helper.ask(
                call.name, call.server, environ=place.environ, origin=origin, limit=place.helper_seconds
            )
        except helper.HelperMissingError as error:
            if call.expected or place.insist:
                error.host = place.host
                raise
            # A desktop's config names its store for all hosts; nothing says that it holds something for this one.
            log.warning("%s; %s is asked without credentials", error.message, place.host)
            return None
        except AuthError as error:
            error.host = place.host
            raise

    def _looked_at(self) -> str:
        if self._file is None:
            return "no docker config: neither DOCKER_CONFIG nor HOME is set"
        if not self._there:
            return f"no docker config at {self._file}"
        return f"no entry for {self._place.host} in docker config {self._file}"


def _load(file: Path) -> DockerConfig | None:
    try:
        content = read_bounded(file, MAX_SIZE)
    except FileNotFoundError:
        log.debug("there is no docker config at %s", file)
        return None
    except NotADirectoryError as error:
        raise ConfigError(f"docker config {file}: {file.parent} is not a folder") from error
    except OSError as error:
        raise ConfigError(f"can't read docker config {file}: {why(error)}") from error
    return DockerConfig.parse(content, file=file)
