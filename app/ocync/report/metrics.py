"""
The last pass as Prometheus metrics: gauges, made from the finished report alone.

A process that ends after each pass can't count up; so these tell of the last one, and when the last good one was.
Labels are registries, targets and results: never tags or digests, for series at a Pushgateway live for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ocync import __version__
from ocync.lib.errors import ExitCode
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


def render(report: RunReport | None, *, interval: float | None = None, last_success: float | None = None) -> bytes:
    """
    Return the metrics of a pass in the text format 0.0.4; None is for before the first one.

    `interval` is the seconds from one pass to the next, where that is known. `last_success` is when an earlier
    pass succeeded (Unix time); a report of success replaces it, and without either there is no such series, so
    that a Pushgateway keeps what it has.
    """
    registry = CollectorRegistry()
    registry.register(LastRun(report, interval=interval, last_success=last_success))
    return generate_latest(registry)


class LastRun(Collector):
    """The metrics of one report."""

    def __init__(
        self, report: RunReport | None, *, interval: float | None = None, last_success: float | None = None
    ) -> None:
        self._report = report
        self._interval = interval
        self._last_success = last_success

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples."""
        yield _labelled("ocync_build_info", "The version that runs.", "version", {__version__: 1})
        if self._interval is not None:
            yield _gauge("ocync_schedule_interval_seconds", "Time from one pass to the next.", self._interval)
        report, last_success = self._report, self._last_success
        if report is not None and report.succeeded:
            last_success = report.ended_at.timestamp()
        if last_success is not None:
            yield _gauge(LAST_SUCCESS, "When a pass last brought everything to its targets.", last_success)
        if report is not None:
            yield from _of(report)


def _of(report: RunReport) -> Iterator[Metric]:
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
        "Images of the last pass, once per target, by what became of them.",
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
        "Blobs that the last pass sent, found at the target, or had mounted there.",
        "result",
        {"transferred": blobs.transferred, "skipped": blobs.skipped, "mounted": blobs.mounted},
    )
    yield _gauge(
        "ocync_last_run_images_unverified",
        "Images that the last pass copied though they are not signed as verify demands.",
        report.unverified,
    )
    yield _gauge(
        "ocync_last_run_images_repaired",
        "Images of which the last pass brought again what their targets had lost below the right tag.",
        report.repaired,
    )
    yield from _evidence(report)
    artifacts = report.artifacts
    yield _labelled(
        "ocync_last_run_artifacts",
        "Signatures, SBOMs and the like of the last pass's images: found at sources, there at targets, copied; "
        "listed at a source and gone there.",
        "state",
        {
            "source": artifacts.source,
            "target": artifacts.target,
            "transferred": artifacts.transferred,
            "gone": artifacts.gone,
        },
    )
    yield _requests(report.requests)
    yield _gauge("ocync_last_run_retries", "Requests that the last pass made again.", report.retries)


def _evidence(report: RunReport) -> Iterator[Metric]:
    evidence, age = report.evidence, report.evidence_age
    if evidence is None:
        return
    # A Pushgateway keeps an age that nothing replaces; that none is known tells then that it is of an earlier pass.
    yield _labelled(
        "ocync_evidence_images",
        "Images of the last pass, failed ones left out, by whether it is known when a copy or an audit last saw "
        "all of them at the target.",
        "state",
        {"known": evidence.known, "unknown": evidence.unknown},
    )
    if age is not None:
        yield _gauge(
            "ocync_evidence_age_seconds",
            "Age, at the end of the last pass, of the oldest evidence that a target has all of an image.",
            age,
        )


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
        "Requests of the last pass by registry and class of the answer; none for no answer.",
        labels=["registry", "code_class"],
    )
    for labels, number in _flat(requests):
        family.add_metric(labels, number)
    return family


def _flat(requests: Mapping[str, Mapping[str, int]]) -> Iterable[tuple[list[str], int]]:
    for registry, classes in sorted(requests.items()):
        for code_class, number in sorted(classes.items()):
            yield [registry, code_class], number
