"""Prometheus' own Pushgateway."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from servers.process import Server, accepts, program, running

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushgateway:
    """A running Pushgateway, and how to ask it what it holds."""

    server: Server
    url: str
    account: tuple[str, str] | None = None
    trust: ssl.SSLContext | None = None

    def scrape(self) -> str:
        """Return `/metrics`, as Prometheus reads it."""
        return self._get("/metrics").text

    def groups(self) -> list[dict[str, str]]:
        """Return the grouping keys that something was pushed for."""
        return [group["labels"] for group in self._get("/api/v1/metrics").json()["data"]]

    def _get(self, path: str) -> httpx.Response:
        verify = self.trust if self.trust is not None else False
        with httpx.Client(verify=verify, auth=self.account, trust_env=False) as client:
            return client.get(self.url + path).raise_for_status()


@contextmanager
def pushgateway(
    folder: Path,
    *,
    account: tuple[str, str] | None = None,
    certificate: tuple[Path, Path] | None = None,
    authority: Path | None = None,
    trust: ssl.SSLContext | None = None,
    prefix: str = "",
) -> Iterator[Pushgateway]:
    """
    Run a Pushgateway that keeps everything in memory.

    `account` makes it ask for Basic; `certificate` (and its key) makes it speak TLS, and `authority` makes it ask
    clients for a certificate of that authority; `trust` is for the scrapes of the tests. `prefix` is a path before
    all others, as `/push`.
    """
    settings = folder / "web.yml"
    settings.write_text(_web_settings(account, certificate, authority))
    binary = program("prometheus-pushgateway", "prometheus-pushgateway")

    def command(port: int) -> list[str]:
        return [
            binary,
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.config.file={settings}",
            f"--web.route-prefix={prefix or '/'}",
            "--persistence.file=",
            "--log.level=debug",
        ]

    def ready(port: int) -> bool:
        if certificate is not None or account is not None:
            return accepts(port)
        try:
            return httpx.get(f"http://127.0.0.1:{port}{prefix}/-/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    with running(command, folder=folder, ready=ready) as server:
        scheme = "https" if certificate is not None else "http"
        yield Pushgateway(server=server, url=f"{scheme}://{server.address}{prefix}", account=account, trust=trust)


def _web_settings(
    account: tuple[str, str] | None, certificate: tuple[Path, Path] | None, authority: Path | None
) -> str:
    """Write the file of `--web.config.file` (prometheus/exporter-toolkit, docs/web-configuration.md)."""
    lines: list[str] = []
    if certificate is not None:
        lines += ["tls_server_config:", f"  cert_file: {certificate[0]}", f"  key_file: {certificate[1]}"]
        if authority is not None:
            lines += ["  client_auth_type: RequireAndVerifyClientCert", f"  client_ca_file: {authority}"]
    if account is not None:
        lines += ["basic_auth_users:", f"  {account[0]}: {_bcrypt(account)}"]
    return "\n".join(lines) + "\n"


def _bcrypt(account: tuple[str, str]) -> str:
    htpasswd = program("htpasswd", "apache2-utils")
    done = subprocess.run(
        [htpasswd, "-niBC", "4", account[0]], input=account[1], capture_output=True, text=True, check=True
    )
    return done.stdout.strip().split(":", 1)[1]
