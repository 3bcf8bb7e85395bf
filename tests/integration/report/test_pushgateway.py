"""Metrics at a real Pushgateway: pushed, scraped back, parsed."""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dialogue import Peer, playing
from ocync import USER_AGENT
from ocync.config.model import PushgatewayConfig, Secret
from ocync.lib.errors import ErrorKind
from ocync.report import metrics
from ocync.report.pushgateway import PushOutcome, push
from ocync.report.summary import RunReport
from reports import STARTED, copied, failed, report, unchanged
from servers.process import free_port
from servers.pushgateway import Pushgateway

GROUPING = {"namespace": "tools", "release": "mirror"}


def to(gateway: Pushgateway, grouping: Mapping[str, str] = GROUPING) -> PushgatewayConfig:
    return PushgatewayConfig(url=gateway.url, grouping=grouping)


async def pushed(config: PushgatewayConfig, whole: RunReport, **environ: str) -> PushOutcome:
    return await push(config, metrics.render(whole, interval=300), environ=environ)


def scraped(gateway: Pushgateway, name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(gateway.scrape())
        for sample in family.samples
        if sample.name == name
    ]


async def test_a_pass_can_be_scraped_back_under_its_group(gateway: Pushgateway) -> None:
    whole = report(copied(), unchanged(), failed(kind=ErrorKind.SERVER))
    outcome = await pushed(to(gateway), whole)
    assert outcome == PushOutcome(status=200)
    group = {"job": "ocync", "instance": "", **GROUPING}
    assert scraped(gateway, "ocync_last_run_timestamp_seconds") == [(group, whole.ended_at.timestamp())]
    assert scraped(gateway, "ocync_schedule_interval_seconds") == [(group, 300)]
    assert (group | {"result": "failed"}, 1) in scraped(gateway, "ocync_last_run_images")
    assert (group | {"status": "partial"}, 1) in scraped(gateway, "ocync_last_run_status")
    assert (group | {"registry": "ghcr.io", "code_class": "none"}, 1) in scraped(gateway, "ocync_last_run_requests")
    assert len(scraped(gateway, "push_time_seconds")) == 1


async def test_the_push_has_a_user_agent() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.answer(b"")

    async with playing(script) as stage:
        await pushed(PushgatewayConfig(url=f"http://127.0.0.1:{stage.port}"), report(copied()))

    assert f"\r\nUser-Agent: {USER_AGENT}\r\n".lower() in heads[0].decode().lower()


async def test_the_last_success_survives_a_later_pass_that_fails(gateway: Pushgateway) -> None:
    good, bad = report(copied()), report(failed(), interrupted="signal SIGTERM", duration=9.0)
    await pushed(to(gateway), good)
    await pushed(to(gateway), bad)
    ((_, last_success),) = scraped(gateway, "ocync_last_success_timestamp_seconds")
    ((_, last_run),) = scraped(gateway, "ocync_last_run_timestamp_seconds")
    assert last_success == good.ended_at.timestamp()
    assert last_run == bad.ended_at.timestamp()
    status = {labels["status"]: value for labels, value in scraped(gateway, "ocync_last_run_status")}
    assert status == {"interrupted": 1, "success": 0, "partial": 0, "failed": 0, "config": 0, "auth": 0}


async def test_the_age_of_evidence_stays_and_is_marked_as_an_earlier_one(gateway: Pushgateway) -> None:
    known = report(copied(looked_below=STARTED.timestamp() - 60))
    await pushed(to(gateway), known)
    await pushed(to(gateway), report(unchanged()))
    ((_, age),) = scraped(gateway, "ocync_evidence_age_seconds")
    images = {labels["state"]: value for labels, value in scraped(gateway, "ocync_evidence_images")}
    assert age == known.evidence_age
    assert images == {"known": 0, "unknown": 1}


async def test_series_of_a_registry_that_is_no_longer_asked_go_away(gateway: Pushgateway) -> None:
    await pushed(to(gateway), report(requests={"old.example": {"2xx": 1}}))
    await pushed(to(gateway), report(requests={"new.example": {"2xx": 1}}))
    assert [labels["registry"] for labels, _ in scraped(gateway, "ocync_last_run_requests")] == ["new.example"]


