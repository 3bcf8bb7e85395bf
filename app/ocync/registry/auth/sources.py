"""Sources of credentials: the config and its files, Docker's config and its helpers, a cloud's login."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, ConfigError
from ocync.lib.singleflight import Flights, Memo
from ocync.registry.auth import helper
from ocync.registry.auth.credential import Anonymous, BearerToken, IdentityToken, StaticToken, UserPassword
from ocync.registry.auth.docker_config import MAX_SIZE, DockerConfig, HelperCall, Inline, from_user, path_of
from ocync.registry.auth.refresh import HungLoginError, NoLoginError
from ocync.registry.auth.secret_files import described, read_bounded, reveal, why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping
    from pathlib import Path

    from ocync.config.model import Secret
    from ocync.registry.auth.credential import Credential, CredentialSource

log = logging.getLogger(__name__)


class _CredentialCache:
    """Credentials by what they are for: read once, and again when the one that was returned is refused."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Credential] = {}
        self._reading = Flights[object, "Credential"]()

    async def get(
        self, key: Hashable, read: Callable[[], Awaitable[Credential]], refused: Credential | None
    ) -> Credential:
        async def read_and_keep() -> Credential:
            self._values[key] = await read()
            return self._values[key]

        kept = self._values.get(key)
        if kept is not None and kept is not refused:
            return kept
        return await self._reading.run(key, read_and_keep)


class ConfigSource:
    """A source whose one credential is read by a function, such as `read_user`, and serves every repository."""

    def __init__(self, read: Callable[[], Awaitable[Credential]]) -> None:
        self._read = read
        self._cache = _CredentialCache()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the credential; raises what the function raises."""
        del repository
        return await self._cache.get("", self._read, refused)


async def read_user(username: Secret, password: Secret) -> Credential:
    """Return the credential of a user name and a password of the config; raises what `reveal` raises."""
    names = dict.fromkeys(described(secret) for secret in (username, password))
    return from_user(await reveal(username), await reveal(password), " and ".join(names))


async def read_token(token: Secret, *, exchange_first: bool) -> Credential:
    """Return the credential of a token of the config; raises what `reveal` raises."""
    return StaticToken(token=await reveal(token), exchange_first=exchange_first, origin=described(token))


class AnonymousSource:
    """No credentials, because the config says so."""

    def __init__(self, credential: Anonymous) -> None:
        self._credential = credential

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the anonymous credential."""
        del repository, refused
        return self._credential


class DockerSource:
    """
    Docker's config.json and the credential helpers that it names, for one `host[:port]` (Docker Hub as docker.io).

    Where nothing is found, `missing` makes the credential from a text that says where was looked. With `insist`, as
    where the user has chosen the Docker config for this host, a credential store that is not installed is an error.
    """

    def __init__(
        self, host: str, environ: Mapping[str, str], missing: Callable[[str], Credential], *, insist: bool
    ) -> None:
        self._host = host
        self._environ = environ
        self._missing = missing
        self._insist = insist
        self._file = path_of(environ)
        self._config: DockerConfig | None = None
        self._exists = False
        # By repository: they are looked up for every request.
        self._candidates: dict[str, tuple[Inline | HelperCall, ...]] = {}
        self._cache = _CredentialCache()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return what the best entry for the repository holds; raises ConfigError for a file that can't be used."""
        candidates = await self._find(repository)

        async def read() -> Credential:
            # Here, so that all callers whose credential was refused share one reading of the file.
            found = candidates if refused is None else await self._find(repository, reload=True)
            return await self._first(found)

        return await self._cache.get(tuple(candidate.key for candidate in candidates), read, refused)

    async def _find(self, repository: str, *, reload: bool = False) -> tuple[Inline | HelperCall, ...]:
        if self._config is None or reload:
            loaded = await asyncio.to_thread(_load, self._file) if self._file else None
            self._exists, self._config = loaded is not None, loaded or DockerConfig()
            self._candidates.clear()
        if repository not in self._candidates:
            self._candidates[repository] = self._config.candidates(self._host, repository)
        return self._candidates[repository]

    async def _first(self, candidates: tuple[Inline | HelperCall, ...]) -> Credential:
        for candidate in candidates:
            if isinstance(candidate, Inline):
                return candidate.credential(f"docker config {self._file}, entry {candidate.key}")
            found = await self._ask(candidate)
            if found is not None:
                return found
        if self._file is None:
            return self._missing("no docker config: neither DOCKER_CONFIG nor HOME is set")
        if not self._exists:
            return self._missing(f"no docker config at {self._file}")
        return self._missing(f"no entry for {self._host} in docker config {self._file}")

    async def _ask(self, call: HelperCall) -> Credential | None:
        origin = f"docker-credential-{call.name} for {call.server} (docker config {self._file})"
        try:
            return await helper.ask(call.name, call.server, environ=self._environ, origin=origin)
        except AuthError as error:
            if isinstance(error, helper.HelperMissingError) and not (call.expected or self._insist):
                # A desktop's config names its store for all hosts; it may hold nothing for this one.
                log.warning("%s; %s is asked without credentials", error.message, self._host)
                return None
            error.host = self._host
            raise


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


class FallbackSource:
    """
    A cloud's login if it works, else a fallback; decided once, for hosts whose cloud is known by their names.

    Where there is nothing to log in with, the fallback is used. Where a login is refused or hangs, it is used with
    a warning if it has credentials. If it has none, the login's error is raised, except for a refusal at hosts that
    serve anonymous clients too (`serves_everybody`).
    """

    def __init__(
        self, login: CredentialSource, fallback: Callable[[str], CredentialSource], *, serves_everybody: bool
    ) -> None:
        """`fallback` makes the other source from the message that says why there is no login."""
        self._login = login
        self._fallback = fallback
        self._serves_everybody = serves_everybody
        self._choice = Memo[str, "CredentialSource"]()

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the chosen source's credential; a login's error that is worth another try decides nothing."""
        chosen = await self._choice.get("", lambda: self._choose(repository))
        return await chosen.credential(repository, refused=refused)

    async def _choose(self, repository: str) -> CredentialSource:
        try:
            await self._login.credential("")
        except (AuthError, HungLoginError) as error:
            if error.retryable and not isinstance(error, HungLoginError):
                raise
            fallback = self._fallback(error.message)
            found = await fallback.credential(repository)
            if isinstance(error, NoLoginError):
                log.debug("%s; using instead: %s from %s", error.message, found.kind, found.origin)
            elif isinstance(found, Anonymous) and (error.retryable or not self._serves_everybody):
                # An anonymous request would be refused, and hide that the login was only slow.
                raise
            else:
                log.warning("%s; using instead: %s from %s", error, found.kind, found.origin)
            return fallback
        return self._login


class RedactedSource:
    """A source that passes each secret to `redact(value, username=…)` before it returns the credential."""

    def __init__(self, source: CredentialSource, redact: Callable[..., None]) -> None:
        self._source = source
        self._redact = redact
        self._last: Credential | None = None

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        """Return the source's credential."""
        found = await self._source.credential(repository, refused=refused)
        if found is not self._last:
            self._last = found
            match found:
                case UserPassword():
                    self._redact(found.password, username=found.username)
                case StaticToken():
                    self._redact(found.token, username=found.username)
                case IdentityToken() | BearerToken():
                    self._redact(found.token)
        return found
