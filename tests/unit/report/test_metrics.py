import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ocync import __version__
from ocync.lib.errors import ConfigError, ErrorKind, ExitCode, StorageError
from ocync.plan.model import Reason
from ocync.report import metrics
from ocync.report.summary import RunReport
from ocync.transfer.result import BlobStats
from reports import STARTED, copied, failed, report, unchanged

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(payload: bytes) -> Series:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(payload.decode())
        for sample in family.samples
    }


def values(payload: bytes, name: str) -> Mapping[tuple[str, ...], float]:
    return {
        tuple(value for _, value in labels): number
        for (each, labels), number in series(payload).items()
        if each == name
    }


def test_a_pass_is_reported_as_gauges_of_the_last_run() -> None:
    repaired = copied("go:1", reason=Reason.REPAIRED, bytes_transferred=0, blobs=BlobStats())
    looked = STARTED.timestamp() - 86400
    whole = report(copied(), unchanged(), replace(repaired, looked_below=looked), failed(kind=ErrorKind.SERVER))
    ended = whole.ended_at.timestamp()
    assert series(metrics.render(whole, interval=300)) == {
        ("ocync_build_info", (("version", __version__),)): 1,
        ("ocync_schedule_interval_seconds", ()): 300,
        ("ocync_last_run_timestamp_seconds", ()): ended,
        ("ocync_last_run_duration_seconds", ()): 4.2004,
        ("ocync_last_run_status", (("status", "success"),)): 0,
        ("ocync_last_run_status", (("status", "partial"),)): 1,
        ("ocync_last_run_status", (("status", "failed"),)): 0,
        ("ocync_last_run_status", (("status", "config"),)): 0,
        ("ocync_last_run_status", (("status", "auth"),)): 0,
        ("ocync_last_run_status", (("status", "interrupted"),)): 0,
        ("ocync_last_run_images", (("result", "synced"),)): 2,
        ("ocync_last_run_images", (("result", "skipped"),)): 1,
        ("ocync_last_run_images", (("result", "failed"),)): 1,
        ("ocync_last_run_bytes_transferred", (("target", "ghcr.io"),)): 31_457_280,
        ("ocync_last_run_blobs", (("result", "transferred"),)): 3,
        ("ocync_last_run_blobs", (("result", "skipped"),)): 1,
        ("ocync_last_run_blobs", (("result", "mounted"),)): 2,
        ("ocync_last_run_images_unverified", ()): 0,
        ("ocync_last_run_images_repaired", ()): 1,
        ("ocync_evidence_images", (("state", "known"),)): 1,
        ("ocync_evidence_images", (("state", "unknown"),)): 2,
        ("ocync_evidence_age_seconds", ()): pytest.approx(86400 + 4.2004),
        ("ocync_last_run_artifacts", (("state", "source"),)): 0,
        ("ocync_last_run_artifacts", (("state", "target"),)): 0,
        ("ocync_last_run_artifacts", (("state", "transferred"),)): 0,
        ("ocync_last_run_artifacts", (("state", "gone"),)): 0,
        ("ocync_last_run_requests", (("code_class", "2xx"), ("registry", "cgr.dev"))): 10,
        ("ocync_last_run_requests", (("code_class", "4xx"), ("registry", "cgr.dev"))): 2,
        ("ocync_last_run_requests", (("code_class", "2xx"), ("registry", "ghcr.io"))): 20,
        ("ocync_last_run_requests", (("code_class", "none"), ("registry", "ghcr.io"))): 1,
        ("ocync_last_run_retries", ()): 2,
    }


def test_every_metric_is_a_gauge_with_a_help() -> None:
    whole = report(copied(looked_below=1.0))
    families = list(text_string_to_metric_families(metrics.render(whole, interval=1).decode()))
    assert all(family.documentation.endswith(".") for family in families)
    assert {family.type for family in families} == {"gauge"}


def test_only_a_good_pass_sets_the_time_of_the_last_success() -> None:
    good = report(copied())
    assert values(metrics.render(good), metrics.LAST_SUCCESS) == {(): good.ended_at.timestamp()}
    assert values(metrics.render(report(copied(), failed())), metrics.LAST_SUCCESS) == {}


def test_an_earlier_success_is_reported_until_the_next_one() -> None:
    good = report(copied())
    assert values(metrics.render(report(failed()), last_success=7), metrics.LAST_SUCCESS) == {(): 7}
    assert values(metrics.render(good, last_success=7), metrics.LAST_SUCCESS) == {(): good.ended_at.timestamp()}


