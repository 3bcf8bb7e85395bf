"""
Docker's config.json: its content, and the entries for a repository. Pure; sources.py reads the file.

Besides Docker's own rules, keys may have a path (`quay.io/team`), as in containers-auth.json(5): the entry with the
longest matching path is tried first.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ocync.lib.errors import ConfigError
from ocync.oci.reference import DOCKER_HUB, DOCKER_HUB_HOSTS
from ocync.registry.auth.credential import BearerToken, IdentityToken, UserPassword

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocync.registry.auth.credential import Credential

MAX_SIZE = 8 * 1024 * 1024

# Docker Hub is stored under its old index; the other names are written by people and other tools.
HUB_KEY = "https://index.docker.io/v1/"
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")
IDENTITY_USER = "<token>"
"""The user name that says that the password is an identity token (docker-credential-helpers, credentials.go)."""


@dataclass(frozen=True, slots=True)
class Inline:
    """An entry of `auths` that holds something; `key` as it is written in the file."""

    key: str
    fields: Mapping[str, str] = field(repr=False)

    def credential(self, origin: str) -> Credential:
        """Return what the entry holds; raises ConfigError that begins with the origin and shows nothing of it."""
        if token := self.fields.get("registrytoken"):
            return BearerToken(token=token, origin=origin)
        username, password = self._user(origin)
        if token := self.fields.get("identitytoken"):
            return IdentityToken(token=token, username=username, password=password, origin=origin)
        return from_user(username, password, origin)

    def _user(self, origin: str) -> tuple[str, str]:
        encoded = self.fields.get("auth")
        if not encoded:
            return self.fields.get("username", ""), self.fields.get("password", "")
        try:
            # Line ends are what the base64 command puts in; Docker's decoder (encoding/base64) skips them too.
            plain = encoded.replace("\n", "").replace("\r", "").rstrip("=")
            text = b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        except (Base64Error, ValueError):
            raise ConfigError(f"{origin}: auth is not base64 of user:password") from None
        username, colon, password = text.partition(":")
        if not colon or not username:
            raise ConfigError(f"{origin}: auth is not base64 of user:password")
        # Docker once padded passwords with zero bytes and takes them off since (cli/config/configfile/file.go).
        return username, password.strip("\0")


@dataclass(frozen=True, slots=True)
class HelperCall:
    """A helper to ask. `expected` says that the file names it for this host."""

    name: str
    server: str
    expected: bool

    @property
    def key(self) -> str:
        """What identifies it."""
        return f"{self.name} {self.server}"


Candidate: TypeAlias = Inline | HelperCall


def from_user(username: str, password: str, origin: str) -> UserPassword | IdentityToken:
    """Return the credential of a user name and password, or the identity token that they stand for."""
    if username == IDENTITY_USER:
        return IdentityToken(token=password, origin=origin)
    return UserPassword(username=username, password=password, origin=origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """What the file says about credentials. Keys of `auths` and `helpers` are as written."""

    auths: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def parse(cls, content: bytes, *, file: Path) -> DockerConfig:
        """Read the file's content; raises ConfigError that names the file and the place, and quotes nothing."""
        try:
            document = json.loads(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ConfigError(f"docker config {file}: it is not UTF-8") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise ConfigError(f"docker config {file}: {where}: it is not valid JSON") from None
        except (ValueError, RecursionError):
            raise ConfigError(f"docker config {file}: it is not valid JSON") from None
        top = _lowered(_object(document, "the whole", file))
        auths = _object(top.get("auths"), "auths", file)
        helpers = _object(top.get("credhelpers"), "credHelpers", file)
        return cls(
            auths={key: _texts(entry, f"auths, entry {key}", file) for key, entry in auths.items()},
            helpers={key: _helper(name, f"credHelpers, entry {key}", file) for key, name in helpers.items()},
            store=_helper(top.get("credsstore") or "", "credsStore", file),
        )

    def candidates(self, host: str, repository: str) -> tuple[Candidate, ...]:
        """Return what may serve the repository, best first: the longest path, and helpers before entries."""
        found: list[Candidate] = []
        for place in _places(host, repository):
            inline = self._inline(place)
            if (helper := self._helper(place)) is not None:
                found.append(HelperCall(helper, _server(host), expected=True))
            elif place == (host, "") and self.store and not self._has_empty_helper(place):
                server = next((key for key in self.auths if _place(key) == place), None)
                expected = server is not None and inline is None
                found.append(HelperCall(self.store, _server(host, server), expected))
            if inline is not None:
                found.append(inline)
        return tuple(found)

    def _inline(self, place: tuple[str, str]) -> Inline | None:
        entries = [Inline(key, fields) for key, fields in self.auths.items() if fields and _place(key) == place]
        # Of several spellings of one place the plain one is the one that people write today.
        return min(entries, key=lambda entry: (len(entry.key), entry.key), default=None)

    def _helper(self, place: tuple[str, str]) -> str | None:
        return next((name for key, name in self.helpers.items() if name and _place(key) == place), None)

    def _has_empty_helper(self, place: tuple[str, str]) -> bool:
        # An empty name turns the store off for a host (docker/cli, configfile/file.go: what is named wins).
        return any(not name and _place(key) == place for key, name in self.helpers.items())


def path_of(environ: Mapping[str, str]) -> Path | None:
    """Return where the file is, if there is one: in $DOCKER_CONFIG, else in ~/.docker; None without a home."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder) / "config.json"
    home = environ.get("HOME")
    return Path(home) / ".docker" / "config.json" if home else None


def _place(key: str) -> tuple[str, str]:
    """Return host and path of a key: `https://gcr.io/project` is at (gcr.io, project)."""
    host, _, path = _SCHEME.sub("", key.strip(), count=1).partition("/")
    path = path.strip("/")
    host = host.lower()
    # `docker login` once stored the whole URL of the API.
    return DOCKER_HUB if host in DOCKER_HUB_HOSTS else host, "" if path in ("v1", "v2") else path


def _places(host: str, repository: str) -> Iterator[tuple[str, str]]:
    """Yield the places that a repository belongs to, from itself up to its host."""
    path = repository
    while path:
        yield host, path
        path = path.rpartition("/")[0]
    yield host, ""


def _server(host: str, key: str | None = None) -> str:
    """Return the server's name for a helper: Docker Hub's old index, else the key of `docker login`."""
    return HUB_KEY if host == DOCKER_HUB else key or host


def _object(value: object, what: str, file: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"docker config {file}: {what} has to be an object")
    return value


def _lowered(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields by their names in lower case: Docker (encoding/json) reads them without regard to case."""
    return {name.lower(): value for name, value in fields.items()}


def _texts(entry: object, what: str, file: Path) -> dict[str, str]:
    """Return an entry's fields, or none when they are no credential (`docker login` leaves the rest in a store)."""
    fields = _lowered(_object(entry, what, file))
    kept = {name: fields[name] for name in _FIELDS if fields.get(name)}
    for name, value in kept.items():
        if not isinstance(value, str):
            raise ConfigError(f"docker config {file}: {what}: {name} has to be a string")
    whole = kept.keys() & {"auth", "identitytoken", "registrytoken"} or {"username", "password"} <= kept.keys()
    return kept if whole else {}


def _helper(name: object, what: str, file: Path) -> str:
    if not isinstance(name, str) or (name and not _HELPER_NAME.fullmatch(name)):
        raise ConfigError(f"docker config {file}: {what} has to be the NAME of a docker-credential-NAME")
    return name
