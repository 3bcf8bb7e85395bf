"""Certificates for tests, made with the `openssl` command."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM files."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder of its own."""

    folder: Path
    ca_file: Path
    key_file: Path

    def issue(
        self, name: str = "server", hosts: Sequence[str] = ("localhost", "127.0.0.1"), *, expired: bool = False
    ) -> Pair:
        """Make a certificate for servers of these names and addresses, and for clients; `expired` has ended."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.cnf"
        names = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        _openssl("req", *_KEY, "-keyout", pair.key_file, "-out", request, "-subj", f"/CN={name}")
        issuer = ("-CA", self.ca_file, "-CAkey", self.key_file, "-CAcreateserial")
        arguments = ("x509", "-req", "-in", request, *issuer, "-out", pair.cert_file, "-extfile", extensions)
        _openssl(*arguments, "-days", "-1" if expired else "2")
        return pair

    def server_context(self, pair: Pair | None = None, *, ask_clients: bool = False) -> ssl.SSLContext:
        """Return a context for servers; with `ask_clients`, clients need a certificate of this authority."""
        pair = pair or self.issue()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert_file, pair.key_file)
        if ask_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context


def make_authority(folder: Path, name: str = "ca") -> Authority:
    """Make an authority whose files lie in a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder, folder / f"{name}.pem", folder / f"{name}.key")
    files = ("-keyout", authority.key_file, "-out", authority.ca_file)
    use = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *_KEY, *files, "-days", "2", "-subj", f"/CN=scripted {name}", *use)
    return authority


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
