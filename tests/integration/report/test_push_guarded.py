"""A Pushgateway behind Basic, TLS and client certificates; and what its warnings must not hold."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocync.config.model import PushgatewayConfig, Secret, TlsSettings
from ocync.report import metrics
from ocync.report.pushgateway import PushOutcome, push
from reports import report
from scripted.certificates import Authority, Pair, make_authority
from servers.pushgateway import Pushgateway, pushgateway

PASSWORD = "p/a:s s@wörd#1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Pushgateway]:
    with pushgateway(tmp_path, account=("me", PASSWORD)) as running:
        yield running


@pytest.fixture
def encrypted(tmp_path: Path, authority: Authority) -> Iterator[tuple[Pushgateway, Pair]]:
    """A gateway that wants a client's certificate, and such a certificate."""
    server, client = authority.issue("gateway"), authority.issue("client")
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    trust.load_cert_chain(client.cert_file, client.key_file)
    certificate = (server.cert_file, server.key_file)
    with pushgateway(tmp_path, certificate=certificate, authority=authority.ca_file, trust=trust) as running:
        yield running, client


async def pushed(config: PushgatewayConfig) -> PushOutcome:
    return await push(config, metrics.render(report()), environ={})


async def test_basic_credentials_are_sent(guarded: Pushgateway) -> None:
    config = PushgatewayConfig(url=guarded.url, username=Secret(value="me"), password=Secret(value=PASSWORD))
    assert (await pushed(config)).delivered
    assert guarded.groups() == [{"job": "ocync"}]


async def test_credentials_are_read_from_files_at_each_push(guarded: Pushgateway, tmp_path: Path) -> None:
    file = tmp_path / "password"
    config = PushgatewayConfig(url=guarded.url, username=Secret(value="me"), password=Secret(file=file))
    file.write_text("old\n")
    assert (await pushed(config)).status == 401
    file.write_text(PASSWORD + "\n")
    assert (await pushed(config)).delivered


async def test_credentials_in_the_url_are_used_and_never_shown(
    guarded: Pushgateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    address = guarded.server.address
    assert (await pushed(PushgatewayConfig(url=f"http://me:p%2Fa:s%20s%40w%C3%B6rd%231@{address}"))).delivered
    assert not (await pushed(PushgatewayConfig(url=f"http://me:hunter2@{address}"))).delivered
    shown = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("ocync"))
    assert address in shown
    assert "hunter2" not in shown
    assert "p%2F" not in shown


async def test_refused_credentials_are_a_warning_that_does_not_show_them(
    guarded: Pushgateway, caplog: pytest.LogCaptureFixture
) -> None:
    config = PushgatewayConfig(url=guarded.url, username=Secret(value="me"), password=Secret(value="hunter2"))
    outcome = await pushed(config)
    assert outcome.status == 401
    assert "check metrics.pushgateway.username" in caplog.messages[0]
    assert "hunter2" not in caplog.text + repr(outcome) + repr(config)


async def test_tls_with_a_private_authority_and_a_client_certificate(
    encrypted: tuple[Pushgateway, Pair], authority: Authority
) -> None:
    gateway, client = encrypted
    tls = TlsSettings(ca_file=authority.ca_file, cert_file=client.cert_file, key_file=client.key_file)
    outcome = await pushed(PushgatewayConfig(url=gateway.url, tls=tls))
    assert outcome.delivered
    assert gateway.groups() == [{"job": "ocync"}]


async def test_an_unknown_authority_is_refused(
    encrypted: tuple[Pushgateway, Pair], caplog: pytest.LogCaptureFixture
) -> None:
    gateway, client = encrypted
    tls = TlsSettings(cert_file=client.cert_file, key_file=client.key_file)
    assert not (await pushed(PushgatewayConfig(url=gateway.url, tls=tls))).delivered
    assert "certificate" in caplog.messages[0].lower()
    assert "tls.ca_file" in caplog.messages[0]


async def test_verification_can_be_switched_off(encrypted: tuple[Pushgateway, Pair]) -> None:
    gateway, client = encrypted
    tls = TlsSettings(cert_file=client.cert_file, key_file=client.key_file, insecure_skip_verify=True)
    assert (await pushed(PushgatewayConfig(url=gateway.url, tls=tls))).delivered


async def test_a_missing_client_certificate_is_a_warning(
    encrypted: tuple[Pushgateway, Pair], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, _ = encrypted
    assert not (
        await pushed(PushgatewayConfig(url=gateway.url, tls=TlsSettings(ca_file=authority.ca_file)))
    ).delivered
    assert len(caplog.records) == 1


async def test_an_invalid_authority_file_is_a_warning_that_names_it(
    encrypted: tuple[Pushgateway, Pair], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, _ = encrypted
    tls = TlsSettings(ca_file=tmp_path / "none.pem")
    assert not (await pushed(PushgatewayConfig(url=gateway.url, tls=tls))).delivered
    assert "none.pem" in caplog.messages[0]


async def test_a_gateway_under_a_path_is_reached_there(tmp_path: Path) -> None:
    with pushgateway(tmp_path, prefix="/push/here") as gateway:
        assert (await pushed(PushgatewayConfig(url=gateway.url + "/"))).delivered
        outcome = await pushed(PushgatewayConfig(url=gateway.server.url))
        assert gateway.groups() == [{"job": "ocync"}]
    assert outcome.status == 404
    assert "with the path" in outcome.hint
