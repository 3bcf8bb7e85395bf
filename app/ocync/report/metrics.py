"""
The last pass as Prometheus metrics, as text and in a file for the node exporter's textfile collector.

All are gauges of the last pass, since a process that ends after each pass can't count up. Labels are registries,
targets and results but never tags or digests, since a Pushgateway keeps its series for ever.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ocync import __version__
from ocync.lib.errors import ExitCode, StorageError
from ocync.transfer.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from ocync.report.summary import RunReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAST_SUCCESS = "ocync_last_success_timestamp_seconds"
STATUSES = {
    ExitCode.OK: "success",
    ExitCode.PARTIAL: "partial",
    ExitCode.FAILED: "failed",
    ExitCode.CONFIG: "config",
    ExitCode.AUTH: "auth",
    ExitCode.INTERRUPTED: "interrupted",
}
"""The `status` of a pass by its exit code."""
_LARGEST_FILE = 4 * 1024 * 1024


def render(report: RunReport | None, *, interval: float | None = None, last_success: float | None = None) -> bytes:
    """
    Return the metrics of a pass in the text format 0.0.4; `report` is None before the first pass.

    `interval` is the seconds from one pass to the next, if known. `last_success` is the Unix time at which an
    earlier pass succeeded; a successful report replaces it. Without either there is no such series, so that a
    Pushgateway keeps the one it has.
    """
    registry = CollectorRegistry()
    registry.register(_Collected(_all(report, interval, last_success)))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _all(report: RunReport | None, interval: float | None, last_success: float | None) -> Iterator[Metric]:
    yield _labelled("ocync_build_info", "The version that runs.", "version", {__version__: 1})
    if interval is not None:
        yield _gauge("ocync_schedule_interval_seconds", "Time from one pass to the next.", interval)
    if report is not None and report.succeeded:
        last_success = report.ended_at.timestamp()
    if last_success is not None:
        yield _gauge(LAST_SUCCESS, "When a pass last succeeded.", last_success)
    if report is not None:
        yield from _last_run(report)


def _last_run(report: RunReport) -> Iterator[Metric]:
    code, blobs = report.exit_code, report.blobs
    yield _gauge("ocync_last_run_timestamp_seconds", "When the last pass ended.", report.ended_at.timestamp())
    yield _gauge("ocync_last_run_duration_seconds", "How long the last pass took.", report.duration)
    yield _labelled(
        "ocync_last_run_status",
        "How the last pass ended: 1 for one status, 0 for the others.",
        "status",
        {name: int(code is each) for each, name in STATUSES.items()},
    )
    yield _labelled(
        "ocync_last_run_images",
        "Images of the last pass, once per target, by result.",
        "result",
        {status.value: report.count(status) for status in Status},
    )
    yield _labelled(
        "ocync_last_run_bytes_transferred",
        "Bytes of blobs that the last pass sent to each target.",
        "target",
        report.bytes_by_target,
    )
    yield _labelled(
        "ocync_last_run_blobs",
        "Blobs that the last pass transferred, found at the target, or mounted there.",
        "result",
        {"transferred": blobs.transferred, "skipped": blobs.skipped, "mounted": blobs.mounted},
    )
    yield _gauge(
        "ocync_last_run_images_unverified",
        "Images that the last pass copied although they are not signed as verify requires.",
        report.unverified,
    )
    yield _gauge(
        "ocync_last_run_images_repaired",
        "Images of which the last pass copied again what the target had lost below the right tag.",
        report.repaired,
    )
    yield from _evidence(report)
    artifacts = report.artifacts
    yield _labelled(
        "ocync_last_run_artifacts",
        "Signatures, SBOMs and attestations of the last pass: found at sources, present at targets, copied, "
        "or listed at a source but gone there.",
        "state",
        {
            "source": artifacts.source,
            "target": artifacts.target,
            "transferred": artifacts.transferred,
            "gone": artifacts.gone,
        },
    )
    yield _requests(report.requests)
    yield _gauge("ocync_last_run_retries", "Requests that the last pass retried.", report.retries)


def _evidence(report: RunReport) -> Iterator[Metric]:
    evidence, age = report.evidence, report.evidence_age
    if evidence is None:
        return
    # A Pushgateway keeps an old age until it is replaced: with `known` at 0, the age is that of an earlier pass.
    yield _labelled(
        "ocync_evidence_images",
        "Images of the last pass that did not fail, by whether it is known when a copy or an audit last saw all "
        "of the image at the target.",
        "state",
        {"known": evidence.known, "unknown": evidence.unknown},
    )
    if age is not None:
        yield _gauge(
            "ocync_evidence_age_seconds",
            "Age, at the end of the last pass, of the oldest evidence that a target has all of an image.",
            age,
        )


def write_file(path: Path, report: RunReport, *, interval: float | None = None) -> None:
    """
    Replace the file by the metrics of a pass; a reader finds the whole old file or the whole new one.

    After a pass that did not succeed, the time of the last success is kept from the old file. Raises StorageError.
    """
    last_success = None if report.succeeded else last_success_in(path)
    payload = render(report, interval=interval, last_success=last_success)
    try:
        # If the path is a link, the file that it points to is replaced.
        _replace(Path(os.path.realpath(path)), payload)
    except OSError as error:
        raise StorageError(
            f"can't write metrics to {path}: {error.strerror or error}",
            hint="metrics.textfile must be in an existing, writable folder",
        ) from error


def last_success_in(path: Path) -> float | None:
    """Return the Unix time of the last success by the file; None if the file has no valid one."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE).decode("utf-8", "replace")
    except OSError:
        return None
    match = re.search(rf"^{LAST_SUCCESS}\s+([0-9.eE+]+)\s*$", content, re.MULTILINE)
    try:
        return float(match.group(1)) if match else None
    except ValueError:
        return None


def _replace(path: Path, payload: bytes) -> None:
    # The collector reads names that end in .prom; this one does not.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            # The node exporter runs as another user.
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _labelled(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _requests(requests: Mapping[str, Mapping[str, int]]) -> Metric:
    family = GaugeMetricFamily(
        "ocync_last_run_requests",
        "Requests of the last pass by registry and class of the status code; none without an answer.",
        labels=["registry", "code_class"],
    )
    for registry, classes in sorted(requests.items()):
        for code_class, number in sorted(classes.items()):
            family.add_metric([registry, code_class], number)
    return family
