"""TLS: whom we trust, who we say we are, how it ends, what is resumed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import HASTY, Peer, answering, ask, fetch, playing, whole
from ocync.config.model import TlsSettings
from ocync.lib.errors import ConfigError
from ocync.registry.http.pool import Pool
from ocync.registry.http.trust import context
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from dialogue import Stage
    from scripted.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def pool_with(**settings: object) -> AsyncIterator[Pool]:
    trusted = context(TlsSettings(**settings))  # type: ignore[arg-type]
    pool = Pool(trust=lambda: trusted)
    yield pool
    await pool.close()


async def fails(pool: Pool, stage: Stage, **options: object) -> str:
    """Return why no connection can be made."""
    with pytest.raises(httpx.ConnectError) as raised:
        await ask(pool, stage, scheme="https", **options)  # type: ignore[arg-type]
    assert repr(pool) == "<Pool: 0 busy, 0 idle>"
    return str(raised.value)


async def test_a_private_authority_is_trusted_where_it_is_named(tls_pool: Pool, authority: Authority) -> None:
    async with playing(answering(OK), tls=authority.server_context()) as stage:
        assert await fetch(tls_pool, stage, scheme="https") == b"ok"
        assert await fetch(tls_pool, stage, scheme="https", host="localhost") == b"ok"


async def test_it_is_not_trusted_elsewhere(pool: Pool, authority: Authority) -> None:
    async with playing(answering(OK), tls=authority.server_context()) as stage:
        why = await fails(pool, stage)

        assert why == (
            f"no connection to 127.0.0.1:{stage.port}: the certificate is not trusted:"
            " unable to get local issuer certificate"
        )


async def test_it_is_not_asked_when_nothing_is_verified(authority: Authority) -> None:
    async with (
        playing(answering(OK), tls=authority.server_context()) as stage,
        pool_with(insecure_skip_verify=True) as careless,
    ):
        assert await fetch(careless, stage, scheme="https", host="localhost") == b"ok"


@pytest.mark.parametrize(
    ("hosts", "expired", "expected"),
    [
        pytest.param(["registry.example"], False, "certificate is not valid for 'localhost'", id="other name"),
        pytest.param(["localhost"], True, "certificate has expired", id="expired"),
    ],
)
async def test_a_certificate_has_to_fit(
    tls_pool: Pool, authority: Authority, hosts: list[str], expired: bool, expected: str
) -> None:
    pair = authority.issue("unfit", hosts, expired=expired)
    async with playing(answering(OK), tls=authority.server_context(pair)) as stage:
        assert expected in await fails(tls_pool, stage, host="localhost")


async def test_an_address_is_verified_as_such(tls_pool: Pool, authority: Authority) -> None:
    pair = authority.issue("six", ["::1"])
    async with playing(answering(OK), tls=authority.server_context(pair)) as stage:
        assert "IP address mismatch" in await fails(tls_pool, stage)
    async with playing(answering(OK), tls=authority.server_context(pair), host="::1") as stage:
        assert await fetch(tls_pool, stage, scheme="https", host="::1") == b"ok"


async def test_the_server_is_told_the_name_and_the_protocol(tls_pool: Pool, authority: Authority) -> None:
    names: list[str | None] = []
    server = authority.server_context()
    server.set_alpn_protocols(["h2", "http/1.1"])
    server.sni_callback = lambda _object, name, _context: names.append(name)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(str(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol()).encode())

    async with playing(script, tls=server) as stage:
        assert await fetch(tls_pool, stage, scheme="https", host="localhost") == b"http/1.1"
        assert names == ["localhost"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown(authority: Authority, version: ssl.TLSVersion) -> None:
    client = authority.issue("client", ["client"])
    server = authority.server_context(ask_clients=True)
    server.minimum_version = server.maximum_version = version

    async def script(peer: Peer) -> None:
        await peer.request()
        names = dict(pair[0] for pair in peer.writer.get_extra_info("peercert")["subject"])
        await peer.answer(names["commonName"].encode())

    async with (
        playing(script, tls=server) as stage,
        pool_with(ca_file=authority.ca_file, cert_file=client.cert_file, key_file=client.key_file) as pool,
    ):
        assert await fetch(pool, stage, scheme="https") == b"client"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_missing_is_named(
    tls_pool: Pool, authority: Authority, version: ssl.TLSVersion
) -> None:
    server = authority.server_context(ask_clients=True)
    server.minimum_version = server.maximum_version = version
    with tls_thread(server, lambda _tls: None) as stage:
        # In TLS 1.3 the server looks at it after the client has begun to speak.
        late = (httpx.ReadError, httpx.WriteError)
        expected = httpx.ConnectError if version is ssl.TLSVersion.TLSv1_2 else late
        with pytest.raises(expected, match="client certificate"):
            await fetch(tls_pool, stage, scheme="https")


async def test_a_server_that_speaks_no_tls_is_told(tls_pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.until_closed()

    async with playing(script) as stage:
        assert "not TLS (plain http?)" in await fails(tls_pool, stage)


async def test_a_server_that_hangs_up_is_told(tls_pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(10)

    async with playing(script) as stage:
        why = await fails(tls_pool, stage)

        assert "closed within the TLS handshake" in why or "reset" in why


async def test_a_handshake_that_stalls_is_a_timeout(tls_pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    async with playing(script) as stage:
        with pytest.raises(httpx.ConnectTimeout, match=rf"no connection to 127.0.0.1:{stage.port} within 0\.3 s"):
            await ask(tls_pool, stage, scheme="https", limits=HASTY)


async def test_old_tls_is_refused(tls_pool: Pool, authority: Authority) -> None:
    server = authority.server_context()
    server.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1_1
    async with playing(answering(OK), tls=server) as stage:
        assert "TLS" in await fails(tls_pool, stage)


# How it ends. asyncio's servers always say goodbye and never say what is wrong, so these use a thread.


@contextlib.contextmanager
def tls_thread(server: ssl.SSLContext, script: Callable[[ssl.SSLSocket], None]) -> Iterator[Stage]:
    """Play a script with one connection in a thread."""
    from dialogue import Stage

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLError), server.wrap_socket(connection, server_side=True) as tls:
            head = b""
            while b"\r\n\r\n" not in head:
                head += tls.recv(1000)
            script(tls)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Stage(listener.getsockname()[1])
    finally:
        thread.join()
        listener.close()


def say_goodbye(tls: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        tls.unwrap().close()


def be_cut(tls: ssl.SSLSocket) -> None:
    # Of the socket itself, which knows nothing of TLS.
    tls.shutdown(socket.SHUT_RDWR)


async def test_a_body_until_the_end_is_whole_after_a_goodbye(tls_pool: Pool, authority: Authority) -> None:
    def script(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"HTTP/1.1 200 OK\r\n\r\nhel")
        tls.sendall(b"lo")
        say_goodbye(tls)

    with tls_thread(authority.server_context(), script) as stage:
        assert await fetch(tls_pool, stage, scheme="https") == b"hello"
        assert repr(tls_pool) == "<Pool: 0 busy, 0 idle>"


async def test_a_body_until_the_end_is_not_whole_after_a_cut(tls_pool: Pool, authority: Authority) -> None:
    def script(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
        be_cut(tls)

    with tls_thread(authority.server_context(), script) as stage:
        response = await ask(tls_pool, stage, scheme="https")
        with pytest.raises(httpx.RemoteProtocolError, match="may not be whole"):
            await whole(response)


async def test_a_body_with_a_length_is_whole_after_a_cut(tls_pool: Pool, authority: Authority) -> None:
    def script(tls: ssl.SSLSocket) -> None:
        tls.sendall(OK)
        be_cut(tls)

    with tls_thread(authority.server_context(), script) as stage:
        assert await fetch(tls_pool, stage, scheme="https") == b"ok"


async def test_a_goodbye_that_comes_with_the_answer_is_answered_at_once(
    tls_pool: Pool, authority: Authority
) -> None:
    answered: list[bool] = []

    def script(tls: ssl.SSLSocket) -> None:
        tls.settimeout(5)
        # The kernel holds both back for 200 ms and sends them in one packet.
        tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        tls.sendall(OK)
        tls.unwrap().close()
        answered.append(True)

    with tls_thread(authority.server_context(), script) as stage:
        assert await fetch(tls_pool, stage, scheme="https") == b"ok"
        assert repr(tls_pool) == "<Pool: 0 busy, 0 idle>"
    assert answered == [True]


async def test_a_goodbye_within_the_body_is_an_error(tls_pool: Pool, authority: Authority) -> None:
    def script(tls: ssl.SSLSocket) -> None:
        tls.sendall(OK[:-1])
        say_goodbye(tls)

    with (
        tls_thread(authority.server_context(), script) as stage,
        pytest.raises(httpx.RemoteProtocolError, match="closed 1 bytes before"),
    ):
        await fetch(tls_pool, stage, scheme="https")


async def test_bytes_that_are_no_tls_are_an_error(tls_pool: Pool, authority: Authority) -> None:
    def script(tls: ssl.SSLSocket) -> None:
        tls.sendall(OK[:-1])
        raw = socket.socket(fileno=socket.dup(tls.fileno()))
        raw.sendall(b"surely no record")
        raw.close()
        with contextlib.suppress(OSError):
            tls.recv(1)

    with (
        tls_thread(authority.server_context(), script) as stage,
        pytest.raises(httpx.ReadError, match="connection broke: what came back is not TLS"),
    ):
        await fetch(tls_pool, stage, scheme="https")


async def test_we_say_goodbye_ourselves(tls_pool: Pool, authority: Authority) -> None:
    ends: list[object] = []

    def script(tls: ssl.SSLSocket) -> None:
        tls.sendall(OK)
        try:
            tls.suppress_ragged_eofs = False
            ends.append(tls.recv(10))
        except ssl.SSLError as error:
            ends.append(error)

    with tls_thread(authority.server_context(), script) as stage:
        await fetch(tls_pool, stage, scheme="https")
        await tls_pool.close()

    assert ends == [b""]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_another_connection_resumes_the_session(
    tls_pool: Pool, authority: Authority, version: ssl.TLSVersion
) -> None:
    server = authority.server_context()
    server.minimum_version = server.maximum_version = version

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            resumed = peer.writer.get_extra_info("ssl_object").session_reused
            await peer.answer(b"resumed" if resumed else b"full")

    async with playing(script, tls=server) as stage:
        assert await fetch(tls_pool, stage, scheme="https") == b"full"
        several = [await ask(tls_pool, stage, scheme="https") for _ in range(3)]

        assert [await whole(response) for response in several] == [b"full", b"resumed", b"resumed"]
        # Other names are other servers.
        assert await fetch(tls_pool, stage, scheme="https", host="localhost") == b"full"


async def test_many_connections_at_once(tls_pool: Pool, authority: Authority) -> None:
    async with playing(answering(OK), tls=authority.server_context()) as stage:
        bodies = await asyncio.gather(*(fetch(tls_pool, stage, scheme="https") for _ in range(40)))

        assert bodies == [b"ok"] * 40


# Files.


def test_files_that_can_not_be_used_are_named(tmp_path: Path, authority: Authority) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    pair = authority.issue("pair")
    other = authority.issue("other")
    for settings in (
        TlsSettings(ca_file=tmp_path / "none.pem"),
        TlsSettings(ca_file=empty),
        TlsSettings(ca_file=tmp_path),
        TlsSettings(cert_file=empty),
        TlsSettings(cert_file=pair.cert_file, key_file=other.key_file),
        TlsSettings(cert_file=pair.cert_file, key_file=tmp_path / "none.pem"),
    ):
        with pytest.raises(ConfigError, match=r"tls\.c\w+_file .* can't be used"):
            context(settings)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    tmp_path: Path, authority: Authority
) -> None:
    import subprocess

    pair = authority.issue("locked")
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", pair.key_file, "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)

    with pytest.raises(ConfigError, match="passphrase"):
        context(TlsSettings(cert_file=pair.cert_file, key_file=locked))


def test_an_authority_beside_the_systems_own_is_added(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    before = len(context(TlsSettings()).get_ca_certs())

    assert len(context(TlsSettings(ca_file=authority.ca_file)).get_ca_certs()) == before + 1
