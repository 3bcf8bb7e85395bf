"""Metrics of a pass at Prometheus' own Pushgateway, and in a file."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e import corpus
from e2e.waiting import until
from servers.process import free_port
from servers.pushgateway import Pushgateway, pushgateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.program import Program
    from scripted import ScriptedRegistry

SYNC = ("sync", "-c", "ocync.yaml")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Pushgateway]:
    with pushgateway(tmp_path) as running:
        yield running


def samples(text: str) -> dict[str, float]:
    """Return ocync's samples, as `name` or `name{the first label that is not of the group}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = [value for name, value in sample.labels.items() if name not in ("job", "instance", "team")]
            if sample.name.startswith("ocync_"):
                found[sample.name + (f"{{{','.join(own)}}}" if own else "")] = sample.value
    return found


def test_a_good_pass_is_pushed(
    ready: Program, gateway: Pushgateway, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    done = ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)(*SYNC, "--json")

    told = samples(gateway.scrape())
    report = done.report
    assert done.code == 0, done
    assert gateway.groups() == [{"job": "ocync"}]
    assert told["ocync_last_run_status{success}"] == 1
    assert told["ocync_last_run_images{synced}"] == corpus.COUNT
    assert told[f"ocync_last_run_bytes_transferred{{{target.host}}}"] == report["stats"]["bytes_transferred"] > 0
    assert told["ocync_last_run_blobs{transferred}"] == report["stats"]["blobs_transferred"]
    requests = sum(value for name, value in told.items() if name.startswith("ocync_last_run_requests{"))
    assert requests == len(source.requests) + len(target.requests)
    assert told["ocync_last_success_timestamp_seconds"] == pytest.approx(told["ocync_last_run_timestamp_seconds"])


def test_the_last_success_survives_passes_that_fail(ready: Program, gateway: Pushgateway) -> None:
    program = ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)
    assert program(*SYNC).code == 0
    good = samples(gateway.scrape())

    assert program.knowing(GITHUB_TOKEN="expired-yesterday")(*SYNC).code == 4

    bad = samples(gateway.scrape())
    assert bad["ocync_last_success_timestamp_seconds"] == good["ocync_last_success_timestamp_seconds"]
    assert bad["ocync_last_run_timestamp_seconds"] > good["ocync_last_run_timestamp_seconds"]
    assert (bad["ocync_last_run_status{success}"], bad["ocync_last_run_status{auth}"]) == (0, 1)
    assert bad["ocync_last_run_images{failed}"] == corpus.COUNT


def test_the_configuration_names_gateway_job_and_group(ready: Program, gateway: Pushgateway) -> None:
    ready.write(
        (ready.folder / "ocync.yaml").read_text()
        + f"metrics: {{ pushgateway: {{ url: '{gateway.url}', job: mirror, grouping: {{ team: platform }} }} }}\n"
    )

    assert ready(*SYNC).code == 0

    assert gateway.groups() == [{"job": "mirror", "team": "platform"}]


@pytest.mark.parametrize("password", ["", "expired-yesterday"], ids=["a good pass", "a pass that fails"])
def test_a_gateway_that_is_down_is_a_warning_and_changes_no_exit_code(ready: Program, password: str) -> None:
    port = free_port()
    told = ready.knowing(OCYNC_PUSHGATEWAY_URL=f"http://127.0.0.1:{port}")
    expected = 0
    if password:
        told, expected = told.knowing(GITHUB_TOKEN=password), 4

    done = told(*SYNC)

    assert done.code == expected, done
    (line,) = [line for line in done.err.splitlines() if "metrics were not pushed" in line]
    assert "WARNING" in line
    assert f"127.0.0.1:{port}" in line


def test_a_gateway_that_never_answers_is_left_when_the_program_is_told_to_end(
    ready: Program, gateway: Pushgateway, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    gateway.server.suspend()
    with ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url).started(*SYNC) as run:
        until(lambda: target.count("PUT", r"/manifests/(?!sha256:)", status=201) == corpus.COUNT, of=run)
        with pytest.raises(TimeoutError):
            until(lambda: not run.running(), within=0.5)
        run.send(signal.SIGTERM)
        run.send(signal.SIGINT)
        asked = time.monotonic()
        done = run.done()

    assert time.monotonic() - asked < 5
    assert done.code == 0, done
    assert done.out.startswith("Up to date: 6 images; 6 copied")
    assert "metrics were not sent" in done.err


def test_the_interval_of_a_schedule_is_told_also_by_a_pass_that_fails(ready: Program, gateway: Pushgateway) -> None:
    program = ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)

    assert program(*SYNC, "--schedule", "0 */6 * * *").code == 0
    good = samples(gateway.scrape())
    assert program.knowing(GITHUB_TOKEN="expired-yesterday")(*SYNC, "--schedule", "@daily").code == 4
    bad = samples(gateway.scrape())

    assert good["ocync_schedule_interval_seconds"] == 6 * 3600
    assert bad["ocync_schedule_interval_seconds"] == 24 * 3600


@pytest.mark.parametrize("arguments", [(), ("--schedule", "every now and then")], ids=["unknown", "unreadable"])
def test_without_a_schedule_there_is_no_interval(
    ready: Program, gateway: Pushgateway, arguments: tuple[str, ...]
) -> None:
    done = ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)(*SYNC, *arguments)

    assert done.code == 0, done
    told = samples(gateway.scrape())
    assert told["ocync_last_run_status{success}"] == 1
    assert "ocync_schedule_interval_seconds" not in told
    warnings = [line for line in done.err.splitlines() if "WARNING" in line and "'every now and then'" in line]
    assert len(warnings) == len(arguments) // 2


def test_a_dry_run_tells_no_gateway(ready: Program, gateway: Pushgateway) -> None:
    assert ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)(*SYNC, "--dry-run").code == 0

    assert gateway.groups() == []


def test_a_textfile_is_replaced_by_each_pass_and_keeps_the_last_success(ready: Program) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text() + "metrics: { textfile: ./ocync.prom }\n")
    file = ready.folder / "ocync.prom"

    assert ready(*SYNC).code == 0
    good = samples(file.read_text())
    assert ready.knowing(GITHUB_TOKEN="expired-yesterday")(*SYNC).code == 4
    bad = samples(file.read_text())

    assert good["ocync_last_run_images{synced}"] == corpus.COUNT
    assert bad["ocync_last_run_images{failed}"] == corpus.COUNT
    assert bad["ocync_last_success_timestamp_seconds"] == good["ocync_last_success_timestamp_seconds"]
    assert [path.name for path in ready.folder.glob("*prom*")] == ["ocync.prom"]


def test_a_textfile_that_can_not_be_written_is_a_warning(ready: Program) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text() + "metrics: { textfile: /proc/ocync.prom }\n")

    done = ready(*SYNC)

    assert done.code == 0, done
    assert "/proc/ocync.prom" in done.err