def test_without_evidence_no_age_is_reported() -> None:
    payload = metrics.render(report(copied(), replace(failed(), looked_below=1.0)))
    assert values(payload, "ocync_evidence_age_seconds") == {}
    assert values(payload, "ocync_evidence_images") == {("known",): 0, ("unknown",): 1}


def test_before_the_first_pass_there_are_no_series_of_a_last_run() -> None:
    names = {name for name, _ in series(metrics.render(None, interval=300))}
    assert names == {"ocync_build_info", "ocync_schedule_interval_seconds"}


def test_an_unknown_interval_is_not_reported() -> None:
    assert values(metrics.render(report()), "ocync_schedule_interval_seconds") == {}


def test_a_pass_that_could_not_begin_is_a_last_run_too() -> None:
    whole = RunReport.of_failure(ConfigError("bad"), run_id="1", started_at=STARTED, duration=0.1)
    payload = metrics.render(whole)
    assert values(payload, "ocync_last_run_status")[("config",)] == 1
    assert values(payload, "ocync_last_run_images") == {("synced",): 0, ("skipped",): 0, ("failed",): 0}


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_a_status(code: ExitCode) -> None:
    assert metrics.STATUSES[code]


@given(st.text(min_size=1), st.integers(min_value=0, max_value=2**53))
def test_the_text_can_be_parsed_for_any_target_name(name: str, count: int) -> None:
    whole = report(copied(target_host=name, bytes_transferred=count), requests={name: {"2xx": count}})
    payload = metrics.render(whole)
    if "\r" not in name:  # the parser, unlike Prometheus itself, ends lines there
        assert values(payload, "ocync_last_run_bytes_transferred") == {(name,): count}
        assert values(payload, "ocync_last_run_requests") == {("2xx", name): count}


def test_no_series_is_named_after_a_tag_or_a_digest() -> None:
    payload = metrics.render(report(*(copied(f"s:{number}") for number in range(50)), failed())).decode()
    assert "sha256" not in payload
    assert "s:1" not in payload


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_every_user_can_read_the_metrics_in_the_file(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        metrics.write_file(tmp_path / "ocync.prom", report(copied()), interval=60)
    finally:
        os.umask(before)
    file = tmp_path / "ocync.prom"
    assert file.read_bytes() == metrics.render(report(copied()), interval=60)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_no_temporary_file_is_left_in_the_folder(tmp_path: Path) -> None:
    for _ in range(3):
        metrics.write_file(tmp_path / "ocync.prom", report(copied()))
    assert names_in(tmp_path) == ["ocync.prom"]


def test_the_file_keeps_the_last_success_after_failed_passes(tmp_path: Path) -> None:
    file, good = tmp_path / "ocync.prom", report(copied())
    metrics.write_file(file, good)
    metrics.write_file(file, report(failed()))
    metrics.write_file(file, report(copied(), failed(kind=ErrorKind.SERVER)))
    assert metrics.last_success_in(file) == good.ended_at.timestamp()
    assert 'ocync_last_run_status{status="partial"} 1.0' in file.read_text()


def test_without_a_success_the_file_has_no_time_of_it(tmp_path: Path) -> None:
    metrics.write_file(tmp_path / "ocync.prom", report(failed()))
    assert metrics.LAST_SUCCESS not in (tmp_path / "ocync.prom").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ocync_last_success_timestamp_seconds",
        b"ocync_last_success_timestamp_seconds 1.e.1\n",
        b"\xff\xfe\x00",
        b"x" * 100,
    ],
    ids=["empty", "no value", "no number", "no text", "something else"],
)
def test_a_damaged_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ocync.prom"
    file.write_bytes(content)
    assert metrics.last_success_in(file) is None
    metrics.write_file(file, report(copied()))
    assert metrics.last_success_in(file) is not None


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    file, whole = tmp_path / "ocync.prom", report(copied())
    metrics.write_file(file, whole)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(file.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        metrics.write_file(file, whole)
    done.set()
    reader.join()
    assert seen == {metrics.render(whole)}


def test_a_link_is_kept_and_its_target_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "ocync.prom").symlink_to(real / "data.prom")
    metrics.write_file(tmp_path / "ocync.prom", report(copied()))
    assert (tmp_path / "ocync.prom").is_symlink()
    assert names_in(real) == ["data.prom"]


def test_a_missing_folder_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"can't write metrics to .*/none/ocync.prom: No such file.*existing, writable folder"
    ):
        metrics.write_file(tmp_path / "none" / "ocync.prom", report(copied()))


def test_a_file_that_can_not_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "ocync.prom").mkdir()
    with pytest.raises(StorageError):
        metrics.write_file(tmp_path / "ocync.prom", report(copied()))
    assert names_in(tmp_path) == ["ocync.prom"]