async def test_two_releases_do_not_overwrite_each_other(gateway: Pushgateway) -> None:
    await pushed(to(gateway, {"release": "a"}), report(duration=1))
    await pushed(to(gateway, {"release": "b"}), report(duration=2))
    found = scraped(gateway, "ocync_last_run_duration_seconds")
    assert {labels["release"]: value for labels, value in found} == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "value",
    ["a/b", "", "..", ".", "with blank", "größe&x=?#%2F+", "a/b=="],
    ids=["slash", "empty", "two dots", "dot", "blank", "special", "slash and padding"],
)
async def test_any_value_of_the_grouping_arrives_unchanged(gateway: Pushgateway, value: str) -> None:
    outcome = await pushed(PushgatewayConfig(url=gateway.url, job="j/" + value, grouping={"x": value}), report())
    assert outcome.delivered
    (group,) = gateway.groups()
    assert group.get("x", "") == value
    assert group["job"] == "j/" + value


@pytest.mark.parametrize("url", ["{url}/", "{address}", "{url}/?x=1#y"], ids=["slash", "no scheme", "query"])
async def test_a_url_may_be_written_in_several_ways(gateway: Pushgateway, url: str) -> None:
    config = PushgatewayConfig(url=url.format(url=gateway.url, address=gateway.server.address))
    assert (await pushed(config, report())).delivered
    assert gateway.groups() == [{"job": "ocync"}]


async def test_a_metric_that_another_group_has_with_another_type_is_explained(
    gateway: Pushgateway, caplog: pytest.LogCaptureFixture
) -> None:
    with httpx.Client(trust_env=False) as client:
        other = "# TYPE ocync_last_run_retries counter\nocync_last_run_retries 1\n"
        client.post(gateway.url + "/metrics/job/other", content=other).raise_for_status()
    outcome = await pushed(to(gateway), report())
    assert outcome.status == 400
    assert "delete that group" in caplog.messages[0]
    assert "ocync_last_run_retries" in caplog.messages[0]


async def test_a_label_with_no_valid_name_is_explained(gateway: Pushgateway) -> None:
    outcome = await pushed(to(gateway, {"my-label": "x"}), report())
    assert outcome.status == 400
    assert "grouping" in outcome.hint


async def test_a_gateway_that_is_down_is_one_warning_that_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    config = PushgatewayConfig(url=f"http://127.0.0.1:{free_port()}")
    outcome = await pushed(config, report())
    assert not outcome.delivered
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert config.url in record.getMessage()
    assert "refused" in record.getMessage()
    assert "check metrics.pushgateway.url" in record.getMessage()


async def test_a_gateway_that_does_not_answer_costs_no_more_than_the_time_limit(
    gateway: Pushgateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.server.suspend()
    started = time.monotonic()
    outcome = await push(to(gateway), metrics.render(report()), environ={}, timeout=0.5)
    assert time.monotonic() - started > 0.4
    assert outcome.problem == "no answer within 0.5 s"
    assert len(caplog.records) == 1


async def test_a_push_can_be_cancelled(gateway: Pushgateway) -> None:
    gateway.server.suspend()
    task = asyncio.create_task(pushed(to(gateway), report()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "url", ["http://", "ftp://host", "http://host:port", "http://[::1", "", "http://a b/"], ids=range(6)
)
async def test_an_invalid_url_is_a_warning_too(url: str, caplog: pytest.LogCaptureFixture) -> None:
    outcome = await pushed(PushgatewayConfig(url=url), report())
    assert not outcome.delivered
    assert len(caplog.records) == 1


async def test_an_unreadable_password_file_is_a_warning_that_names_it(
    gateway: Pushgateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = Secret(file=tmp_path / "none", origin="metrics.pushgateway.password_file")
    config = PushgatewayConfig(url=gateway.url, username=Secret(value="me"), password=password)
    assert not (await pushed(config, report())).delivered
    assert str(tmp_path / "none") in caplog.messages[0]


async def test_a_value_that_is_no_text_does_not_lose_the_push(gateway: Pushgateway) -> None:
    assert (await pushed(to(gateway, {"x": "a\udcff"}), report())).delivered
    assert gateway.groups() == [{"job": "ocync", "x": "a?"}]


async def test_a_defect_costs_the_metrics_and_not_the_pass(caplog: pytest.LogCaptureFixture) -> None:
    outcome = await pushed(PushgatewayConfig(url=None), report())  # type: ignore[arg-type]
    assert outcome.problem == "unexpected TypeError"
    assert "-vv" in caplog.messages[-1]
