"""nginx, serving a folder as object stores serve what registries redirect to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from servers.process import Server, program, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def blob_store(folder: Path, *, root: Path) -> Iterator[Server]:
    """
    Serve the files below `root` to all who do not send an Authorization; those who do get 400, as S3 has it.

    The log has a line for each request: method, URI, status, bytes, and the scheme of an Authorization.
    """
    folder.mkdir(parents=True, exist_ok=True)
    binary = program("nginx", "nginx-light")

    def command(port: int) -> list[str]:
        config = folder / f"nginx-{port}.conf"
        config.write_text(_config(folder, root, port))
        return [binary, "-p", str(folder), "-c", str(config), "-e", "stderr"]

    with running(command, folder=folder) as server:
        yield server


def _config(folder: Path, root: Path, port: int) -> str:
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx-{port}.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
{temporary}
    log_format asked "$request_method $uri $status $body_bytes_sent authorization=$http_authorization";
    access_log /dev/stdout asked;
    default_type application/octet-stream;
    sendfile on;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        if ($http_authorization) {{ return 400; }}
    }}
}}
"""
