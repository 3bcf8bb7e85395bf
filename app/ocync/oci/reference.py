"""
Names of registries, repositories and images, parsed once.

    cgr.dev/chainguard/static:latest
    http://127.0.0.1:5000/team/app@sha256:…
    nginx:1                                   Docker Hub: docker.io/library/nginx:1
    oci:./mirror/static:latest                an OCI image layout on disk
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from os.path import normpath

from ocync.oci.digest import Digest

# distribution-spec 1.1, "Pulling manifests": <name> and <reference> as a tag.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)

DOCKER_HUB = "docker.io"
DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_HUB_API = "registry-1.docker.io"


def is_repository(text: str) -> bool:
    """Return whether the text is a repository name of the distribution specification (255 characters at most)."""
    return len(text) <= 255 and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return whether the text is a tag of the distribution specification."""
    return _TAG.fullmatch(text) is not None


def _is_host(text: str) -> bool:
    """Return whether the text is a host with or without a port (RFC 1123 2.1, RFC 3986 3.2.2)."""
    found = _HOST.fullmatch(text)
    if found is None or len(found["name"]) > 253 or not 0 < int(found["port"] or "443") < 65536:
        return False
    if not text.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(found["name"][1:-1])
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, order=True)
class RepositoryName:
    """
    A repository: made where its name is read, and carried from there to the requests.

    Two names of one repository are equal, also where one of them has the port that the scheme implies.
    """

    registry: str
    """`host[:port]` without the scheme's own port, or `oci:FOLDER`."""
    path: str
    """With the registry's prefix and Docker Hub's library/."""

    @classmethod
    def in_folder(cls, folder: str, path: str) -> RepositoryName:
        """Return the name of a layout in a folder."""
        return cls(f"oci:{normpath(folder)}", path)

    def __str__(self) -> str:
        return f"{self.registry.rstrip('/')}/{self.path}"


@dataclass(frozen=True, slots=True, order=True)
class Registry:
    """
    A registry's address: the name users know it by, and the scheme it is spoken to in.

    `host` is `host[:port]` in lower case; Docker Hub's several names are all `docker.io`. `prefix` is put before
    every repository (`url: ghcr.io/acme/mirror`), empty mostly.
    """

    host: str
    scheme: str = "https"
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Registry:
        """Read `[https://|http://]host[:port][/prefix]`; raises ValueError otherwise."""
        scheme, rest = "https", text.strip()
        lowered = rest.lower()
        for candidate in ("https", "http"):
            if lowered.startswith(f"{candidate}://"):
                scheme, rest = candidate, rest[len(candidate) + 3 :]
                break
        # The text is not shown: a password may hold a slash, so that no part of it is sure to be free of one.
        if "@" in rest:
            raise ValueError("a registry's URL holds no user name or password: use credentials")
        host, _, prefix = rest.rstrip("/").partition("/")
        if prefix == "v2" or prefix.startswith("v2/"):
            raise ValueError(f"{text!r}: leave /v2 out of a registry's URL")
        if not _is_host(host):
            raise ValueError(f"{text!r} is not a registry: write host, host:port or http://host:port")
        if prefix and not is_repository(prefix):
            raise ValueError(f"{text!r}: {prefix!r} can't begin a repository name")
        host = host.lower()
        return cls(DOCKER_HUB if host in DOCKER_HUB_HOSTS else host, scheme, prefix)

    @property
    def api(self) -> str:
        """The base of the registry's API, `https://host[:port]`, without a slash at the end."""
        return f"{self.scheme}://{_HUB_API if self.host == DOCKER_HUB else self.host}"

    @property
    def canonical(self) -> str:
        """The host without the port that its scheme has anyway: two spellings of one registry have the same."""
        host = self.host.removesuffix(":443" if self.scheme == "https" else ":80")
        return DOCKER_HUB if host in DOCKER_HUB_HOSTS else host

    def repository(self, name: str) -> RepositoryName:
        """Return the whole name of the repository that users call `name` at this registry."""
        full = f"{self.prefix}/{name}" if self.prefix else name
        path = f"library/{full}" if self.host == DOCKER_HUB and "/" not in full else full
        return RepositoryName(self.canonical, path)

    def __str__(self) -> str:
        return self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image: a registry (or, for `oci:`, a folder), a repository, and a tag, a digest or both."""

    registry: Registry | None
    """None for an OCI layout."""
    folder: str = ""
    """The folder of OCI layouts, for `oci:`; empty otherwise."""
    repository: RepositoryName
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as the module describes; raises ValueError that says what is wrong."""
        if text.startswith("oci:"):
            return cls._parse_layout(text)
        scheme = next((each for each in ("https://", "http://") if text.lower().startswith(each)), "")
        rest, tag, digest = _split(text[len(scheme) :])
        if "@" in rest:
            # The text is not shown: what stands in front of a host's @ is a password.
            raise ValueError("a reference holds no user name or password: use the docker config or credentials")
        first, slash, remainder = rest.partition("/")
        # As Docker decides it: a first part without dot, colon or the name localhost belongs to Docker Hub.
        if scheme or (slash and ("." in first or ":" in first or first == "localhost")):
            registry, repository = Registry.parse(scheme + first), remainder
        else:
            registry, repository = Registry(DOCKER_HUB), rest
        name = registry.repository(repository)
        if not is_repository(name.path):
            raise ValueError(f"{text!r}: {name.path!r} is not a repository name (lower case, digits, . _ - /)")
        return cls(registry=registry, repository=name, tag=tag, digest=digest)

    @classmethod
    def _parse_layout(cls, text: str) -> Reference:
        rest, tag, digest = _split(text.removeprefix("oci:").rstrip("/"))
        folder, _, name = rest.rpartition("/")
        if rest.startswith("/") and not folder:
            folder = "/"
        if name in ("", ".", "..") or "\0" in rest:
            raise ValueError(f"{text!r}: write oci:FOLDER/repository[:tag]")
        folder = folder or "."
        repository = RepositoryName.in_folder(folder, name)
        return cls(registry=None, folder=folder, repository=repository, tag=tag, digest=digest)

    @property
    def reference(self) -> str:
        """What stands behind manifests/: the digest if there is one, else the tag, else `latest`."""
        return str(self.digest) if self.digest else (self.tag or "latest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        host = self.registry or f"oci:{self.folder.rstrip('/')}"
        return f"{host}/{self.repository.path}{tag}{digest}"


def _split(rest: str) -> tuple[str, str | None, Digest | None]:
    """Cut `:tag` and `@digest` off the last part of a reference."""
    front, slash, last = rest.rpartition("/")
    last, at, digest_text = last.partition("@")
    try:
        digest = Digest.parse(digest_text) if at else None
    except ValueError:
        raise ValueError("what follows the @ of a reference has to be a digest, as sha256:…") from None
    name, colon, tag = last.rpartition(":")
    if not colon:
        return front + slash + last, None, digest
    if not is_tag(tag):
        raise ValueError(f"{tag!r} is not a tag (letters, digits, _ . -, at most 128)")
    return front + slash + name, tag, digest
