"""Docker's own registry (distribution 2.8, Debian's docker-registry), with its storage in a folder."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from servers.process import Server, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerRegistry:
    """A running registry."""

    server: Server
    storage: Path

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return self.server.url

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return self.server.address

    def tag(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag points to on the disk, or None."""
        link = self._repository(repository) / "_manifests" / "tags" / tag / "current" / "link"
        return link.read_text() if link.exists() else None

    def blob(self, digest: str) -> bytes | None:
        """Return the bytes that the disk holds for a digest (manifests are blobs here too), or None."""
        algorithm, _, encoded = digest.partition(":")
        data = self._root / "blobs" / algorithm / encoded[:2] / encoded / "data"
        return data.read_bytes() if data.exists() else None

    def uploads(self, repository: str) -> list[str]:
        """Return the upload sessions that are open."""
        folder = self._repository(repository) / "_uploads"
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    @property
    def _root(self) -> Path:
        return self.storage / "docker" / "registry" / "v2"

    def _repository(self, name: str) -> Path:
        return self._root / "repositories" / name


@contextmanager
def docker_registry(
    folder: Path,
    *,
    account: tuple[str, str] | None = None,
    certificate: tuple[Path, Path] | None = None,
    settings: Mapping[str, Any] | None = None,
    binary: Path | None = None,
) -> Iterator[DockerRegistry]:
    """
    Run a registry that keeps everything below `folder`.

    `account` makes it ask for Basic. `certificate` (and its key) makes it speak TLS. `settings` are merged into
    its configuration (distribution's configuration.md). `binary` is another build of it than the installed one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = str(binary) if binary is not None else program("docker-registry", "docker-registry")
    storage = folder / "storage"
    document = _document(storage)
    if account is not None:
        file = folder / "htpasswd"
        file.write_text(_htpasswd(account))
        document["auth"] = {"htpasswd": {"realm": "test", "path": str(file)}}
    if certificate is not None:
        document["http"]["tls"] = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    _merge(document, settings or {})

    def command(port: int) -> list[str]:
        document["http"]["addr"] = f"127.0.0.1:{port}"
        config = folder / f"config-{port}.yml"
        # Every JSON document is a YAML one.
        config.write_text(json.dumps(document))
        return [path, "serve", str(config)]

    with running(command, folder=folder, environ={"OTEL_TRACES_EXPORTER": "none"}) as server:
        yield DockerRegistry(server=server, storage=storage)


def _document(storage: Path) -> dict[str, Any]:
    return {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": True},
            # Uploads that were left are for the tests to see.
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"secret": "of the tests"},
    }


def _merge(document: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            _merge(document[key], value)
        else:
            document[key] = value


def _htpasswd(account: tuple[str, str]) -> str:
    """Make the file of htpasswd authentication, which knows bcrypt only."""
    htpasswd = program("htpasswd", "apache2-utils")
    done = subprocess.run(
        [htpasswd, "-niBC", "4", account[0]], input=account[1], capture_output=True, text=True, check=True
    )
    return done.stdout
