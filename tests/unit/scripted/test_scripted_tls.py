"""The scripted registry over TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from scripted import BlobStore, GeneratedBlob, ScriptedRegistry, faults
from scripted.certificates import Authority, make_authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_file))


async def test_clients_that_trust_the_authority_are_served(authority: Authority) -> None:
    content = GeneratedBlob(3_000_000)
    async with ScriptedRegistry(tls=authority.server_context()) as registry:
        registry.seed_blob("a/b", content.digest(), content)
        assert registry.url == f"https://{registry.host}"
        async with httpx.AsyncClient(verify=trusting(authority), trust_env=False) as client:
            answer = await client.get(f"{registry.url}/v2/a/b/blobs/{content.digest()}")
            assert len(answer.content) == content.size
            answer = await client.post(f"{registry.url}/v2/a/b/blobs/uploads/")
            assert answer.headers["location"].startswith("https://")


@pytest.mark.parametrize("fault", ["reset", "cut", "lose"])
async def test_connections_break_under_tls_too(authority: Authority, fault: str) -> None:
    content = GeneratedBlob(3_000_000)
    action = {"reset": faults.reset(), "cut": faults.cut(after=1_000_000), "lose": faults.lose_answer()}[fault]
    async with ScriptedRegistry(tls=authority.server_context()) as registry:
        registry.seed_blob("a/b", content.digest(), content)
        registry.on("GET", "/blobs/", times=1, respond=action)
        async with httpx.AsyncClient(verify=trusting(authority), trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"{registry.url}/v2/a/b/blobs/{content.digest()}")
            assert (await client.get(f"{registry.url}/v2/")).status_code == 200


async def test_strangers_are_not_trusted(authority: Authority, tmp_path: Path) -> None:
    stranger = make_authority(tmp_path / "other")
    async with ScriptedRegistry(tls=authority.server_context()) as registry:
        async with httpx.AsyncClient(verify=trusting(stranger), trust_env=False) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"{registry.url}/v2/")
        assert len(registry.requests) == 0


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        pytest.param({"name": "old", "expired": True}, "expired", id="expired"),
        pytest.param({"name": "elsewhere", "hosts": ["example.com"]}, "IP address mismatch", id="another name"),
    ],
)
async def test_certificates_can_be_wrong(authority: Authority, pair: dict[str, object], why: str) -> None:
    async with (
        BlobStore(tls=authority.server_context(authority.issue(**pair))) as store,
        httpx.AsyncClient(verify=trusting(authority), trust_env=False) as client,
    ):
        with pytest.raises(httpx.ConnectError, match=why):
            await client.get(store.url)


async def test_clients_can_be_asked_for_a_certificate(authority: Authority) -> None:
    async with ScriptedRegistry(tls=authority.server_context(ask_clients=True)) as registry:
        async with httpx.AsyncClient(verify=trusting(authority), trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"{registry.url}/v2/")
        pair = authority.issue("client")
        context = trusting(authority)
        context.load_cert_chain(pair.cert_file, pair.key_file)
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            assert (await client.get(f"{registry.url}/v2/")).status_code == 200
