"""Metrics of a finished pass, to wherever the configuration wants them."""

from pathlib import Path

import pytest

from ocync.config.model import MetricsConfig, PushgatewayConfig
from ocync.report import metrics
from ocync.report.publish import publish
from reports import copied, failed, report
from servers.process import free_port
from servers.pushgateway import Pushgateway


async def test_a_pass_is_written_and_pushed(gateway: Pushgateway, tmp_path: Path) -> None:
    config = MetricsConfig(pushgateway=PushgatewayConfig(url=gateway.url), textfile=tmp_path / "ocync.prom")
    assert await publish(report(copied()), config, environ={}, interval=60)
    assert (tmp_path / "ocync.prom").read_bytes() == metrics.render(report(copied()), interval=60)
    assert 'ocync_schedule_interval_seconds{instance="",job="ocync"} 60' in gateway.scrape()


async def test_a_dry_run_leaves_no_trace(gateway: Pushgateway, tmp_path: Path) -> None:
    config = MetricsConfig(pushgateway=PushgatewayConfig(url=gateway.url), textfile=tmp_path / "ocync.prom")
    assert await publish(report(copied(), dry_run=True), config, environ={})
    assert not (tmp_path / "ocync.prom").exists()
    assert gateway.groups() == []


async def test_a_textfile_that_can_not_be_written_does_not_stop_the_push(
    gateway: Pushgateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = MetricsConfig(pushgateway=PushgatewayConfig(url=gateway.url), textfile=tmp_path / "none" / "x.prom")
    assert not await publish(report(failed()), config, environ={})
    assert len(caplog.records) == 1
    assert gateway.groups() == [{"job": "ocync"}]


async def test_a_failed_push_is_reported_to_the_caller(tmp_path: Path) -> None:
    config = MetricsConfig(
        pushgateway=PushgatewayConfig(url=f"http://127.0.0.1:{free_port()}"), textfile=tmp_path / "ocync.prom"
    )
    assert not await publish(report(copied()), config, environ={})
    assert (tmp_path / "ocync.prom").exists()


async def test_without_settings_nothing_is_done() -> None:
    assert await publish(report(copied()), MetricsConfig(), environ={})
