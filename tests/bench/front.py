"""
nginx before the registries: it terminates TLS, offers HTTP/2, carries the blobs, and logs every request.

It is in C and carries the bytes, so that neither Python nor a registry's storage driver decides how fast tools are.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bench.answers import Registry

# Not 127.0.0.1: some clients take that for a registry without TLS. All of 127.0.0.0/8 is loopback on Linux.
ADDRESS = "127.0.0.2"
_START = 10.0
_LINE = "\\t".join(
    f"${name}"
    for name in (
        *("server_port", "connection", "request_method", "request_uri", "status"),
        *("request_length", "body_bytes_sent", "msec", "request_time"),
    )
)


class MissingError(Exception):
    """Something that the benchmark needs is not on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A running nginx."""

    ports: Mapping[str, int]
    """By the names of the registries."""
    log: Path
    authority: Path
    """The certificate to trust."""
    pid: int

    def host(self, name: str) -> str:
        """Return `address:port` of a registry."""
        return f"{ADDRESS}:{self.ports[name]}"


@contextmanager
def listening(folder: Path, registries: Mapping[str, Registry], sockets: Mapping[str, Path]) -> Iterator[Front]:
    """Run nginx before these registries, which answer on these sockets, while the context lasts."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if binary is None or shutil.which("openssl") is None:
        raise MissingError("nginx and openssl are needed; on Debian: apt-get install nginx-light openssl")
    authority = make_authority(folder / "tls")
    pair = authority.issue("registries", ("localhost", ADDRESS))
    ports = {name: _free_port() for name in registries}
    servers = [_server(registries[name], ports[name], sockets[name]) for name in registries]
    config = folder / "nginx.conf"
    config.write_text(_config(folder, pair.cert_file, pair.key_file, servers))
    with (folder / "nginx.log").open("wb") as output:
        process = subprocess.Popen(
            [binary, "-p", str(folder), "-c", str(config), "-e", "stderr"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await(process, list(ports.values()), authority.ca_file, folder / "nginx.log")
        yield Front(ports=ports, log=folder / "access.log", authority=authority.ca_file, pid=process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def _await(process: subprocess.Popen[bytes], ports: list[int], trust: Path, log: Path) -> None:
    """Return when all ports speak TLS; raises MissingError with what nginx said where they never do."""
    context = ssl.create_default_context(cafile=str(trust))
    limit = time.monotonic() + _START
    while ports and process.poll() is None and time.monotonic() < limit:
        try:
            with (
                socket.create_connection((ADDRESS, ports[-1]), timeout=1) as plain,
                context.wrap_socket(plain, server_hostname=ADDRESS),
            ):
                ports.pop()
        except OSError:
            time.sleep(0.02)
    if ports:
        raise MissingError(f"nginx does not answer; it said:\n{log.read_text(errors='replace')[-2000:]}")


def _config(folder: Path, certificate: Path, key: Path, servers: list[str]) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    # As root, nginx would give its files to another user, and uploads could not be taken.
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""
daemon off;
{user}
worker_processes {min(os.cpu_count() or 1, 4)};
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
{temporary}
    log_format bench escape=json "{_LINE}";
    access_log {folder}/access.log bench;
    default_type application/octet-stream;
    sendfile on;
    tcp_nodelay on;
    output_buffers 2 256k;
    keepalive_requests 10000000;
    keepalive_timeout 120s;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    proxy_http_version 1.1;
    proxy_redirect off;
    proxy_buffering on;
    merge_slashes off;
    server_tokens off;
    http2_max_concurrent_streams 250;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
{"".join(servers)}
}}
"""


def _server(registry: Registry, port: int, listener: Path) -> str:
    name = f"registry_{port}"
    passed = f"""
            proxy_pass http://{name};
            proxy_set_header Connection "";
            proxy_set_header X-Connection $connection;
            proxy_set_header X-Host {ADDRESS}:{port};"""
    return f"""
    upstream {name} {{
        server unix:{listener};
        keepalive 512;
        keepalive_requests 10000000;
    }}
    server {{
        listen {ADDRESS}:{port} ssl http2 backlog=1024;
        client_body_temp_path {registry.incoming};
        location / {{{passed}
        }}
        location ~ ^/v2/.+/blobs/uploads/ {{{passed}
            client_body_in_file_only on;
            proxy_pass_request_body off;
            proxy_set_header Content-Length 0;
            proxy_set_header X-Body-File $request_body_file;
        }}
        location /files/ {{
            internal;
            alias {registry.blobs}/;
            add_header Docker-Content-Digest $upstream_http_docker_content_digest;
        }}
    }}
"""
