"""Against nginx, which has its own ideas of HTTP and TLS."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from dialogue import LIMITS, in_pieces
from dialogue import whole as body_of
from ocync.registry.http.pool import Origin
from servers.process import program, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocync.registry.http.pool import Pool, Response
    from scripted.certificates import Authority
    from servers.process import Server

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{ }}
http {{
  access_log off; default_type application/octet-stream;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  client_max_body_size 1m; keepalive_requests 20; keepalive_timeout 1s;
  gzip on; gzip_types *; gzip_min_length 1;
  server {{
    listen 127.0.0.1:{port} ssl; root {folder}/files;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols {protocol};
    location /moved {{ return 307 /blob; }}
    location /store {{ proxy_pass http://unix:{folder}/none.sock; }}
  }}
}}
"""
BLOB = random.Random(1).randbytes(5_000_000)


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def nginx(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> Iterator[Server]:
    pair = authority.issue("nginx")
    files = tmp_path / "files"
    files.mkdir()
    (files / "blob").write_bytes(BLOB)

    def command(port: int) -> Sequence[str]:
        config = tmp_path / "nginx.conf"
        values = {"folder": tmp_path, "port": port, "cert": pair.cert_file, "key": pair.key_file}
        config.write_text(CONFIG.format(**values, protocol=request.param))
        return [program("nginx", "nginx-light"), "-p", str(tmp_path), "-c", str(config)]

    with running(command, folder=tmp_path) as server:
        yield server


async def get(pool: Pool, server: Server, path: str = "/blob", method: str = "GET", **more: str) -> Response:
    origin = Origin("https", "127.0.0.1", server.port)
    fields = [("Host", origin.authority), *((name.replace("_", "-"), value) for name, value in more.items())]
    return await pool.send(origin, method, path.encode(), fields, None, LIMITS)


async def test_a_blob_arrives_as_it_is(tls_pool: Pool, nginx: Server) -> None:
    for _ in range(3):
        assert await body_of(await get(tls_pool, nginx)) == BLOB


async def test_a_part_of_it(tls_pool: Pool, nginx: Server) -> None:
    response = await get(tls_pool, nginx, Range="bytes=4999990-")

    assert (response.status, await body_of(response)) == (206, BLOB[-10:])


async def test_it_comes_in_chunks_when_it_is_packed_on_the_way(tls_pool: Pool, nginx: Server) -> None:
    response = await get(tls_pool, nginx, Accept_Encoding="gzip")

    assert response.headers.get("transfer-encoding") == "chunked"
    assert len(await body_of(response)) > 4_000_000
    assert repr(tls_pool) == "<Pool: 0 busy, 1 idle>"


async def test_answers_without_bodies_keep_their_connection(tls_pool: Pool, nginx: Server) -> None:
    for method, path, status in (("HEAD", "/blob", 200), ("GET", "/none", 404), ("GET", "/moved", 307)):
        response = await get(tls_pool, nginx, path, method)
        response.close()

        assert response.status == status
        assert repr(tls_pool) == "<Pool: 0 busy, 1 idle>"


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(tls_pool: Pool, nginx: Server) -> None:
    taken = 0

    async def body() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(65536)

    origin = Origin("https", "127.0.0.1", nginx.port)
    fields = [("Host", origin.authority), ("Content-Length", str(2**40))]
    response = await tls_pool.send(origin, "PUT", b"/blob", fields, body(), LIMITS)  # type: ignore[arg-type]

    assert response.status == 413
    assert taken < 1000
    response.close()


async def test_a_gateway_without_its_server_answers_for_it(tls_pool: Pool, nginx: Server) -> None:
    origin = Origin("https", "127.0.0.1", nginx.port)
    fields = [("Host", origin.authority), ("Content-Length", "6")]
    response = await tls_pool.send(origin, "PUT", b"/store", fields, in_pieces(b"abc", b"def"), LIMITS)

    assert response.status == 502
    response.close()


async def test_connections_that_nginx_ends_are_replaced(tls_pool: Pool, nginx: Server) -> None:
    async def worker() -> None:
        for _ in range(60):
            response = await get(tls_pool, nginx, method="HEAD")
            response.close()
            assert response.status == 200

    await asyncio.gather(*(worker() for _ in range(5)))
    # Its idle connections end after a second.
    await asyncio.sleep(1.3)
    await worker()


async def test_many_blobs_at_once(tls_pool: Pool, nginx: Server) -> None:
    async def digest() -> str:
        sha = hashlib.sha256()
        async for piece in (await get(tls_pool, nginx)).pieces():
            sha.update(piece)
        return sha.hexdigest()

    digests = await asyncio.gather(*(digest() for _ in range(12)))

    assert set(digests) == {hashlib.sha256(BLOB).hexdigest()}
